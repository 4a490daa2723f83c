import Foundation

/// Where every (token, choice) pair goes: expert queues, drops and the order of rows. A value, computed from the
/// choices alone.
///
/// Rows are sorted by expert; cut into several parts, part by part.
///
/// Queues fill with all first choices in token order, then all second choices; with priorities, in order of falling
/// priority within each. Where no token may depend on a later one, every sequence has queues of its own (`CausalQueues`).
/// A pair is kept while its place is below the capacity; a dropped one adds nothing.
public struct DispatchPlan: Sendable {
  public let tokens: Int
  /// The most choices of a token.
  public let k: Int
  /// Rows that buffers are sized for, so that they keep their size from step to step.
  public let mostRows: Int
  public let parts: RouteParts
  /// Rows an expert may take, of each sequence with causal queues (`ExpertCapacity`); nil = dropless.
  public let capacity: Int?
  /// Choices of each expert before drops, identity experts at the end.
  public let load: [Int]
  /// Rows of each expert after drops, `[E]`.
  public let kept: [Int]
  /// In part `c`, expert `e` has the sorted rows `offsets[c][e]..<offsets[c][e + 1]`.
  public let offsets: [[Int]]
  /// `[T · k]`, place in the expert's queue before drops; −1 where there is no choice.
  public let place: [Int32]
  /// `[T · k]`, sorted row of each pair, −1 where dropped, an identity, or no choice.
  public let position: [Int32]
  /// Token of each sorted row.
  public let source: [Int32]

  /// - Parameters:
  ///   - experts: `[T · k]`, best first; −1 = no choice.
  ///   - mostRows: the rows there can be; nil = T · k.
  ///   - expertCount: E, those that take rows.
  ///   - identities: choices numbered from E on that take none.
  ///   - capacityFactor: 0 = dropless; C shares the pairs out over experts and identities.
  ///   - priority: `[T]`, higher goes first; nil = token order.
  ///   - parts: that the rows are cut into.
  ///   - queues: of sequences whose tokens may not depend on later ones; priorities do not count there.
  init(
    experts: [Int32], tokens: Int, k: Int, mostRows: Int? = nil, expertCount: Int, identities: Int = 0,
    capacityFactor: Double = 0, priority: [Float]? = nil, parts: RouteParts = .whole, queues: CausalQueues?
  ) {
    self.tokens = tokens
    self.k = k
    self.mostRows = mostRows ?? tokens * k
    self.parts = parts
    let pairs = tokens * k
    let choices = expertCount + identities
    capacity = ExpertCapacity.rows(
      factor: capacityFactor, pairs: queues.map { $0.longest * k } ?? pairs, choices: choices)
    let limit = capacity ?? Int.max
    var load = [Int](repeating: 0, count: choices)
    // Rows of an expert stand in the order of its kept pairs.
    var row: [Int32]?
    if let queues, capacity != nil {
      let causal = queues.places(experts, k: k, choices: choices)
      for expert in experts where expert >= 0 { load[Int(expert)] += 1 }
      var kept = [Int](repeating: 0, count: choices)
      row = (0..<pairs).map { pair in
        guard causal[pair] >= 0 && causal[pair] < limit else { return -1 }
        defer { kept[Int(experts[pair])] += 1 }
        return Int32(kept[Int(experts[pair])])
      }
      place = causal
      self.kept = Array(kept.prefix(expertCount))
    } else {
      let order = priority.map { p in
        (0..<tokens).sorted { p[$0] != p[$1] ? p[$0] > p[$1] : $0 < $1 }
      }
      place = [Int32](unsafeUninitializedCapacity: pairs) { places, count in
        experts.withUnsafeBufferPointer { experts in
          for choice in 0..<k {
            for i in 0..<tokens {
              let pair = (order?[i] ?? i) * k + choice
              let expert = Int(experts[pair])
              guard expert >= 0 else {
                places[pair] = -1
                continue
              }
              places[pair] = Int32(load[expert])
              load[expert] += 1
            }
          }
        }
        count = pairs
      }
      kept = load.prefix(expertCount).map { min($0, limit) }
    }
    self.load = load
    offsets = DispatchPlan.offsets(kept, parts)
    let rows = offsets.last!.last!
    var source = [Int32](repeating: 0, count: rows)
    let rowInExpert = row ?? place
    let rowLimit = row == nil ? limit : Int.max
    position = [Int32](unsafeUninitializedCapacity: pairs) { [kept, offsets] positions, count in
      for pair in 0..<pairs {
        let at = Int(rowInExpert[pair])
        let expert = Int(experts[pair])
        if at >= 0 && at < rowLimit && expert < expertCount {
          var partIndex = 0
          if parts.count > 1 {
            while at >= parts.start(partIndex + 1, of: expert, rows: kept[expert]) { partIndex += 1 }
          }
          let row = offsets[partIndex][expert] + at - parts.start(partIndex, of: expert, rows: kept[expert])
          positions[pair] = Int32(row)
          source[row] = Int32(pair / k)
        } else {
          positions[pair] = -1
        }
      }
      count = pairs
    }
    self.source = source
  }

  /// Queues that all tokens share.
  public init(
    experts: [Int32], tokens: Int, k: Int, expertCount: Int, identities: Int = 0, capacityFactor: Double = 0,
    priority: [Float]? = nil, parts: RouteParts = .whole
  ) {
    self.init(
      experts: experts, tokens: tokens, k: k, expertCount: expertCount, identities: identities,
      capacityFactor: capacityFactor, priority: priority, parts: parts, queues: nil)
  }

  /// Where each part's rows of each expert stand when queues have these lengths: `[parts][E + 1]`.
  private static func offsets(_ counts: [Int], _ parts: RouteParts) -> [[Int]] {
    var next = 0
    return (0..<parts.count).map { part in
      var offsets = [next]
      for (expert, count) in counts.enumerated() {
        next += parts.rows(in: part, of: expert, rows: count)
        offsets.append(next)
      }
      return offsets
    }
  }

  /// Rows after drops.
  public var rows: Int { offsets.last!.last! }
  /// Pairs that were not dropped.
  public var keptPairs: Int { rows + load[kept.count...].reduce(0, +) }
  /// Choices of all tokens, before drops.
  public var pairs: Int { load.reduce(0, +) }
  /// Share of pairs dropped.
  public var dropped: Double { 1 - Double(keptPairs) / Double(max(pairs, 1)) }
}
