import MMoETensor

extension ModelConfig {
  /// The model of this kind.
  ///
  /// - Parameters:
  ///   - seed: of the random weights; nil leaves them unset.
  ///   - describes: parameters are shapes alone, without memory; no pass may run.
  /// - Throws: `ModelError` for an impossible configuration.
  public func makeModel(
    seed: UInt64?, engine: Engine, describes: Bool = false
  ) throws -> any TrainableModel {
    switch kind {
    case .vit: try VisionTransformer(self, seed: seed, engine: engine, describes: describes)
    case .gpt: try GPT(self, seed: seed, engine: engine, describes: describes)
    case .multimodal: try MultimodalTransformer(self, seed: seed, engine: engine, describes: describes)
    default: preconditionFailure("no model of the kind \(kind.rawValue)")
    }
  }
}
