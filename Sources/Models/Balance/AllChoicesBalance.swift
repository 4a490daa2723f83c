import MMoETensor

/// `E Σ_e f_e P_e`, f_e the share of all (token, choice) pairs before drops that took expert e (no gradient through it), P_e
/// its mean probability. 1 at perfect balance.
///
/// With several modalities `Σ_m (T_m / T) E_m Σ_e f_me P_me`, the loss of each modality over the E_m experts that it may take,
/// weighted by its share of the tokens: the many tokens of one do not speak for the few of another.
struct AllChoicesBalance: BalanceLoss {
  static let name = "all_choices"

  func add(_ call: GatedCall, _ sums: RoutingSums, parts: Int, weight: Float, _ tape: Tape) -> Float {
    guard let modalities = call.tags.modalities, let allowed = call.allowed else {
      return tape.balanceLoss(call.choice, tokens: sums.tokens / Double(parts), load: sums.load, weight: weight)
    }
    let (choice, sums) = (call.choice, sums.modalities)
    let count = choice.expertCount
    let total = max(sums.tokens.reduce(0, +), 1)
    var value = 0.0
    var slopes = [Double](repeating: 0, count: sums.importance.count)
    for (m, tokens) in sums.tokens.enumerated() where tokens > 0 {
      let own = m * count..<(m + 1) * count
      let means = sums.importance[own].map { $0 / tokens }
      let choices = max(sums.load[own].reduce(0, +), 1)
      let experts = Double(allowed[m].count { $0 })
      for e in 0..<count {
        let share = sums.load[own.lowerBound + e] / choices
        value += tokens / total * experts * share * means[e]
        slopes[own.lowerBound + e] = Double(parts) / total * experts * share
      }
    }
    return tape.modalityLoss(choice, modalities, value: value, slopes: slopes, weight: weight)
  }
}

extension Tape {
  /// The load-balancing loss `E Σ_e f_e P_e`.
  ///
  /// With several ranks or micro-batches, f is that of the whole batch and P this part's: the mean of the parts' losses is
  /// the loss of the whole batch, and so are the gradients' means.
  ///
  /// - Parameters:
  ///   - tokens: mean number of a rank's and micro-batch's tokens, so that all count alike.
  ///   - load: choices of each expert before drops: all of them, or first choices only (GShard).
  /// - Returns: the loss without `weight`.
  func balanceLoss(_ choice: GateChoice, tokens: Double, load: [Double], weight: Float) -> Float {
    let count = choice.expertCount
    let total = Double(max(load.reduce(0, +), 1))
    let means = engine.columnMeans(choice.probabilities)
    var value = 0.0
    for e in 0..<count { value += load[e] / total * means[e] }
    value *= Double(count) * Double(choice.tokens) / tokens
    let slopes = load.map { weight * Float(Double(count) * $0 / total / tokens) }
    recordLoss("balance", value: value, weight: weight) { [self] in
      engine.addToRows(gradient(of: choice.probabilities), slopes)
    }
    return Float(value)
  }
}
