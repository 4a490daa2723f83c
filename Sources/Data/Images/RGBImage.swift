/// A decoded image: 8-bit RGB in memory, wherever it comes from.
public struct RGBImage: Sendable, Equatable {
  public let width: Int
  public let height: Int
  /// `height × width × 3` bytes, row-major, channels interleaved.
  public let pixels: [UInt8]

  /// An image of given pixels; `pixels` holds `height × width × 3` bytes.
  package init(width: Int, height: Int, pixels: [UInt8]) {
    precondition(
      width > 0 && height > 0 && pixels.count == width * height * 3,
      "\(pixels.count) bytes for \(width) × \(height) RGB pixels")
    self.width = width
    self.height = height
    self.pixels = pixels
  }
}
