import Foundation
import MMoETensor

extension Tape {
  /// Balance within every modality, so that the many tokens of one do not speak for the few of another.
  ///
  /// - `allChoices`: `Σ_m (T_m / T) E_m Σ_e f_me P_me`, the load-balancing loss of each modality over the E_m experts that
  ///   it may take, weighted by its share of the tokens.
  /// - `entropy`: `Σ_m [ mean_t H(p_t) + log E_m − H(P_m) ]`, the local and the global entropy loss of LIMoE (Mustafa et
  ///   al., arXiv 2206.02770): a token is sure of its experts, and a modality uses all of its own.
  ///
  /// With several ranks or micro-batches, sums are those of the whole batch, and gradients are averaged over them.
  ///
  /// - Parameters:
  ///   - sums: of the whole batch.
  ///   - allowed: experts that each modality may take.
  ///   - parts: ranks times micro-batches.
  /// - Returns: the loss without `weight`.
  func modalityBalanceLoss(
    _ kind: BalanceLossKind, _ choice: GateChoice, _ modalities: TokenModalities, sums: ModalitySums, allowed: [Int],
    weight: Float, parts: Int
  ) -> Float {
    let count = choice.expertCount
    let total = max(sums.tokens.reduce(0, +), 1)
    let p = choice.probabilities.pointer
    var value = 0.0
    // Of a token's probabilities: a constant for each expert, less `confidence` times log p.
    var slopes = [Double](repeating: 0, count: sums.importance.count)
    var confidence = [Double](repeating: 0, count: allowed.count)
    for (m, tokens) in sums.tokens.enumerated() where tokens > 0 {
      let own = m * count..<(m + 1) * count
      let means = sums.importance[own].map { $0 / tokens }
      switch kind {
      case .entropy:
        value += log(Double(allowed[m])) + means.reduce(0) { $0 + ($1 > 0 ? $1 * log($1) : 0) }
        confidence[m] = Double(parts) / tokens
        for e in 0..<count where means[e] > 0 { slopes[own.lowerBound + e] = confidence[m] * log(means[e]) }
      default:
        let choices = max(sums.load[own].reduce(0, +), 1)
        for e in 0..<count {
          let share = sums.load[own.lowerBound + e] / choices
          value += tokens / total * Double(allowed[m]) * share * means[e]
          slopes[own.lowerBound + e] = Double(parts) / total * Double(allowed[m]) * share
        }
      }
    }
    if kind == .entropy {
      for t in 0..<choice.tokens {
        var entropy = 0.0
        for e in 0..<count where p[t * count + e] > 0 {
          entropy -= Double(p[t * count + e]) * log(Double(p[t * count + e]))
        }
        value += confidence[Int(modalities.of[t])] * entropy
      }
    }
    recordLoss("balance", value: value, weight: weight) { [self] in
      if choice.probabilities.gradient == nil {
        accumulate(Tensor.zeros(choice.probabilities.shape), into: choice.probabilities)
      }
      guard let target = choice.probabilities.gradient?.pointer else { return }
      for t in 0..<choice.tokens {
        let m = Int(modalities.of[t])
        for e in 0..<count where p[t * count + e] > 0 {
          let sureness = confidence[m] == 0 ? 0 : confidence[m] * log(Double(p[t * count + e]))
          target[t * count + e] += weight * Float(slopes[m * count + e] - sureness)
        }
      }
    }
    return Float(value)
  }
}
