import Foundation
import MMoETensor

extension Tape {
  /// The load-balancing loss `E Σ_e f_e P_e`, f_e the share of choices that took expert e (no gradient through it),
  /// P_e its mean probability. 1 at perfect balance.
  ///
  /// - Parameter load: choices of each expert before drops: all of them, or first choices only (GShard).
  /// - Returns: the loss without `weight`.
  func balanceLoss(_ choice: GateChoice, load: [Int], weight: Float) -> Float {
    let (tokens, count) = (choice.tokens, choice.expertCount)
    let total = Double(max(load.reduce(0, +), 1))
    let means = engine.columnMeans(choice.probabilities)
    var value = 0.0
    for e in 0..<count { value += Double(load[e]) / total * means[e] }
    value *= Double(count)
    let slopes = load.map { weight * Float(Double(count) * Double($0) / total / Double(tokens)) }
    recordLoss("balance", value: value, weight: weight) { [self] in
      engine.addToRows(gradient(of: choice.probabilities), slopes)
    }
    return Float(value)
  }

  /// The router z-loss, `mean_t logsumexp(logits_t)²` (ST-MoE, arXiv 2202.08906): keeps logits small.
  func routerZLoss(_ choice: GateChoice, weight: Float) -> Float {
    let tokens = choice.tokens
    let lse = choice.logSumExp.pointer
    var value = 0.0
    for t in 0..<tokens { value += Double(lse[t]) * Double(lse[t]) }
    value /= Double(tokens)
    recordLoss("z_loss", value: value, weight: weight) { [self] in
      let target = gradient(of: choice.logSumExp).pointer
      for t in 0..<tokens { target[t] += 2 * weight * lse[t] / Float(tokens) }
    }
    return Float(value)
  }

  /// Importance and load loss (Shazeer et al., arXiv 1701.06538): the mean of CV²(importance) and CV²(load), where
  /// importance is an expert's summed probability and load its expected number of tokens under fresh noise,
  /// Σ_t Φ((z_te − threshold_t) / σ), with the k-th best noisy logit as threshold. Without noise there is no smooth
  /// load, and CV²(importance) stands alone. Uses variances, never standard deviations: no NaN gradient at
  /// perfect balance.
  ///
  /// - Parameters:
  ///   - logits, noisyLogits: `[T, E]` before and after noise.
  ///   - noise: standard deviation σ of the noise; 0 = none.
  func importanceLoadLoss(
    _ choice: GateChoice, logits: Tensor, noisyLogits: Tensor, noise: Float, weight: Float
  ) -> Float {
    let (tokens, count, k) = (choice.tokens, choice.expertCount, choice.k)
    let importance = engine.columnMeans(choice.probabilities).map { $0 * Double(tokens) }
    let share: Float = noise > 0 ? 0.5 : 1
    let (importanceValue, importanceSlope) = squaredVariation(importance)
    recordLoss("importance", value: importanceValue, weight: weight * share) { [self] in
      engine.addToRows(
        gradient(of: choice.probabilities), importanceSlope.map { Float($0) * weight * share })
    }
    guard noise > 0 else { return Float(importanceValue) }

    let (z, noisy) = (logits.pointer, noisyLogits.pointer)
    func threshold(_ t: Int) -> (expert: Int, value: Float) {
      let expert = Int(choice.experts[t * k + k - 1])
      return (expert, noisy[t * count + expert])
    }
    var load = [Double](repeating: 0, count: count)
    for t in 0..<tokens {
      let limit = threshold(t).value
      for e in 0..<count {
        load[e] += 0.5 * erfc(Double(limit - z[t * count + e]) / Double(noise) * 0.5.squareRoot())
      }
    }
    let (loadValue, loadSlope) = squaredVariation(load)
    recordLoss("load", value: loadValue, weight: weight * share) { [self] in
      let target = gradient(of: logits).pointer
      let atThreshold = gradient(of: noisyLogits).pointer
      for t in 0..<tokens {
        let limit = threshold(t)
        for e in 0..<count {
          let u = Double(z[t * count + e] - limit.value) / Double(noise)
          let density = exp(-0.5 * u * u) / (2 * Double.pi).squareRoot() / Double(noise)
          let slope = weight * share * Float(loadSlope[e] * density)
          target[t * count + e] += slope
          atThreshold[t * count + limit.expert] -= slope
        }
      }
    }
    return Float(importanceValue + loadValue) / 2
  }

  /// The gradient buffer of a tensor, zero-filled when new, for adjoints that add to parts of it.
  private func gradient(of tensor: Tensor) -> Tensor {
    if tensor.gradient == nil { accumulate(Tensor.zeros(tensor.shape), into: tensor) }
    // A tensor that needs no gradient gets a throw-away buffer.
    return tensor.gradient ?? Tensor.zeros(tensor.shape)
  }
}

/// CV² = Var / Mean² (biased variance) and its gradient.
private func squaredVariation(_ x: [Double]) -> (value: Double, gradient: [Double]) {
  let n = Double(x.count)
  let mean = x.reduce(0, +) / n
  let variance = x.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / n
  let square = mean * mean + 1e-10
  let gradient = x.map { 2 * ($0 - mean) / n / square - variance * 2 * mean / n / (square * square) }
  return (variance / square, gradient)
}
