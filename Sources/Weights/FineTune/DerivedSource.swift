import MMoEConfig
import MMoEModels
import MMoETrain

/// Where an array comes from when the source has none of its name or another number of experts: how dense models become
/// mixtures of experts ("sparse upcycling", Komatsuzaki et al., arXiv 2212.05055), mixtures change their number of experts,
/// and variants turn into each other.
struct DerivedSource {
  /// The array is their mean.
  let names: [String]
  /// Whether other arrays of the new model have the same source, so that noise may tell them apart.
  let isShared: Bool

  /// - Parameters:
  ///   - target: the array of the new model.
  ///   - experts: of the new model's layers.
  ///   - source: the arrays that there are.
  /// - Returns: nil where there is nothing that the array could come from.
  static func find(for target: String, experts: Int, in source: SourceArrays) -> DerivedSource? {
    let expertPath = PathPattern("*.moe.experts.*.fc*")
    if let found = expertPath.captures(in: target), let expert = Int(found[1]) {
      let (block, rest) = (found[0], "fc" + found[2])
      let own = source.experts(of: block)
      if own == 0 { return copy("\(block).mlp.\(rest)", source, isShared: true) }
      let names = origins(of: expert, of: experts, among: own).map { source.expert($0, of: block, rest) }
      // Adapters have no counterpart in a model without any.
      guard names.allSatisfy(source.contains) else { return nil }
      return DerivedSource(names: names, isShared: experts > own && expert >= own)
    }
    if source.contains(target) { return DerivedSource(names: [target], isShared: false) }
    func captures(_ pattern: String) -> [String]? { PathPattern(pattern).captures(in: target) }
    if let found = captures("*.moe.shared.*") {
      return copy("\(found[0]).mlp.\(found[1])", source, isShared: false) ?? mean(found[0], found[1], source)
    }
    if let found = captures("*.mlp.*") {
      return copy("\(found[0]).moe.shared.\(found[1])", source, isShared: false) ?? mean(found[0], found[1], source)
    }
    // A shortcut's state is normed as the experts' input was.
    if let found = captures("*.moe.shortcut_norm.*") {
      return copy("\(found[0]).norm2.\(found[1])", source, isShared: false)
    }
    if let found = captures("*.moe.gate2.*") {
      return copy("\(found[0]).moe.gate.\(found[1])", source, isShared: false)
    }
    return nil
  }

  /// The source's experts that expert `e` of `count` comes from: where there are more than before, e modulo their number;
  /// where there are fewer, all that have e for a remainder.
  static func origins(of e: Int, of count: Int, among own: Int) -> [Int] {
    count >= own ? [e % own] : Array(stride(from: e, to: own, by: count))
  }

  private static func copy(_ name: String, _ source: SourceArrays, isShared: Bool) -> DerivedSource? {
    source.contains(name) ? DerivedSource(names: [name], isShared: isShared) : nil
  }

  private static func mean(_ block: String, _ rest: String, _ source: SourceArrays) -> DerivedSource? {
    let names = (0..<source.experts(of: block)).map { source.expert($0, of: block, rest) }
    return names.isEmpty ? nil : DerivedSource(names: names, isShared: false)
  }
}

/// The names and shapes of a source.
struct SourceArrays {
  private let shapes: [String: [Int]]
  /// Experts by the path of their block.
  private let counts: [String: Int]

  init(_ arrays: [(name: String, shape: [Int])]) {
    shapes = Dictionary(uniqueKeysWithValues: arrays.map { ($0.name, $0.shape) })
    var counts: [String: Int] = [:]
    for (name, _) in arrays {
      guard let found = PathPattern("*.moe.experts.*.*").captures(in: name), let expert = Int(found[1]) else {
        continue
      }
      counts[found[0]] = max(counts[found[0]] ?? 0, expert + 1)
    }
    self.counts = counts
  }

  func contains(_ name: String) -> Bool { shapes[name] != nil }
  func shape(_ name: String) -> [Int]? { shapes[name] }
  /// Experts of a block such as `blocks.1`.
  func experts(of block: String) -> Int { counts[block] ?? 0 }

  func expert(_ number: Int, of block: String, _ rest: String) -> String {
    "\(block).moe.experts.\(CheckpointLayout.number(number)).\(rest)"
  }
}
