import Foundation
import MMoETensor

/// The mean of CV²(importance) and, with gate noise, CV²(load) (Shazeer et al., arXiv 1701.06538).
struct ImportanceLoadBalance: BalanceLoss {
  static let name = "importance_load"

  func measure(_ call: GatedCall, _ engine: Engine) -> [Double] { ExpectedLoad(call).sums(engine) }

  func add(_ call: GatedCall, _ sums: RoutingSums, parts: Int, weight: Float, _ tape: Tape) -> Float {
    let count = call.choice.expertCount
    return tape.importanceLoadLoss(
      ExpectedLoad(call), importance: Array(sums.balance[..<count]), load: Array(sums.balance[count...]),
      weight: weight,
      parts: parts)
  }
}

extension Tape {
  /// Importance and load loss (Shazeer et al., arXiv 1701.06538): the mean of CV²(importance) and CV²(load). Without
  /// noise there is no smooth load, and CV²(importance) stands alone. Uses variances, never standard deviations: no NaN
  /// gradient at perfect balance.
  ///
  /// - Parameters:
  ///   - expected: this rank's part, through which gradients flow.
  ///   - importance, load: `[E]`, the sums of the whole batch.
  ///   - parts: ranks times micro-batches; gradients are averaged over them, while these sums are not means.
  fileprivate func importanceLoadLoss(
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
private struct ExpectedLoad {
  let choice: GateChoice
  /// `[T, E]` before and after noise.
  let logits, noisyLogits: Tensor
  /// Standard deviation σ of the noise; 0 = none.
  private let noise: Float

  init(_ call: GatedCall) {
    (choice, logits, noisyLogits, noise) = (call.choice, call.logits, call.noisyLogits, call.noise)
  }

  /// Importance, then load, of each expert; without load where there is no noise.
  func sums(_ engine: Engine) -> [Double] {
    let importance = engine.columnMeans(choice.probabilities).map { $0 * Double(choice.tokens) }
    guard noise > 0 else { return importance }
    let count = choice.expertCount
    let z = logits.pointer
    var load = [Double](repeating: 0, count: count)
    for t in 0..<choice.tokens {
      let limit = threshold(t).value
      for e in 0..<count {
        load[e] += 0.5 * erfc(Double(limit - z[t * count + e]) / Double(noise) * 0.5.squareRoot())
      }
    }
    return importance + load
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
