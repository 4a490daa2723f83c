/// Files of a data set that are not used: how many of each kind, and the first one. Nothing is left out without a word.
public struct LeftOut: Sendable, Codable, Equatable {
  /// Files that are left out for one reason.
  public struct Kind: Sendable, Codable, Equatable {
    public let reason: String
    public internal(set) var count: Int
    /// The first one's path.
    public let first: String
  }

  /// In the order in which they were met.
  public private(set) var kinds: [Kind] = []

  public init() {}

  public var count: Int { kinds.reduce(0) { $0 + $1.count } }

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
  public var text: String? {
    guard !kinds.isEmpty else { return nil }
    return "left out: "
      + kinds.map { "\($0.reason) (\($0.count), \($0.count > 1 ? "such as " : "")\($0.first))" }.joined(separator: "; ")
  }
}
