import Foundation
import MMoEFiles

/// The emoji of Unicode's `emoji-test.txt`, in its order, with names, groups and families.
struct EmojiList {
  /// One fully-qualified sequence.
  struct Entry: Equatable {
    let codepoints: [UInt32]
    /// The CLDR short name, such as `red apple` or `waving hand: light skin tone`.
    let name: String
    /// The heading that it stands under, such as `Food & Drink`, and the one below that, such as `food-fruit`.
    let group: String
    let subgroup: String

    var hasSkinTone: Bool { codepoints.contains(where: EmojiList.skinTones.contains) }
    var isFlag: Bool { group == "Flags" }
    /// `1f44b-1f3fb`: names files.
    var fileName: String { codepoints.map { String($0, radix: 16) }.joined(separator: "-") }
  }

  let entries: [Entry]

  /// Reads the list.
  ///
  /// A line is `1F34E ; fully-qualified # 🍎 E0.6 red apple`; groups stand in comments.
  ///
  /// - Throws: `DataError` naming file and line.
  init(_ path: String) throws {
    var entries: [Entry] = []
    var (group, subgroup) = ("", "")
    let lines = String(decoding: try readFile(path, limit: 64 << 20), as: UTF8.self).split(
      separator: "\n", omittingEmptySubsequences: false)
    for (number, line) in lines.enumerated() {
      if line.hasPrefix("# group: ") { group = line.dropFirst(9).trimmingCharacters(in: .whitespaces) }
      if line.hasPrefix("# subgroup: ") { subgroup = line.dropFirst(12).trimmingCharacters(in: .whitespaces) }
      guard !line.hasPrefix("#"), line.contains("; fully-qualified") else { continue }
      let halves = line.split(separator: "#", maxSplits: 1)
      let codepoints = halves[0].prefix { $0 != ";" }.split(separator: " ").map { UInt32($0, radix: 16) }
      // The picture, the version, then the name.
      let words = halves.count == 2 ? halves[1].split(separator: " ", maxSplits: 2) : []
      guard words.count == 3, !codepoints.isEmpty, !codepoints.contains(nil) else {
        throw DataError(
          "\(path):\(number + 1)", found: "'\(line.prefix(60))'", expected: "`CODE POINTS ",
          remedy: "fully-qualified # emoji version name`")
      }
      entries.append(
        Entry(
          codepoints: codepoints.compactMap { $0 }, name: words[2].trimmingCharacters(in: .whitespaces), group: group,
          subgroup: subgroup))
    }
    guard !entries.isEmpty else {
      throw DataError(path, found: "no line with fully-qualified", expected: "Unicode's emoji-test.txt")
    }
    self.entries = entries
  }

  static let skinTones: ClosedRange<UInt32> = 0x1F3FB...0x1F3FF
  /// Variation selector 16, and the joiner with the signs of the two genders.
  private static let ignored: Set<UInt32> = [0xFE0F, 0x200D, 0x2640, 0x2642]
  /// Code points that tell persons apart by gender, first the one that stands for all.
  private static let persons: [[UInt32]] = [
    [0x1F9D1, 0x1F468, 0x1F469], [0x1F9D3, 0x1F474, 0x1F475], [0x1F9D2, 0x1F466, 0x1F467],
    [0x1FAC5, 0x1F934, 0x1F478], [0x1F57A, 0x1F483], [0x1F385, 0x1F936], [0x1FAC4, 0x1F930, 0x1FAC3],
  ]
  private static let person: [UInt32: UInt32] = Dictionary(
    uniqueKeysWithValues: persons.flatMap { set in set.map { ($0, set[0]) } })
  /// Words of names that only say who is shown.
  private static let personWords: Set<String> = [
    "man", "woman", "men", "women", "person", "people", "boy", "girl", "child", "baby", "old", "older", "and", "mrs.",
    "mx", "santa", "mother", "father",
  ]

  /// What variants of one emoji share: the code points without skin tone and gender, and for persons the name without the
  /// words that say who is shown.
  static func familyKeys(of entry: Entry) -> [String] {
    let codepoints = entry.codepoints.filter { !skinTones.contains($0) && !ignored.contains($0) }
      .map { person[$0] ?? $0 }
    var keys = ["codepoints " + codepoints.map { String($0, radix: 16) }.joined(separator: "-")]
    guard entry.group == "People & Body" else { return keys }
    let parts = entry.name.lowercased().split(whereSeparator: { $0 == ":" || $0 == "," })
      .filter { !$0.hasSuffix("skin tone") }
    let words = parts.flatMap { $0.split(separator: " ") }.map(String.init).filter { !personWords.contains($0) }
    keys.append("name " + words.joined(separator: " "))
    return keys
  }
}

/// Sets that grow together: which of a number of things belong to one another.
struct DisjointSets {
  private var parent: [Int]

  init(_ count: Int) { parent = Array(0..<count) }

  /// The smallest member of the set that holds `index`.
  mutating func root(_ index: Int) -> Int {
    var root = index
    while parent[root] != root { root = parent[root] }
    var at = index
    while parent[at] != root { (at, parent[at]) = (parent[at], root) }
    return root
  }

  mutating func join(_ a: Int, _ b: Int) {
    let (a, b) = (root(a), root(b))
    parent[max(a, b)] = min(a, b)
  }

  /// Joins all that share a key.
  mutating func join<Key: Hashable>(by keys: [[Key]]) {
    var first: [Key: Int] = [:]
    for (index, keys) in keys.enumerated() {
      for key in keys {
        if let other = first[key] { join(other, index) } else { first[key] = index }
      }
    }
  }
}
