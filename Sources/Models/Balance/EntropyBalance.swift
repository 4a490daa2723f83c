import Foundation
import MMoETensor

/// `Σ_m [ mean_t H(p_t) + log E_m − H(P_m) ]`, the local and the global entropy loss of LIMoE (Mustafa et al., arXiv
/// 2206.02770): a token is sure of its experts, and a modality uses all of the E_m that it may take. For models of several
/// modalities.
struct EntropyBalance: BalanceLoss {
  static let name = "entropy"

  static func validate(_ model: ModelConfig) throws {
    guard model.kind == .multimodal else {
      throw ModelError(
        "moe.balance is \(name), which compares modalities that share a bank of experts, and there is one; use all_choices, or fusion.kind=early with several"
      )
    }
  }

  func add(_ call: GatedCall, _ sums: RoutingSums, parts: Int, weight: Float, _ tape: Tape) -> Float {
    guard let modalities = call.tags.modalities, let allowed = call.allowed else {
      preconditionFailure("an entropy loss of one modality")
    }
    let (choice, sums) = (call.choice, sums.modalities)
    let count = choice.expertCount
    let p = choice.probabilities.pointer
    var value = 0.0
    // Of a token's probabilities: a constant for each expert, less `confidence` times log p.
    var slopes = [Double](repeating: 0, count: sums.importance.count)
    var confidence = [Double](repeating: 0, count: allowed.count)
    for (m, tokens) in sums.tokens.enumerated() where tokens > 0 {
      let own = m * count..<(m + 1) * count
      let means = sums.importance[own].map { $0 / tokens }
      value += log(Double(allowed[m].count { $0 })) + means.reduce(0) { $0 + ($1 > 0 ? $1 * log($1) : 0) }
      confidence[m] = Double(parts) / tokens
      for e in 0..<count where means[e] > 0 { slopes[own.lowerBound + e] = confidence[m] * log(means[e]) }
    }
    for t in 0..<choice.tokens {
      var entropy = 0.0
      for e in 0..<count where p[t * count + e] > 0 {
        entropy -= Double(p[t * count + e]) * log(Double(p[t * count + e]))
      }
      value += confidence[Int(modalities.of[t])] * entropy
    }
    return tape.modalityLoss(
      choice, modalities, value: value, slopes: slopes, confidence: confidence, weight: weight)
  }
}

extension Tape {
  /// Adds a loss whose gradient differs between modalities.
  ///
  /// - Parameters:
  ///   - slopes: `[M · E]`, of a token's probabilities.
  ///   - confidence: `[M]`, times log p less; empty = none.
  /// - Returns: the loss without `weight`.
  func modalityLoss(
    _ choice: GateChoice, _ modalities: TokenModalities, value: Double, slopes: [Double], confidence: [Double] = [],
    weight: Float
  ) -> Float {
    let count = choice.expertCount
    let p = choice.probabilities.pointer
    recordLoss("balance", value: value, weight: weight) { [self] in
      if choice.probabilities.gradient == nil {
        accumulate(Tensor.zeros(choice.probabilities.shape), into: choice.probabilities)
      }
      guard let target = choice.probabilities.gradient?.pointer else { return }
      for t in 0..<choice.tokens {
        let m = Int(modalities.of[t])
        let sure = confidence.isEmpty ? 0 : confidence[m]
        for e in 0..<count where p[t * count + e] > 0 {
          let sureness = sure == 0 ? 0 : sure * log(Double(p[t * count + e]))
          target[t * count + e] += weight * Float(slopes[m * count + e] - sureness)
        }
      }
    }
    return Float(value)
  }
}
