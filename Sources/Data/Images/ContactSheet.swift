/// Several pictures on one: thumbnails in rows, over white.
package struct ContactSheet {
  private let columns: Int
  private let side: Int
  private let gap = 8

  /// - Parameters: columns: thumbnails of a row; side: of a thumbnail in pixels.
  package init(columns: Int = 5, side: Int = 128) {
    (self.columns, self.side) = (columns, side)
  }

  /// The pictures in reading order, each its largest centered square.
  package func image(_ pictures: [RGBImage]) -> RGBImage {
    let rows = max(1, (pictures.count + columns - 1) / columns)
    let (width, height) = (columns * (side + gap) + gap, rows * (side + gap) + gap)
    var pixels = [UInt8](repeating: 255, count: width * height * 3)
    let bytes = PixelNormalization(mean: .zero, deviation: SIMD3(repeating: 1 / 255))
    for (index, picture) in pictures.enumerated() {
      let thumbnail = picture.input(side: side, normalization: bytes)
      let (left, top) = (gap + index % columns * (side + gap), gap + index / columns * (side + gap))
      for y in 0..<side {
        for x in 0..<side {
          for c in 0..<3 {
            let value = thumbnail.pointer[(c * side + y) * side + x]
            pixels[((top + y) * width + left + x) * 3 + c] = UInt8(min(max(value, 0), 255).rounded())
          }
        }
      }
    }
    return RGBImage(width: width, height: height, pixels: pixels)
  }
}
