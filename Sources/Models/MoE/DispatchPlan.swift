import Foundation

/// Where every (token, choice) pair goes: expert queues, drops and the order of rows. A value, computed from the
/// choices alone.
///
/// Queues fill with all first choices in token order, then all second choices; with priorities, in order of falling
/// priority within each. A pair is kept while its place is below the capacity; a dropped one adds nothing.
public struct DispatchPlan: Sendable {
  public let tokens: Int
  public let k: Int
  /// Rows an expert may take, C = ceil(cf · T · k / E); nil = dropless.
  public let capacity: Int?
  /// Choices of each expert before and after drops.
  public let load: [Int]
  public let kept: [Int]
  /// Expert `e` has the sorted rows `offsets[e]..<offsets[e + 1]`.
  public let offsets: [Int]
  /// `[T · k]`, place in the expert's queue before drops.
  public let place: [Int32]
  /// `[T · k]`, sorted row of each pair, −1 where dropped.
  public let position: [Int32]
  /// Token of each sorted row.
  public let source: [Int32]

  /// - Parameters:
  ///   - experts: `[T · k]`, best first.
  ///   - capacityFactor: 0 = dropless.
  ///   - priority: `[T]`, higher goes first; nil = token order.
  public init(
    experts: [Int32], tokens: Int, k: Int, expertCount: Int, capacityFactor: Double = 0,
    priority: [Float]? = nil
  ) {
    self.tokens = tokens
    self.k = k
    capacity =
      capacityFactor > 0
      ? Int((capacityFactor * Double(tokens * k) / Double(expertCount)).rounded(.up)) : nil
    let limit = capacity ?? Int.max
    let order = priority.map { p in
      (0..<tokens).sorted { p[$0] != p[$1] ? p[$0] > p[$1] : $0 < $1 }
    }
    var load = [Int](repeating: 0, count: expertCount)
    let pairs = tokens * k
    place = [Int32](unsafeUninitializedCapacity: pairs) { places, count in
      experts.withUnsafeBufferPointer { experts in
        for choice in 0..<k {
          for i in 0..<tokens {
            let pair = (order?[i] ?? i) * k + choice
            let expert = Int(experts[pair])
            places[pair] = Int32(load[expert])
            load[expert] += 1
          }
        }
      }
      count = pairs
    }
    self.load = load
    kept = load.map { min($0, limit) }
    var offsets = [0]
    for count in kept { offsets.append(offsets.last! + count) }
    self.offsets = offsets
    let rows = offsets.last!
    var source = [Int32](repeating: 0, count: rows)
    position = [Int32](unsafeUninitializedCapacity: pairs) { [place] positions, count in
      for pair in 0..<pairs {
        let at = Int(place[pair])
        if at < limit {
          let row = offsets[Int(experts[pair])] + at
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

  /// Rows after drops.
  public var rows: Int { offsets.last! }
  /// Share of pairs dropped.
  public var dropped: Double { 1 - Double(rows) / Double(max(tokens * k, 1)) }
}
