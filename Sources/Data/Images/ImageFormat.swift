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
  /// Whether a file that begins with these bytes has the format.
  let signature: @Sendable (_ bytes: ArraySlice<UInt8>) -> Bool
  /// Width and height in pixels by a file's header; nil where they cannot be told.
  let size: @Sendable (_ bytes: [UInt8]) -> (width: Int, height: Int)?
  /// Decodes a file in memory; `name` is what messages call it. Where the format can be decoded at a fraction of its size faster
  /// than whole, it may be, as long as both sides keep `atLeast` pixels; 0 asks for the whole. Throws `DataError`.
  let decode: @Sendable (_ bytes: [UInt8], _ name: String, _ limits: ImageLimits, _ atLeast: Int) throws -> RGBImage

  /// The formats that are read. Another one is a file with its decoder and an entry here. Where images of several formats differ in
  /// their suffix alone, the first format's is used.
  static let table = [PNGCodec.format, PictureCodecs.jpeg, PictureCodecs.webp]

  /// The names of all formats, for messages: `PNG, JPEG or WebP`.
  package static let names = table.dropLast().map(\.name).joined(separator: ", ") + " or \(table[table.count - 1].name)"

  /// Whether a file is an image of a format that is read, by its name.
  package static func reads(_ file: String) -> Bool { rank(of: file) != nil }

  /// The place in the table of the format that a file has by its name.
  static func rank(of file: String) -> Int? {
    let suffix = suffix(of: file)
    return table.firstIndex { $0.suffixes.contains(suffix) }
  }

  /// What follows the last dot of a name, lower-cased.
  static func suffix(of file: String) -> String { file.split(separator: ".").last.map { $0.lowercased() } ?? "" }

  /// What to do about an image of a format that is not read, such as `TIFF`.
  static func conversion(of file: String = "FILE") -> String {
    "convert it (`mogrify -format png \(file)`), the original may stay"
  }
}

extension RGBImage {
  /// Decodes an image file in memory. Its first bytes say which format it has, not its name.
  ///
  /// - Parameters:
  ///   - name: what messages call the file.
  ///   - atLeast: pixels that both sides keep where a format is decoded faster at a fraction of its size; 0 = decode it whole.
  /// - Throws: `DataError` naming the file: of no format that is read, damaged, truncated, or over `limits`.
  public init(decoding bytes: [UInt8], name: String, limits: ImageLimits = .standard, atLeast: Int = 0) throws {
    let format = ImageFormat.table.first { $0.signature(bytes[...]) }
    if format == nil, let kind = FileKind.signed(Array(bytes.prefix(FileKind.sampleSize))) {
      throw DataError(
        name, found: kind.name, expected: "a \(ImageFormat.names) image",
        remedy: kind.isImage ? ImageFormat.conversion() : nil)
    }
    // What begins like nothing known is refused by a decoder, which says what it expected.
    self = try (format ?? ImageFormat.table[ImageFormat.rank(of: name) ?? 0]).decode(bytes, name, limits, atLeast)
  }

  /// The pixels that both sides of a picture keep, where it is decoded at a fraction of its size for a model: four times the side
  /// of the model's input, so that random crops of a sixteenth of the area still have one pixel per pixel.
  public static func detail(inputSide: Int) -> Int { 4 * inputSide }

  /// Reads and decodes an image file.
  ///
  /// - Parameter atLeast: pixels that both sides keep where a format is decoded faster at a fraction of its size; 0 = decode it whole.
  /// - Throws: `DataError` naming the file: unreadable, of no format that is read, damaged, truncated, or over `limits`.
  public init(contentsOf path: String, limits: ImageLimits = .standard, atLeast: Int = 0) throws {
    // An honest file holds at most two bytes a sample, barely compressed.
    let bytes = try readFile(path, limit: 2 * limits.bytes + 1 << 20)
    try self.init(decoding: bytes, name: path, limits: limits, atLeast: atLeast)
  }
}
