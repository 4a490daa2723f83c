/// The modality of every token of a pass.
public struct TokenModalities: Sendable {
  public let names: [String]
  /// `[T]`, indices into `names`.
  public let of: [Int32]

  public init(names: [String], of: [Int32]) {
    (self.names, self.of) = (names, of)
  }

  /// Tokens of each modality.
  var counts: [Int] {
    var counts = [Int](repeating: 0, count: names.count)
    for kind in of { counts[Int(kind)] += 1 }
    return counts
  }
}
