/// What a decoder refuses before it takes any memory.
public struct ImageLimits: Sendable, Equatable {
  /// The largest width and height in pixels.
  public var side: Int
  /// The largest number of decoded bytes of one image.
  public var bytes: Int

  public init(side: Int = 16_384, bytes: Int = 256 << 20) {
    self.side = side
    self.bytes = bytes
  }

  public static let standard = ImageLimits()
}

/// An 8-bit RGB image in memory.
///
/// Grey and palette files become RGB, 16-bit samples keep their high byte, transparent pixels are composited
/// over white, and gamma and colour profiles are ignored.
public struct PNGImage: Sendable, Equatable {
  public let width: Int
  public let height: Int
  /// `height × width × 3` bytes, row-major, channels interleaved.
  public let pixels: [UInt8]

  /// An image of given pixels; `pixels` holds `height × width × 3` bytes.
  public init(width: Int, height: Int, pixels: [UInt8]) {
    precondition(
      width > 0 && height > 0 && pixels.count == width * height * 3,
      "\(pixels.count) bytes for \(width) × \(height) RGB pixels")
    self.width = width
    self.height = height
    self.pixels = pixels
  }

  /// Decodes a PNG file in memory.
  ///
  /// - Parameter name: what messages call the file.
  /// - Throws: `DataError` naming the file: not a PNG, damaged, truncated, or over `limits`.
  public init(decoding bytes: [UInt8], name: String, limits: ImageLimits = .standard) throws {
    self = try decodePNG(bytes, form: .rgb, name: name, limits: limits) {
      PNGImage(width: $0.width, height: $0.height, pixels: $0.bytes)
    }
  }

  /// Reads and decodes a PNG file.
  ///
  /// - Throws: `DataError` naming the file: unreadable, not a PNG, damaged, truncated, or over `limits`.
  public init(contentsOf path: String, limits: ImageLimits = .standard) throws {
    // An honest file holds at most two bytes a sample, barely compressed.
    let bytes = try readFile(path, limit: 2 * limits.bytes + 1 << 20)
    try self.init(decoding: bytes, name: path, limits: limits)
  }

  /// The image as a PNG file.
  ///
  /// - Parameter compression: zlib's level, 0 (none) to 9 (smallest).
  /// - Throws: `DataError` when libpng refuses, such as for want of memory.
  public func encoded(compression: Int = 6) throws -> [UInt8] {
    try encodePNG(
      pixels, width: width, height: height, channels: 3, compression: compression)
  }
}
