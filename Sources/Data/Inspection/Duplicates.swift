import MMoEFiles

/// How often the same content occurs in a data set: within the parts, and in both.
package struct Duplicates: Sendable, Codable, Equatable {
  /// Where two equal samples are.
  package enum Kind: String, Sendable, Codable {
    /// The first one in the part for validation, the other in the one for training.
    case across
    case train, val
  }

  /// Two equal samples.
  package struct Pair: Sendable, Codable, Equatable {
    package let kind: Kind
    package let first, second: String
  }

  /// Samples of a part that have an equal one before them in it.
  package internal(set) var train = 0
  package internal(set) var val = 0
  /// Validation samples of which the training part has an equal one: they do not test what was learned.
  package internal(set) var across = 0
  /// Samples with another class than the first equal one.
  package internal(set) var ofOtherClass = 0
  /// Some of them, those across the parts first, then in the order of the data.
  package internal(set) var pairs: [Pair] = []

  package init() {}

  package var isEmpty: Bool { train + val + across == 0 }

  /// Lines for a terminal.
  ///
  /// - Parameters:
  ///   - samples: what they are called, in the plural.
  ///   - way: by what they are equal, such as `decoded pixels`.
  ///   - limit: pairs that are named.
  func lines(_ samples: String, by way: String, limit: Int) -> [String] {
    guard !isEmpty else { return ["no duplicate \(samples) (by \(way))"] }
    var parts: [String] = []
    if across > 0 { parts.append("\(across) of val \(across == 1 ? "is" : "are") in train, too, and test nothing new") }
    if train > 0 { parts.append("\(train) of train repeat\(train == 1 ? "s" : "") another of train") }
    if val > 0 { parts.append("\(val) of val repeat\(val == 1 ? "s" : "") another of val") }
    if ofOtherClass > 0 { parts.append("\(ofOtherClass) of these \(ofOtherClass == 1 ? "has" : "have") another class") }
    var lines = ["duplicate \(samples) (by \(way)): " + parts.joined(separator: "; ")]
    lines += pairs.prefix(limit).map { oneLine("  \($0.kind.rawValue): \($0.first) = \($0.second)") }
    let rest = across + train + val - min(limit, pairs.count)
    if rest > 0 { lines.append("  … and \(rest) more") }
    return lines
  }
}

/// Counts equal samples as they come, in any order of the parts.
///
/// `Place` is where a sample is; names are made of the few that are named.
struct DuplicateFinder<Place: Comparable & Sendable> {
  /// What is known of one content.
  private struct Entry {
    var train, val: Place?
    var valCount: Int32 = 0
    let label: Int32
  }

  /// Pairs of each kind that are kept.
  private let limit: Int
  private var entries: [ContentHash: Entry] = [:]
  private var found = Duplicates()
  private var within: [(kind: Duplicates.Kind, first: Place, second: Place)] = []

  init(limit: Int = 20) { self.limit = limit }

  /// - Parameter label: the class; equal for samples without one.
  mutating func add(_ content: ContentHash, _ split: DatasetSplit, label: Int32 = 0, at place: Place) {
    guard var entry = entries[content] else {
      entries[content] = Entry(
        train: split == .train ? place : nil, val: split == .val ? place : nil, valCount: split == .val ? 1 : 0,
        label: label)
      return
    }
    if entry.label != label { found.ofOtherClass += 1 }
    let first = split == .train ? entry.train : entry.val
    if split == .train {
      if first != nil { found.train += 1 }
      entry.train = first ?? place
    } else {
      if first != nil { found.val += 1 }
      entry.val = first ?? place
      entry.valCount += 1
    }
    let kind: Duplicates.Kind = split == .train ? .train : .val
    if let first, within.count(where: { $0.kind == kind }) < limit { within.append((kind, first, place)) }
    entries[content] = entry
  }

  /// What was found.
  ///
  /// - Parameter name: what a place is called.
  func result(_ name: (Place) -> String) -> Duplicates {
    var result = found
    var across: [(val: Place, train: Place)] = []
    for entry in entries.values {
      guard let train = entry.train, let val = entry.val else { continue }
      result.across += Int(entry.valCount)
      across.append((val, train))
    }
    across.sort { $0.val < $1.val }
    result.pairs =
      across.prefix(limit).map { Duplicates.Pair(kind: .across, first: name($0.val), second: name($0.train)) }
      + within.map { Duplicates.Pair(kind: $0.kind, first: name($0.first), second: name($0.second)) }
    return result
  }
}

extension ContentHash {
  /// The hash of decoded pixels: equal for equal pictures, however their files were compressed.
  init(_ image: RGBImage) {
    let hasher = ContentHasher()
    withUnsafeBytes(of: (UInt64(image.width).littleEndian, UInt64(image.height).littleEndian)) { hasher.add($0) }
    image.pixels.withUnsafeBytes { hasher.add($0) }
    self = hasher.value
  }
}
