import Foundation
import MMoEFiles
import MMoETensor

/// Emoji as image–caption pairs: pictures of a font, names and groups of Unicode's list.
///
/// A family is an emoji with all its variants: skin tones, genders, and whatever has the same picture. Families are
/// divided, never their members: `heldOut` families give their base emoji (the first without a skin tone) to the split
/// `val` and the gallery `emoji`, `heldOutFlags` families of flags theirs to the gallery `flags`; the other members of such
/// families are left out of both splits.
package struct EmojiImport {
  package struct Options: Sendable {
    /// Where the Debian package fonts-noto-color-emoji puts its font.
    package var font = "/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf"
    /// Where the Debian package unicode-data puts the list.
    package var list = "/usr/share/unicode/emoji/emoji-test.txt"
    /// Families whose base emoji is kept for validation.
    package var heldOut = 400
    package var heldOutFlags = 60
    /// Another seed holds out other families.
    package var seed: UInt64 = 0
    /// Who speaks the names; nil = pictures and names alone.
    package var speech: EmojiSpeech?
    package init() {}
  }

  /// What was written.
  package struct Summary: Sendable, Equatable {
    package let sequences: Int
    /// Distinct pictures among them.
    package let pictures: Int
    package let families: Int
    /// Pictures of each part.
    package let train: Int
    package let val: Int
    package let leftOut: Int
    package let recordings: Int
  }

  package static let packages = "fonts-noto-color-emoji unicode-data"

  private let options: Options

  package init(_ options: Options = Options()) { self.options = options }

  /// Whether names are spoken.
  package var speaks: Bool { options.speech != nil }

  /// Writes `DIR/images/*.png`, `DIR/captions.jsonl` and with speech `DIR/audio/*.wav`; the folder appears under its name only when it is complete.
  ///
  /// - Parameters:
  ///   - drawing: called with the number of emoji drawn and their total.
  ///   - speaking: the same for recordings, from any thread.
  /// - Throws: `DataError` for a missing or broken font, list or program, too few families, or a folder that cannot be written.
  package func write(
    to directory: String, drawing: (_ done: Int, _ total: Int) -> Void = { _, _ in },
    speaking: @Sendable (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws -> Summary {
    for file in [options.font, options.list] where !FileManager.default.fileExists(atPath: file) {
      throw DataError(
        file, found: "missing",
        remedy:
          "emoji come from Debian packages: sudo apt-get install -y --no-install-recommends \(EmojiImport.packages)")
    }
    try options.speech?.validate()
    let entries = try EmojiList(options.list).entries
    let font = try EmojiFont(options.font)
    let folder = try StagedFolder(for: directory)
    try TokenizerFiles.makeFolder(folder.path + "/images")
    var files: [String] = []
    var hashes: [ContentHash] = []
    var fileOf: [ContentHash: String] = [:]
    for (index, entry) in entries.enumerated() {
      drawing(index, entries.count)
      let picture = try font.picture(entry.codepoints)
      let hash = ContentHash(picture.pixels)
      hashes.append(hash)
      // Some flags share a picture; it is one file with several captions.
      if fileOf[hash] == nil {
        let name = "images/\(entry.fileName).png"
        fileOf[hash] = name
        try writeFile(folder.path + "/" + name, try picture.png(compression: 6))
      }
      files.append(fileOf[hash]!)
    }
    let division = try Division(entries, hashes, options)
    let spoken = try options.speech?.write(
      entries, division.sides, seed: options.seed, to: folder.path, progress: speaking)
    var lines: [UInt8] = []
    for (index, entry) in entries.enumerated() {
      lines += try division.line(index, entry, file: files[index], recordings: spoken?[index] ?? [])
      lines.append(0x0A)
    }
    try writeFile(folder.path + "/" + PairFolder.fileName, lines)
    try folder.commit()
    return Summary(
      sequences: entries.count, pictures: fileOf.count, families: division.families,
      train: Set(entries.indices.filter { division.sides[$0] == .train }.map { files[$0] }).count,
      val: Set(entries.indices.filter { division.sides[$0] == .val }.map { files[$0] }).count,
      leftOut: Set(entries.indices.filter { division.sides[$0] == nil }.map { files[$0] }).count,
      recordings: spoken?.joined().count ?? 0)
  }

  /// Which emoji stands where.
  struct Division {
    /// Of every entry; nil = in neither.
    private(set) var sides: [DatasetSplit?]
    let families: Int
    /// The smallest member of each entry's family.
    private let roots: [Int]
    private let roleOfRoot: [Int: String]

    init(_ entries: [EmojiList.Entry], _ hashes: [ContentHash], _ options: Options) throws {
      var sets = DisjointSets(entries.count)
      sets.join(by: entries.map(EmojiList.familyKeys))
      sets.join(by: hashes.map { [$0] })
      roots = entries.indices.map { sets.root($0) }
      var bases: [Int: Int] = [:]
      for (index, root) in roots.enumerated() where !entries[index].hasSkinTone && bases[root] == nil {
        bases[root] = index
      }
      families = Set(roots).count
      // By a draw of each family's own, so that another list changes little.
      let drawn = bases.values.map { base in
        (
          base: base,
          draw: CounterRandom(
            seed: options.seed, purpose: .split, a: CounterRandom.hash(entries[base].fileName)
          ).uniform(0)
        )
      }.sorted { ($0.draw, $0.base) < ($1.draw, $1.base) }.map(\.base)
      var held: [Int: String] = [:]
      for (isFlag, count, gallery) in [(false, options.heldOut, "emoji"), (true, options.heldOutFlags, "flags")] {
        let candidates = drawn.filter { entries[$0].isFlag == isFlag }
        guard count >= 0, count < candidates.count else {
          throw DataError(
            "\(options.list)", found: "\(candidates.count) families \(isFlag ? "of flags" : "of emoji")",
            expected: "more than the \(count) that are held out", remedy: "hold out fewer")
        }
        for base in candidates.prefix(count) { held[roots[base]] = gallery }
      }
      roleOfRoot = held
      let baseOf = bases
      sides = roots.enumerated().map { index, root in
        guard held[root] != nil else { return .train }
        // Other emoji with the base's picture are further captions of it.
        return hashes[index] == hashes[baseOf[root]!] ? .val : nil
      }
    }

    private struct Line: Encodable {
      let audio: [String]?
      let image: String
      let caption: String
      let label: String
      let subgroup: String
      let group: String
      let split: String
      let gallery: String?
    }

    /// The line of `captions.jsonl`.
    func line(_ index: Int, _ entry: EmojiList.Entry, file: String, recordings: [String] = []) throws -> [UInt8] {
      let encoder = JSONEncoder()
      encoder.outputFormatting = [.withoutEscapingSlashes, .sortedKeys]
      let side = sides[index]
      return [UInt8](
        try encoder.encode(
          Line(
            audio: recordings.isEmpty ? nil : recordings, image: file, caption: entry.name, label: entry.group,
            subgroup: entry.subgroup,
            group: "family \(roots[index])", split: side?.rawValue ?? PairFolder.leftOut,
            gallery: side == .val ? roleOfRoot[roots[index]] : nil)))
    }
  }
}
