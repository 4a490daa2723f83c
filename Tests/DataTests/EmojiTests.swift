import Foundation
import Testing

@testable import MMoEData

/// Emoji as pairs: the list, families, and that no variant stands on both sides.
@Suite struct EmojiTests {
  private static let text = """
    # group: People & Body
    # subgroup: hand-fingers-open
    1F44B                ; fully-qualified     # x E0.6 waving hand
    1F44B 1F3FB          ; fully-qualified     # x E1.0 waving hand: light skin tone
    1F468 200D 1F9B0     ; fully-qualified     # x E11.0 man: red hair
    1F469 1F3FF 200D 1F9B0 ; fully-qualified   # x E11.0 woman: dark skin tone, red hair
    1F46C                ; fully-qualified     # x E1.0 men holding hands
    1F46D 1F3FB          ; fully-qualified     # x E12.0 women holding hands: light skin tone
    # group: Objects
    1F511                ; fully-qualified     # x E0.6 key
    1F5DD FE0F           ; fully-qualified     # x E0.7 old key
    1F5DD                ; unqualified         # x E0.7 old key
    """

  @Test func readsTheList() throws {
    let folder = try TemporaryFolder()
    let entries = try EmojiList(try folder.write("emoji-test.txt", [UInt8](EmojiTests.text.utf8))).entries
    #expect(entries.count == 8)
    #expect(entries[3].name == "woman: dark skin tone, red hair" && entries[3].hasSkinTone)
    #expect(entries[7].codepoints == [0x1F5DD, 0xFE0F] && entries[7].group == "Objects")
    var sets = DisjointSets(entries.count)
    sets.join(by: entries.map(EmojiList.familyKeys))
    #expect(entries.indices.map { sets.root($0) } == [0, 0, 2, 2, 4, 4, 6, 7])
    let broken = try folder.write("broken.txt", [UInt8]("\n1F44B ; fully-qualified # x\n".utf8))
    #expect(message { _ = try EmojiList(broken) }?.contains("broken.txt:2") == true)
    let empty = try folder.write("empty.txt", [UInt8]("# nothing\n".utf8))
    #expect(message { _ = try EmojiList(empty) }?.contains("fully-qualified") == true)
  }

  @Test func saysWhichPackagesAreMissing() throws {
    let folder = try TemporaryFolder()
    var options = EmojiImport.Options()
    options.font = folder.path + "/none.ttf"
    let found = message { _ = try EmojiImport(options).write(to: folder.path + "/out") }
    #expect(found?.contains("fonts-noto-color-emoji") == true)
    options.font = try folder.write("text.ttf", [1, 2, 3])
    options.list = try folder.write("emoji-test.txt", [UInt8](EmojiTests.text.utf8))
    #expect(message { _ = try EmojiImport(options).write(to: folder.path + "/out") }?.contains("text.ttf") == true)
    #expect(!FileManager.default.fileExists(atPath: folder.path + "/out"))
  }

  /// The real font and list, where the packages are installed: exactly so many base emoji, no family and no picture on
  /// both sides.
  @Test(.enabled(if: EmojiTests.hasPackages, "fonts-noto-color-emoji and unicode-data are not installed"))
  func dividesByFamilies() throws {
    let entries = try EmojiList(EmojiImport.Options().list).entries
    let font = try EmojiFont(EmojiImport.Options().font)
    // Every seventh picture stands for itself, the rest by their code points: drawing all takes long in debug builds.
    let hashes = try entries.enumerated().map { index, entry in
      index % 7 == 0
        ? ContentHash(try font.picture(entry.codepoints).pixels) : ContentHash([UInt8](entry.fileName.utf8))
    }
    #expect(Set(hashes).count > 3_600)
    let division = try EmojiImport.Division(entries, hashes, EmojiImport.Options())
    let held = entries.indices.filter { division.sides[$0] == .val }
    #expect(held.filter { !entries[$0].isFlag }.count == 400 && held.filter { entries[$0].isFlag }.count == 60)
    #expect(held.allSatisfy { !entries[$0].hasSkinTone })
    let train = Set(
      entries.indices.filter { division.sides[$0] == .train }.flatMap { EmojiList.familyKeys(of: entries[$0]) })
    #expect(held.allSatisfy { train.isDisjoint(with: EmojiList.familyKeys(of: entries[$0])) })
    #expect(
      try JSONSerialization.jsonObject(with: Data(try division.line(held[0], entries[held[0]], file: "images/x.png")))
        as? [String: String] != nil)
  }

  static var hasPackages: Bool {
    let options = EmojiImport.Options()
    return [options.font, options.list].allSatisfy(FileManager.default.fileExists(atPath:))
  }
}
