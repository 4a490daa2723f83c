import CPNG
import MMoEFiles

/// The forms of pixels that the shim delivers.
enum PNGForm {
  /// Three bytes a pixel, composited over white.
  case rgb
  /// Four bytes a pixel.
  case rgba
  /// The file's own samples; two big-endian bytes each at 16 bits.
  case samples

  fileprivate var code: mmoe_png_form {
    switch self {
    case .rgb: MMOE_PNG_RGB8
    case .rgba: MMOE_PNG_RGBA8
    case .samples: MMOE_PNG_SAMPLES
    }
  }
}

/// A decoded PNG file, before it becomes an image.
struct DecodedPNG {
  var width: Int
  var height: Int
  var bitDepth: Int
  var colorType: Int
  var interlaced: Bool
  var bytes: [UInt8]
}

/// Reads and writes PNG files, with libpng behind a shim.
enum PNGCodec {
  /// Gray and palette files become RGB, 16-bit samples keep their high byte, transparent pixels are composited over white, and
  /// gamma and color profiles are ignored.
  static let format = ImageFormat(
    name: "PNG", suffixes: ["png"], signature: { $0.starts(with: FileKind.png) },
    size: { bytes in
      guard bytes.count >= 24 else { return nil }
      func side(_ place: Int) -> Int { bytes[place..<place + 4].reduce(0) { $0 << 8 | Int($1) } }
      return (side(16), side(20))
    },
    decode: { bytes, name, limits, _ in
      try decode(bytes, form: .rgb, name: name, limits: limits) {
        RGBImage(width: $0.width, height: $0.height, pixels: $0.bytes)
      }
    })

  /// Decodes a file to one of the shim's forms and builds a value from it.
  ///
  /// - Throws: `DataError` naming the file: no PNG, damaged, truncated, or over `limits`.
  static func decode<Value>(
    _ bytes: [UInt8], form: PNGForm, name: String, limits: ImageLimits, build: (DecodedPNG) -> Value
  ) throws -> Value {
    if bytes.starts(with: FileKind.png), bytes.dropFirst(12).starts(with: "CgBI".utf8) {
      throw DataError(
        name, found: "a PNG in Apple's own form (CgBI)", expected: "one that follows the standard",
        remedy: "convert it (`pngcrush -revert-iphone-optimizations FILE OUT`)")
    }
    var image = mmoe_png_image()
    let shimLimits = mmoe_png_limits(
      side: UInt32(clamping: limits.side), bytes: UInt64(clamping: limits.bytes))
    try withMessage(name) { message in
      mmoe_png_decode(bytes, bytes.count, shimLimits, form.code, &image, message)
    }
    defer { mmoe_png_release(&image) }
    return build(
      DecodedPNG(
        width: Int(image.width), height: Int(image.height), bitDepth: Int(image.bit_depth),
        colorType: Int(image.color_type), interlaced: image.interlaced != 0,
        bytes: [UInt8](UnsafeBufferPointer(start: image.pixels, count: Int(image.size)))))
  }

  /// Encodes 8-bit gray (1 channel) or RGB (3 channels) pixels.
  ///
  /// - Throws: `DataError` for sizes that do not fit each other, or when libpng refuses, such as for want of memory.
  static func encode(_ pixels: [UInt8], width: Int, height: Int, channels: Int, compression: Int) throws -> [UInt8] {
    guard 0...9 ~= compression else {
      throw DataError("PNG compression level \(compression), expected 0 to 9")
    }
    guard let columns = UInt32(exactly: width), let rows = UInt32(exactly: height),
      pixels.count == width * height * channels
    else {
      throw DataError("\(pixels.count) bytes for \(width) x \(height) pixels of \(channels) channels")
    }
    var file: UnsafeMutablePointer<UInt8>?
    var count = 0
    try withMessage("PNG encoder") { message in
      mmoe_png_encode(
        pixels, columns, rows, Int32(channels), Int32(compression), &file, &count, message)
    }
    defer { mmoe_png_free(file) }
    return [UInt8](UnsafeBufferPointer(start: file, count: count))
  }

  /// Runs a call of the shim and turns its message into an error.
  private static func withMessage(
    _ name: String, _ call: (UnsafeMutablePointer<CChar>) -> Int32
  ) throws {
    var message = [CChar](repeating: 0, count: Int(MMOE_PNG_MESSAGE))
    let (status, text) = message.withUnsafeMutableBufferPointer { buffer in
      let status = call(buffer.baseAddress!)
      return (status, String(cString: buffer.baseAddress!))
    }
    if status != 0 { throw DataError(name, found: "\(text)") }
  }
}

extension RGBImage {
  /// The image as a PNG file.
  ///
  /// - Parameter compression: zlib's level, 0 (none) to 9 (smallest).
  /// - Throws: `DataError` when libpng refuses, such as for want of memory.
  package func png(compression: Int = 6) throws -> [UInt8] {
    try PNGCodec.encode(pixels, width: width, height: height, channels: 3, compression: compression)
  }
}
