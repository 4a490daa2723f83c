import Foundation
import Testing

@testable import MMoEData

/// Lines of text in pictures.
@Suite(.enabled(if: FileManager.default.fileExists(atPath: TextDrawer.file), "needs fonts-dejavu-core"))
struct TextDrawerTests {
  /// Any text is drawn within its line, or cut.
  @Test(arguments: ["cat", "Übergröße", "", "a name that is far too long for a picture", "猫 قطة 🐈 e\u{301}\u{0}"])
  func drawsWhatFits(text: String) throws {
    let drawer = try TextDrawer()
    let fitted = drawer.fitted(text, into: 100)
    #expect(drawer.width(of: fitted) <= 100)
    #expect((fitted == text) == (drawer.width(of: text) <= 100) && (fitted == text || fitted.hasSuffix("…")))
    let mask = drawer.mask(fitted, width: 100)
    #expect(mask.count == 100 * drawer.lineHeight && mask.contains { $0 > 128 } == !text.isEmpty)
    // Twice as wide for the same word twice, but for rounding.
    #expect(abs(drawer.width(of: text + text) - 2 * drawer.width(of: text)) <= 3)
  }

  /// Below a picture, the text at the left and the value at the right; the picture itself is as it is without them.
  @Test func captions() throws {
    let picture = RGBImage.plain(width: 20, height: 10, [10, 200, 30])
    let drawer = try TextDrawer()
    let plain = ContactSheet(columns: 2, side: 100).image([picture, picture])
    let sheet = ContactSheet(columns: 2, side: 100).image(2, lines: 1, drawer) { index in
      (picture, index == 0 ? [ContactSheet.Caption("cat and dog", "97 %", color: ContactSheet.red)] : [])
    }
    #expect(sheet.width == plain.width && sheet.height == plain.height + drawer.lineHeight + 2)
    #expect(sheet.pixels.prefix(plain.width * 108 * 3) == plain.pixels.prefix(plain.width * 108 * 3))
    let below = (110..<110 + drawer.lineHeight).map { y in
      (0..<sheet.width).map { Array(sheet.pixels[(y * sheet.width + $0) * 3..<(y * sheet.width + $0) * 3 + 3]) }
    }
    func isWritten(_ columns: Range<Int>) -> Bool { below.contains { $0[columns].contains { $0 != [255, 255, 255] } } }
    #expect(isWritten(8..<30) && isWritten(85..<108) && !isWritten(0..<8) && !isWritten(109..<sheet.width))
  }

  @Test(arguments: ["/no/such/font.ttf", "/etc/passwd"]) func noFont(path: String) {
    #expect { try TextDrawer(path) } throws: {
      "\($0)".hasPrefix("\(path): cannot be opened as a font")
        && "\($0)".hasSuffix("`apt-get install fonts-dejavu-core`")
    }
  }
}
