import MMoETensor

/// Every token takes the k experts of highest probability, a softmax of the logits.
final class SoftmaxRouter: Router {
  static let name = "softmax"
  static let settings: Set<RouterSetting> = [
    .renormalization, .selectionBias, .expertGroups, .zLoss, .identityExperts, .batchPriority, .exclusion, .balance,
  ]

  private let k: Int
  private let renormalize: Bool
  /// Nil where `moe.bias_rate` is 0.
  private var bias: (any BiasController)?

  init(_ store: ParameterStore, _ path: String, _ config: MoEConfig, k: Int) throws {
    (self.k, renormalize) = (k, config.renormalizes(k))
    bias = try makeBiasController(store, path, config)
  }

  func choose(_ input: RouterInput, _ tape: Tape) -> RouterDecision {
    let choice = tape.gate(
      input.logits, k: k, renormalize: renormalize, selectionBias: bias?.values.values, exclude: input.exclude)
    return RouterDecision(
      choice: choice, capacityFactor: input.capacityFactor, entropy: choice.softmaxEntropy(input.logits, tape))
  }

  var selectionBias: Tensor? { bias?.values }
  func observe(_ sums: RoutingSums, allowed: [[Bool]]?) { bias?.add(sums, allowed: allowed) }
  func afterStep() { bias?.update() }
}
