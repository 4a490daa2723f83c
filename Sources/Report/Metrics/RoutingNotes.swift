import MMoEModels

/// What the gates of a run did in its last steps that leaves a model worse than it could be, in words: experts that get no
/// tokens, and choices that the capacity drops.
package enum RoutingNotes {
  /// Steps that are looked at. One alone, of a small batch, leaves experts without tokens by chance.
  package static let window = 20
  /// From these shares on of a layer's experts, and of its choices, a line is said.
  static let (deadShare, droppedShare) = (0.25, 0.1)

  /// - Parameters:
  ///   - history: the run's metrics; of several ranks those of the first one's tokens.
  ///   - moe: the run's settings, of which the lines name the one that helps.
  /// - Returns: at most a line for each of both.
  package static func lines(_ history: MetricsHistory, _ moe: MoEConfig) -> [String] {
    var (dead, dropped): ([String], [String]) = ([], [])
    var steps = 0
    for layer in history.layers(MetricName.expertShare) {
      let shares = history.vectors(MetricName.expertShare, layer: layer).suffix(window).map(\.values)
      let experts = (0..<moe.experts).count { expert in
        shares.allSatisfy { !$0.indices.contains(expert) || $0[expert] == 0 }
      }
      if shares.count == window, Double(experts) >= deadShare * Double(moe.experts) {
        dead.append("\(experts) of \(moe.experts) experts of block \(layer)")
      }
      let drops = history.points(MetricName.dropFraction, layer: layer).suffix(window).map(\.value)
      let share = drops.reduce(0, +) / Double(max(drops.count, 1))
      if share >= droppedShare { dropped.append("\(HumanFormat.percent(share)) in block \(layer)") }
      steps = max(steps, shares.count)
    }
    let when = steps == 1 ? "in the last step" : "in the last \(steps) steps"
    var lines: [String] = []
    if !dead.isEmpty {
      let remedy =
        moe.isBalanced
        ? "raise moe.balance_weight, now \(HumanFormat.exact(moe.balanceWeight)), or set moe.bias_rate"
        : "the run has no balance loss, set moe.balance or moe.bias_rate"
      lines.append("routing     collapsed: no token chose \(listed(dead)) \(when); \(remedy)")
    }
    if !dropped.isEmpty {
      lines.append(
        "routing     choices dropped \(when): \(listed(dropped)); raise moe.capacity_factor, now \(HumanFormat.exact(moe.capacityFactor)) (0 drops nothing)"
      )
    }
    return lines
  }

  /// The first few, and how many more there are.
  private static func listed(_ places: [String]) -> String {
    places.prefix(4).joined(separator: ", ") + (places.count > 4 ? " and of \(places.count - 4) more blocks" : "")
  }
}
