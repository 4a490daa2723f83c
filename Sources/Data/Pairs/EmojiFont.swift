import CGlyphs
import MMoEFiles

/// A font of color pictures, such as Noto Color Emoji: one picture for a sequence of code points.
final class EmojiFont {
  /// Side of the square that pictures are drawn in: the font's bitmaps are 136 pixels wide and 128 high.
  static let side = 136

  private let path: String
  private let font: OpaquePointer

  /// - Throws: `DataError` for a file that is missing or no font of color bitmaps.
  init(_ path: String) throws {
    self.path = path
    var opened: OpaquePointer?
    try withGlyphMessage(path) { message in
      opened = mmoe_glyph_open(path, message)
      return opened == nil ? -1 : 0
    }
    font = opened!
  }

  deinit { mmoe_font_close(font) }

  /// The picture of a sequence of code points, over white.
  ///
  /// - Throws: `DataError` where the font has no picture of its own for it.
  func picture(_ codepoints: [UInt32]) throws -> RGBImage {
    let name = codepoints.map { String($0, radix: 16, uppercase: true) }.joined(separator: " ")
    var glyph: UInt32 = 0
    try withGlyphMessage("\(path): sequence \(name)") { message in
      mmoe_glyph_shape(font, codepoints, codepoints.count, &glyph, message)
    }
    let side = EmojiFont.side
    var pixels = [UInt8](repeating: 0, count: side * side * 3)
    try withGlyphMessage("\(path): sequence \(name)") { message in
      mmoe_glyph_draw(font, glyph, &pixels, Int32(side), message)
    }
    return RGBImage(width: side, height: side, pixels: pixels)
  }
}

/// Runs a call of the shim and turns its message into an error.
private func withGlyphMessage(_ place: String, _ call: (UnsafeMutablePointer<CChar>) -> Int32) throws {
  var message = [CChar](repeating: 0, count: Int(MMOE_GLYPH_MESSAGE))
  let (status, text) = message.withUnsafeMutableBufferPointer { buffer in
    let status = call(buffer.baseAddress!)
    return (status, String(cString: buffer.baseAddress!))
  }
  if status != 0 { throw DataError(place, found: "\(text)", remedy: "install the package again, or name another font") }
}
