import Foundation
import MMoETensor

extension Tape {
  /// The load-balancing loss `E Σ_e f_e P_e`, f_e the share of choices that took expert e (no gradient through it),
  /// P_e its mean probability. 1 at perfect balance.
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

  /// Importance and load loss (Shazeer et al., arXiv 1701.06538): the mean of CV²(importance) and CV²(load). Without
  /// noise there is no smooth load, and CV²(importance) stands alone. Uses variances, never standard deviations: no NaN
  /// gradient at perfect balance.
  ///
  /// - Parameters:
  ///   - expected: this rank's part, through which gradients flow.
  ///   - importance, load: `[E]`, the sums of the whole batch.
  ///   - parts: ranks times micro-batches; gradients are averaged over them, while these sums are not means.
  func importanceLoadLoss(
    _ expected: ExpectedLoad, importance: [Double], load: [Double], weight: Float, parts: Int
  ) -> Float {
    let share: Float = load.isEmpty ? 1 : 0.5
    let scale = weight * share * Float(parts)
    let (importanceValue, importanceSlope) = squaredVariation(importance)
    recordLoss("importance", value: importanceValue, weight: weight * share) { [self] in
      engine.addToRows(
        gradient(of: expected.choice.probabilities), importanceSlope.map { Float($0) * scale })
    }
    guard !load.isEmpty else { return Float(importanceValue) }
    let (loadValue, loadSlope) = squaredVariation(load)
    recordLoss("load", value: loadValue, weight: weight * share) { [self] in
      expected.addLoadGradient(
        loadSlope, scale: scale, logits: gradient(of: expected.logits).pointer,
        noisyLogits: gradient(of: expected.noisyLogits).pointer)
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

/// Importance and expected load of a batch: an expert's summed probability, and its expected number of tokens under fresh
/// noise, Σ_t Φ((z_te − threshold_t) / σ), with the k-th best noisy logit as threshold.
struct ExpectedLoad {
  let choice: GateChoice
  /// `[T, E]` before and after noise.
  let logits, noisyLogits: Tensor
  /// Standard deviation σ of the noise; 0 = none.
  private let noise: Float
  let importance: [Double]
  /// Empty without noise.
  private(set) var load: [Double] = []

  init(
    _ choice: GateChoice, logits: Tensor, noisyLogits: Tensor, noise: Float, _ engine: Engine
  ) {
    self.choice = choice
    self.logits = logits
    self.noisyLogits = noisyLogits
    self.noise = noise
    importance = engine.columnMeans(choice.probabilities).map { $0 * Double(choice.tokens) }
    guard noise > 0 else { return }
    let count = choice.expertCount
    let z = logits.pointer
    load = Array(repeating: 0, count: count)
    for t in 0..<choice.tokens {
      let limit = threshold(t).value
      for e in 0..<count {
        load[e] += 0.5 * erfc(Double(limit - z[t * count + e]) / Double(noise) * 0.5.squareRoot())
      }
    }
  }

  private func threshold(_ t: Int) -> (expert: Int, value: Float) {
    let expert = Int(choice.experts[t * choice.k + choice.k - 1])
    return (expert, noisyLogits.pointer[t * choice.expertCount + expert])
  }

  func addLoadGradient(
    _ slopes: [Double], scale: Float, logits target: UnsafeMutablePointer<Float>,
    noisyLogits atThreshold: UnsafeMutablePointer<Float>
  ) {
    let (z, count) = (logits.pointer, choice.expertCount)
    for t in 0..<choice.tokens {
      let limit = threshold(t)
      for e in 0..<count {
        let u = Double(z[t * count + e] - limit.value) / Double(noise)
        let density = exp(-0.5 * u * u) / (2 * Double.pi).squareRoot() / Double(noise)
        let slope = scale * Float(slopes[e] * density)
        target[t * count + e] += slope
        atThreshold[t * count + limit.expert] -= slope
      }
    }
  }
}
