import MMoEFiles

/// What some images of a folder look like, to choose a model by.
package struct ImageSample: Sendable, Equatable {
  /// How many were looked at.
  package let count: Int
  /// The median of their shorter sides in pixels.
  package let shorterSide: Int
  /// Whether none has a color.
  package let isGrey: Bool

  /// Looks at some images below a folder, evenly spread over it.
  ///
  /// - Throws: `DataError` for a folder that cannot be read.
  /// - Returns: nil where no image can be read.
  package init?(of path: String, count: Int = 64) throws {
    let names = try FolderWalk(path).files.filter(ImageFormat.reads)
    let step = max(1, names.count / count)
    let chosen = stride(from: 0, to: names.count, by: step).map { FilePath.join(path, names[$0]) }
    let facts = try Array(chosen.prefix(count)).mapInParallel(grain: 1) { path -> (side: Int, isGrey: Bool)? in
      // What is bad with a file is said when it is used.
      guard let bytes = try? readFile(path, limit: 2 * ImageLimits.standard.bytes),
        let format = ImageFormat.table.first(where: { $0.signature(bytes[...]) }), let size = format.size(bytes),
        let image = try? RGBImage(decoding: bytes, name: path, atLeast: 32)
      else { return nil }
      return (min(size.width, size.height), image.isGrey)
    }.compactMap { $0 }
    guard !facts.isEmpty else { return nil }
    self.count = facts.count
    shorterSide = facts.map(\.side).sorted()[facts.count / 2]
    isGrey = facts.allSatisfy(\.isGrey)
  }
}

extension RGBImage {
  /// Whether red, green and blue are the same everywhere, up to the rounding of JPEG.
  fileprivate var isGrey: Bool {
    pixels.withUnsafeBufferPointer { pixels in
      stride(from: 0, to: pixels.count, by: 3).allSatisfy { place in
        let (red, green, blue) = (Int(pixels[place]), Int(pixels[place + 1]), Int(pixels[place + 2]))
        return abs(red - green) <= 4 && abs(green - blue) <= 4
      }
    }
  }
}
