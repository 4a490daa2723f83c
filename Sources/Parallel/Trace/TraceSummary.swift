import Foundation

/// What a trace says of each mixture-of-experts block: seconds of a step, means over steps and ranks.
package struct TraceSummary: Sendable {
  package struct Block: Sendable {
    /// Such as `blocks.1`.
    package var name: String
    /// Operators, waits inside them left out.
    package var computation = 0.0
    package var experts = 0.0
    /// Transfers in flight, start to end.
    package var exchange = 0.0
    /// Waits for them.
    package var exposed = 0.0
    package var bytes = 0
    /// The longest rank's expert time over the mean one.
    package var imbalance = 1.0
    /// Share of the time in flight that computation covered.
    package var hidden: Double { exchange > 0 ? max(0, 1 - exposed / exchange) : 1 }
  }

  package let title: String
  package let notes: [String]
  package let blocks: [Block]
  package let stepSeconds: Double
  /// Looks at what is in flight, and what they took, in a step.
  package let polls: Int
  package let pollSeconds: Double

  package init(_ trace: TraceFile) {
    title = trace.otherData.title
    notes = trace.otherData.notes
    let count = Double(max(trace.otherData.steps * trace.otherData.ranks, 1))
    var blocks: [String: Block] = [:]
    var expertTimes: [String: [Int: Double]] = [:]
    var (step, polls, pollSeconds) = (0.0, 0, 0.0)
    for event in trace.traceEvents where event.ph == "X" {
      let seconds = event.dur * 1e-6
      if event.cat == "step" { step += seconds }
      if event.cat == "poll" {
        polls += 1
        pollSeconds += seconds
      }
      guard let scope = event.args.scope, scope.hasPrefix("blocks.") else { continue }
      var block = blocks[scope] ?? Block(name: scope)
      switch event.cat {
      case "forward", "backward":
        block.computation += seconds / count
        if event.name.hasPrefix("experts") {
          block.experts += seconds / count
          expertTimes[scope, default: [:]][event.pid, default: 0] += seconds
        }
      case "exchange":
        block.exchange += seconds / count
        block.bytes += event.args.bytes ?? 0
      case "wait":
        block.exposed += seconds / count
        block.computation -= seconds / count
      default: break
      }
      blocks[scope] = block
    }
    self.blocks = blocks.values.map { block in
      var block = block
      block.bytes = Int(Double(block.bytes) / count)
      if let times = expertTimes[block.name]?.values, let longest = times.max() {
        block.imbalance = longest * Double(times.count) / max(times.reduce(0, +), 1e-12)
      }
      return block
    }.sorted { $0.name.compare($1.name, options: .numeric) == .orderedAscending }
    stepSeconds = step / count
    self.polls = Int(Double(polls) / count)
    self.pollSeconds = pollSeconds / count
  }
}
