import Foundation
import MMoETensor

/// Round robin with equal weights: perfectly balanced, for debugging and for timing only.
final class UniformRouter: Router {
  static let name = "uniform"
  static let settings: Set<RouterSetting> = [
    .renormalization, .zLoss, .identityExperts, .batchPriority, .exclusion, .balance,
  ]
  static let learns = false

  private let k: Int

  init(_ store: ParameterStore, _ path: String, _ config: MoEConfig, k: Int) { self.k = k }

  func choose(_ input: RouterInput, _ tape: Tape) -> RouterDecision {
    let (tokens, count) = (input.logits.rows, input.logits.columns)
    let experts = (0..<tokens * k).map { pair in
      let expert = Int32(pair % count)
      return input.exclude?[pair / k] == expert ? (expert + 1) % Int32(count) : expert
    }
    let choice = GateChoice(
      experts: experts, gates: Tensor(repeating: 1 / Float(k), shape: [tokens, k]),
      probabilities: Tensor(repeating: 1 / Float(count), shape: [tokens, count]), logSumExp: Tensor.zeros([tokens]),
      tokens: tokens, expertCount: count, k: k)
    return RouterDecision(choice: choice, capacityFactor: 0, entropy: log(Double(count)) * Double(tokens))
  }
}
