import CGlyphs
import MMoEFiles

/// Draws lines of text, such as names of classes under pictures.
package final class TextDrawer {
  /// DejaVu Sans, which plots use too (Debian: `fonts-dejavu-core`): Latin, Greek, Cyrillic and more.
  package static let file = "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf"

  /// Pixels from one line to the next.
  let lineHeight: Int
  private let baseline: Int
  private let font: OpaquePointer

  /// - Parameter size: of the letters, in pixels.
  /// - Throws: `DataError` for a font that is missing or has no outlines.
  package init(_ path: String = TextDrawer.file, size: Int = 13) throws {
    var message = [CChar](repeating: 0, count: Int(MMOE_GLYPH_MESSAGE))
    guard let font = mmoe_text_open(path, Int32(size), &message) else {
      let reason = String(decoding: message.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
      throw DataError(
        path, found: reason, expected: "a font to write names with",
        remedy: "install it with `apt-get install fonts-dejavu-core`")
    }
    self.font = font
    lineHeight = size * 4 / 3
    baseline = size * 21 / 20
  }

  deinit { mmoe_font_close(font) }

  /// The width of a line in pixels.
  func width(of text: String) -> Int {
    let bytes = Array(text.utf8)
    return bytes.withUnsafeBytes {
      Int(mmoe_text_draw(font, $0.assumingMemoryBound(to: CChar.self).baseAddress, bytes.count, nil, 0, 0, 0))
    }
  }

  /// A text that is cut with an ellipsis where it is wider than so many pixels.
  func fitted(_ text: String, into pixels: Int) -> String {
    guard width(of: text) > pixels else { return text }
    var kept = Array(text.prefix(200))
    while !kept.isEmpty, width(of: String(kept) + "…") > pixels { kept.removeLast() }
    return kept.isEmpty ? "" : String(kept) + "…"
  }

  /// How much a line of `width` × `lineHeight` pixels is covered by a text from its left, 255 = wholly.
  func mask(_ text: String, width: Int) -> [UInt8] {
    let bytes = Array(text.utf8)
    var mask = [UInt8](repeating: 0, count: width * lineHeight)
    bytes.withUnsafeBytes {
      _ = mmoe_text_draw(
        font, $0.assumingMemoryBound(to: CChar.self).baseAddress, bytes.count, &mask, Int32(width), Int32(lineHeight),
        Int32(baseline))
    }
    return mask
  }
}
