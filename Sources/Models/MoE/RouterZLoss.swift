import MMoETensor

extension Tape {
  /// The router z-loss, `mean_t logsumexp(logits_t)²` (ST-MoE, arXiv 2202.08906): keeps logits small.
  ///
  /// - Parameter tokens: mean number of a rank's and micro-batch's tokens, so that all count alike.
  func routerZLoss(_ choice: GateChoice, tokens mean: Double, weight: Float) -> Float {
    let tokens = choice.tokens
    let lse = choice.logSumExp.pointer
    var value = 0.0
    for t in 0..<tokens { value += Double(lse[t]) * Double(lse[t]) }
    value /= mean
    recordLoss("z_loss", value: value, weight: weight) { [self] in
      let target = gradient(of: choice.logSumExp).pointer
      for t in 0..<tokens { target[t] += 2 * weight * lse[t] / Float(mean) }
    }
    return Float(value)
  }
}
