import MMoEModels

/// How many rows each rank of an expert group sends to each expert, seen from one rank, for one route.
final class RouteLayout {
  let plan: DispatchPlan
  let rank: Int
  let ranks: Int
  /// Experts of each rank.
  let experts: Int
  /// `[ranks][experts]`, rows that each rank sends to each expert here; empty until the counts have arrived.
  private(set) var received: [[Int]] = []
  private var parts: [Part?]

  init(_ plan: DispatchPlan, rank: Int, ranks: Int) {
    self.plan = plan
    self.rank = rank
    self.ranks = ranks
    experts = plan.kept.count / ranks
    parts = Array(repeating: nil, count: plan.parts.count)
  }

  /// Rows of this rank for every expert of the group, rank by rank: what the counts' exchange sends.
  var sent: [Int32] { plan.kept.map(Int32.init) }

  func receive(_ counts: [Int32]) {
    received = (0..<ranks).map { r in counts[r * experts..<(r + 1) * experts].map { Int($0) } }
  }

  /// Rows of a rank's experts that belong to a part, from their whole queues.
  private func rows(_ counts: [Int], in partIndex: Int) -> [Int] {
    counts.enumerated().map { plan.parts.rows(in: partIndex, of: $0.offset, rows: $0.element) }
  }

  /// One part of the route's rows.
  struct Part {
    /// For each rank: rows sent to it, and where they begin among this rank's sorted rows.
    var sentCounts: [Int] = []
    var sentStarts: [Int] = []
    /// For each rank: rows received from it, and where they begin in a buffer of all that other ranks sent.
    var receivedCounts: [Int] = []
    var receivedStarts: [Int] = []
    /// Rows from other ranks.
    var foreignRows = 0
    /// Rows here sorted by expert, within it by rank: `[experts + 1]`.
    var offsets: [Int] = [0]
    /// Runs of rows of one rank and one expert.
    var runs: [Run] = []
  }

  struct Run {
    let rank: Int
    let count: Int
    /// First row in the buffer of received rows; for this rank's own, among its sorted rows.
    let source: Int
    /// First row among the rows sorted by expert.
    let target: Int
  }

  func part(_ partIndex: Int) -> Part {
    if let part = parts[partIndex] { return part }
    let offsets = plan.offsets[partIndex]
    var part = Part()
    for r in 0..<ranks {
      part.sentStarts.append(offsets[r * experts])
      part.sentCounts.append(offsets[(r + 1) * experts] - offsets[r * experts])
    }
    let arriving = received.map { rows($0, in: partIndex) }
    var sources: [Int] = []
    for r in 0..<ranks {
      let rows = arriving[r].reduce(0, +)
      part.receivedCounts.append(rows)
      part.receivedStarts.append(part.foreignRows)
      sources.append(r == rank ? part.sentStarts[r] : part.foreignRows)
      if r != rank { part.foreignRows += rows }
    }
    for e in 0..<experts {
      var target = part.offsets[e]
      for r in 0..<ranks {
        let rows = arriving[r][e]
        part.runs.append(Run(rank: r, count: rows, source: sources[r], target: target))
        sources[r] += rows
        target += rows
      }
      part.offsets.append(target)
    }
    parts[partIndex] = part
    return part
  }
}
