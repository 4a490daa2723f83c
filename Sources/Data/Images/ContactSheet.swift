import MMoEFiles

/// Several pictures on one: thumbnails in rows, over white, each with lines of text below it where there are any.
package struct ContactSheet {
  /// A line below a picture: a text at the left, cut where it is too long, and one at the right.
  package struct Caption: Sendable {
    let text, value: String
    let color: SIMD3<UInt8>
    let columns: Int

    /// - Parameter columns: pictures that the line may be as wide as, this one and those to its right.
    package init(_ text: String, _ value: String = "", color: SIMD3<UInt8> = ContactSheet.black, columns: Int = 1) {
      (self.text, self.value, self.color, self.columns) = (text, value, color, columns)
    }
  }

  /// Pixels of a thumbnail that has names below it.
  package static let labeledSide = 144
  package static let black = SIMD3<UInt8>(34, 34, 34)
  package static let red = SIMD3<UInt8>(190, 30, 40)

  private let columns: Int
  private let side: Int
  private let gap = 8

  /// - Parameters: columns: thumbnails of a row; side: of a thumbnail in pixels.
  package init(columns: Int = 5, side: Int = 128) {
    (self.columns, self.side) = (columns, side)
  }

  /// The pictures in reading order, each its largest centered square.
  package func image(_ pictures: [RGBImage]) -> RGBImage {
    var sheet = Sheet(count: pictures.count, self, below: 0)
    for (index, picture) in pictures.enumerated() { sheet.place(thumbnail(picture), at: index) }
    return sheet.image
  }

  /// Captioned pictures in reading order. Only thumbnails are kept of them, so there may be many.
  ///
  /// - Parameters:
  ///   - lines: of each caption.
  ///   - entry: the picture of a number, nil for a place that stays empty, and its lines.
  /// - Throws: what `entry` throws.
  package func image(
    _ count: Int, lines: Int, _ text: TextDrawer, entry: (Int) throws -> (picture: RGBImage?, captions: [Caption])
  ) rethrows -> RGBImage {
    var sheet = Sheet(count: count, self, below: lines * text.lineHeight + 2)
    for index in 0..<count {
      let (picture, captions) = try entry(index)
      if let picture { sheet.place(thumbnail(picture), at: index) }
      for (line, caption) in captions.prefix(lines).enumerated() {
        sheet.write(caption, text, at: index, line: line)
      }
    }
    return sheet.image
  }

  /// The largest centered square of a picture at the size of the sheet.
  private func thumbnail(_ picture: RGBImage) -> [UInt8] {
    picture.resampled(ImageView(centerOf: picture), width: side, height: side).pixels
  }

  /// The sheet in the making.
  private struct Sheet {
    private let columns, side, gap, width, height, step: Int
    private var pixels: [UInt8]

    init(count: Int, _ sheet: ContactSheet, below: Int) {
      (columns, side, gap) = (sheet.columns, sheet.side, sheet.gap)
      step = side + gap + below
      let rows = max(1, (count + columns - 1) / columns)
      (width, height) = (columns * (side + gap) + gap, rows * step + gap)
      pixels = [UInt8](repeating: 255, count: width * height * 3)
    }

    var image: RGBImage { RGBImage(width: width, height: height, pixels: pixels) }

    private func corner(_ index: Int) -> (left: Int, top: Int) {
      (gap + index % columns * (side + gap), gap + index / columns * step)
    }

    mutating func place(_ thumbnail: [UInt8], at index: Int) {
      let (left, top) = corner(index)
      for y in 0..<side {
        let start = ((top + y) * width + left) * 3
        pixels.replaceSubrange(start..<start + side * 3, with: thumbnail[y * side * 3..<(y + 1) * side * 3])
      }
    }

    mutating func write(_ caption: Caption, _ text: TextDrawer, at index: Int, line: Int) {
      let (left, top) = corner(index)
      let whole = caption.columns * (side + gap) - gap
      let valueWidth = text.width(of: caption.value)
      let room = whole - (caption.value.isEmpty ? 0 : valueWidth + gap)
      let lineTop = top + side + 2 + line * text.lineHeight
      draw(text.mask(text.fitted(oneLine(caption.text), into: room), width: whole), left, lineTop, caption.color, text)
      let valueLeft = max(0, whole - valueWidth)
      draw(text.mask(caption.value, width: whole - valueLeft), left + valueLeft, lineTop, caption.color, text)
    }

    private mutating func draw(_ mask: [UInt8], _ left: Int, _ top: Int, _ color: SIMD3<UInt8>, _ text: TextDrawer) {
      let width = mask.count / text.lineHeight
      for (place, cover) in mask.enumerated() where cover > 0 {
        let at = ((top + place / width) * self.width + left + place % width) * 3
        for c in 0..<3 {
          pixels[at + c] = UInt8((Int(pixels[at + c]) * (255 - Int(cover)) + Int(color[c]) * Int(cover)) / 255)
        }
      }
    }
  }
}
