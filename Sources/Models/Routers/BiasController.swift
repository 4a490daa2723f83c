import MMoETensor

/// What moves the bias on a gate's choices: balance without a loss.
protocol BiasController {
  /// `[choices]`, added to the scores for the choice only.
  var values: Tensor { get }
  /// Counts one call of the gate.
  ///
  /// - Parameters:
  ///   - sums: over all ranks.
  ///   - allowed: which experts tokens of each modality may take; nil = all tokens take all.
  mutating func add(_ sums: RoutingSums, allowed: [[Bool]]?)
  /// Moves every bias one step and begins to count anew.
  mutating func update()
}

/// The controller that a configuration asks for, its bias a buffer of the gate; nil = none.
func makeBiasController(_ store: ParameterStore, _ path: String, _ config: MoEConfig) throws -> (any BiasController)? {
  guard config.biasRate > 0 else { return nil }
  let values = try store.buffer(path + ".selection_bias", count: config.choices)
  return config.realShare > 0
    ? RealShareBias(values, rate: config.biasRate, experts: config.experts, share: config.realShare)
    : SelectionBias(values, rate: config.biasRate)
}
