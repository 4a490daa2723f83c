/// Files of a data set that are not used: how many of each kind, and the first one. Nothing is left out without a word.
package struct LeftOut: Sendable, Codable, Equatable {
  /// Files that are left out for one reason.
  package struct Kind: Sendable, Codable, Equatable {
    package let reason: String
    package internal(set) var count: Int
    /// The first one's path.
    package let first: String
  }

  /// In the order in which they were met.
  package private(set) var kinds: [Kind] = []

  package init() {}

  package var count: Int { kinds.reduce(0) { $0 + $1.count } }

  /// - Parameter reason: what such files are, in the plural.
  mutating func add(_ reason: String, _ path: String, count: Int = 1) {
    if let place = kinds.firstIndex(where: { $0.reason == reason }) {
      kinds[place].count += count
    } else {
      kinds.append(Kind(reason: reason, count: count, first: path))
    }
  }

  /// Adds what a folder below leaves out.
  mutating func add(_ other: LeftOut, below folder: String = "") {
    for kind in other.kinds {
      add(kind.reason, folder.isEmpty ? kind.first : folder + "/" + kind.first, count: kind.count)
    }
  }

  /// One line for a person; nil where nothing is left out.
  package var text: String? {
    guard !kinds.isEmpty else { return nil }
    return "left out: "
      + kinds.map { "\($0.reason) (\($0.count), \($0.count > 1 ? "such as " : "")\($0.first))" }.joined(separator: "; ")
  }
}
