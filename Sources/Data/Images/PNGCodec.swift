import CPNG

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

/// The raw result of a decoder, before it becomes an image.
struct DecodedPNG {
  var width: Int
  var height: Int
  var bitDepth: Int
  var colourType: Int
  var interlaced: Bool
  var bytes: [UInt8]
}

/// Decodes a file to one of the shim's forms and builds a value from it.
func decodePNG<Value>(
  _ bytes: [UInt8], form: PNGForm, name: String, limits: ImageLimits,
  build: (DecodedPNG) -> Value
) throws -> Value {
  if let other = FileKind.otherThanPNG(Array(bytes.prefix(FileKind.sampleSize))) {
    throw DataError("\(name): \(other)")
  }
  var image = mmoe_png_image()
  let shimLimits = mmoe_png_limits(
    side: UInt32(clamping: limits.side), bytes: UInt64(clamping: limits.bytes))
  try withPNGMessage(name) { message in
    mmoe_png_decode(bytes, bytes.count, shimLimits, form.code, &image, message)
  }
  defer { mmoe_png_release(&image) }
  return build(
    DecodedPNG(
      width: Int(image.width), height: Int(image.height), bitDepth: Int(image.bit_depth),
      colourType: Int(image.color_type), interlaced: image.interlaced != 0,
      bytes: [UInt8](UnsafeBufferPointer(start: image.pixels, count: Int(image.size)))))
}

/// Encodes 8-bit grey (1 channel) or RGB (3 channels) pixels.
func encodePNG(_ pixels: [UInt8], width: Int, height: Int, channels: Int, compression: Int) throws
  -> [UInt8]
{
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
  try withPNGMessage("PNG encoder") { message in
    mmoe_png_encode(
      pixels, columns, rows, Int32(channels), Int32(compression), &file, &count, message)
  }
  defer { mmoe_png_free(file) }
  return [UInt8](UnsafeBufferPointer(start: file, count: count))
}

/// Runs a call of the shim and turns its message into an error.
private func withPNGMessage(
  _ name: String, _ call: (UnsafeMutablePointer<CChar>) -> Int32
) throws {
  var message = [CChar](repeating: 0, count: Int(MMOE_PNG_MESSAGE))
  let (status, text) = message.withUnsafeMutableBufferPointer { buffer in
    let status = call(buffer.baseAddress!)
    return (status, String(cString: buffer.baseAddress!))
  }
  if status != 0 { throw DataError("\(name): \(text)") }
}
