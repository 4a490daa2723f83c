import MMoEModels
import MMoEReport
import MMoETensor

/// Where the time of a step goes.
package struct StepProfile: Codable, Sendable {
  package struct Operation: Codable, Sendable {
    /// Backward parts end in ′.
    package var name: String
    /// Calls and time of one step.
    package var calls: Double
    package var ms: Double
    /// Of the whole step.
    package var share: Double
    /// 10⁹ operations of matrix products, and 10⁶ bytes that must move; nil where they are not counted.
    package var gflop: Double?
    package var megabytes: Double?
  }

  /// The longest first.
  package var operations: [Operation]
  /// Time of a step that no operation has, in ms.
  package var otherMs: Double
  package var otherShare: Double
  /// Time of the blocks with experts in ms: attention, norms, shared expert and all.
  package var moeBlocksMs: Double
  /// Of that time: gates, choices, plans and balance losses; moving rows to experts; bringing them back.
  package var routingShare: Double
  package var permutingShare: Double
  package var combiningShare: Double

  private static let routing: Set<String> = ["gate", "plan", "entropy", "balance", "importance", "load", "z_loss"]
  private static let permuting: Set<String> = ["permute"]
  private static let combining: Set<String> = ["combine", "identity experts", "coefficient gate"]

  /// - Parameters:
  ///   - timeline: of `steps` steps; stepSeconds: mean time of one.
  ///   - computed: share of the choices that an expert computed.
  /// - Throws: `ModelError` for an impossible configuration.
  package init(
    _ timeline: Timeline, _ config: ModelConfig, _ optimizer: OptimizerConfig, batch: Int, training: Bool, dtype: DType,
    computed: Double = 1, steps: Int, stepSeconds: Double
  ) throws {
    let costs = try OperationCosts(
      config, optimizer, batch: batch, training: training, dtype: dtype, computed: computed)
    let entries = OperationProfile(timeline).entries
    operations = entries.sorted { $0.seconds > $1.seconds }.map { entry in
      let work = costs.work[entry.name]
      return Operation(
        name: entry.name, calls: Double(entry.calls) / Double(steps), ms: entry.seconds / Double(steps) * 1e3,
        share: entry.seconds / Double(steps) / stepSeconds,
        gflop: work.flatMap { $0.flops > 0 ? $0.flops / 1e9 : nil }, megabytes: work.map { $0.bytes / 1e6 })
    }
    otherMs = (stepSeconds - entries.reduce(0) { $0 + $1.seconds } / Double(steps)) * 1e3
    otherShare = otherMs / stepSeconds / 1e3
    let moeScopes = Set((0..<config.layers).filter(config.isMoE).map { "blocks.\($0)" })
    let own = timeline.events.filter { moeScopes.contains($0.scope) && ($0.kind == .forward || $0.kind == .backward) }
    let total = own.reduce(0) { $0 + $1.seconds }
    func share(_ names: Set<String>) -> Double {
      total > 0 ? own.reduce(0) { names.contains($1.name) ? $0 + $1.seconds : $0 } / total : 0
    }
    moeBlocksMs = total / Double(steps) * 1e3
    routingShare = share(StepProfile.routing)
    permutingShare = share(StepProfile.permuting)
    combiningShare = share(StepProfile.combining)
  }

  /// A table for a terminal, and a line about the blocks with experts.
  package var text: String {
    var table = TextTable(columns: [
      .left("operation"), .right("calls"), .right("ms a step"), .right("share"), .right("GFLOP"), .right("GFLOP/s"),
      .right("MB"), .right("GB/s"),
    ])
    func cells(_ amount: Double?, digits: Int, ms: Double) -> [String] {
      guard let amount else { return ["", ""] }
      // Giga a second of what mega a millisecond is, and of giga a millisecond a thousand times as much.
      let rate = digits == 2 ? amount / ms * 1e3 : amount / ms
      return [HumanFormat.fixed(amount, digits), HumanFormat.fixed(rate, 1)]
    }
    for operation in operations {
      table.add(
        [
          operation.name, HumanFormat.fixed(operation.calls, 0), HumanFormat.fixed(operation.ms, 2),
          HumanFormat.percent(operation.share),
        ] + cells(operation.gflop, digits: 2, ms: operation.ms)
          + cells(operation.megabytes, digits: 1, ms: operation.ms))
    }
    table.add(["outside operations", "", HumanFormat.fixed(otherMs, 2), HumanFormat.percent(otherShare)])
    guard moeBlocksMs > 0 else { return table.render() }
    let moving = routingShare + permutingShare + combiningShare
    return table.render() + """
      blocks with experts \(HumanFormat.fixed(moeBlocksMs, 1)) ms a step, of it routing \(HumanFormat.percent(routingShare, digits: 2)), \
      permuting \(HumanFormat.percent(permutingShare, digits: 2)), combining \(HumanFormat.percent(combiningShare, digits: 2)): \
      \(HumanFormat.percent(moving, digits: 2))

      """
  }
}
