import MMoEFiles

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

/// A format of image files that can be decoded.
package struct ImageFormat: Sendable {
  /// For messages.
  let name: String
  /// What file names end in, lower-cased, without the dot.
  let suffixes: Set<String>
  /// The bytes with which every file of the format begins.
  let signature: [UInt8]
  /// Decodes a file in memory; `name` is what messages call it. Throws `DataError`.
  let decode: @Sendable (_ bytes: [UInt8], _ name: String, _ limits: ImageLimits) throws -> RGBImage

  /// The formats that are read. Another one is a file with its decoder and an entry here.
  static let table = [PNGCodec.format]

  /// The names of all formats, for messages.
  package static let names = table.map(\.name).joined(separator: " or ")

  /// Whether a file is an image of a format that is read, by its name.
  package static func reads(_ file: String) -> Bool {
    table.contains { $0.suffixes.contains(suffix(of: file)) }
  }

  /// What follows the last dot of a name, lower-cased.
  static func suffix(of file: String) -> String { file.split(separator: ".").last.map { $0.lowercased() } ?? "" }
}

extension RGBImage {
  /// Decodes an image file in memory. Its first bytes say which format it has, not its name.
  ///
  /// - Parameter name: what messages call the file.
  /// - Throws: `DataError` naming the file: of no format that is read, damaged, truncated, or over `limits`.
  public init(decoding bytes: [UInt8], name: String, limits: ImageLimits = .standard) throws {
    let format = ImageFormat.table.first { bytes.starts(with: $0.signature) }
    if format == nil, let kind = FileKind.signed(Array(bytes.prefix(FileKind.sampleSize))) {
      throw DataError(
        kind.isImage
          ? "\(name): \(kind.name), expected \(ImageFormat.names); convert it (`mogrify -format png FILE`)"
          : "\(name): \(kind.name), expected a \(ImageFormat.names) image")
    }
    // What begins like nothing known is refused by a decoder, which says what it expected.
    self = try (format ?? ImageFormat.table[0]).decode(bytes, name, limits)
  }

  /// Reads and decodes an image file.
  ///
  /// - Throws: `DataError` naming the file: unreadable, of no format that is read, damaged, truncated, or over `limits`.
  public init(contentsOf path: String, limits: ImageLimits = .standard) throws {
    // An honest file holds at most two bytes a sample, barely compressed.
    let bytes = try readFile(path, limit: 2 * limits.bytes + 1 << 20)
    try self.init(decoding: bytes, name: path, limits: limits)
  }
}
