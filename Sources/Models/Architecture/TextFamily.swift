import MMoETensor

/// Tokens to next tokens.
enum TextFamily: ModelFamily {
  static let kind = ModelKind.gpt

  static func make(_ config: ModelConfig, seed: UInt64?, engine: Engine, describes: Bool) throws -> any TrainableModel {
    try GPT(config, seed: seed, engine: engine, describes: describes)
  }

  static func add(_ config: ModelConfig, to walk: inout ArchitectureWalk) throws {
    walk.addTokenEmbedding(config)
    try walk.addBlocks(config)
    walk.addLanguageHead(config)
  }

  static func randomStep(
    _ config: ModelConfig, batch: Int, engine: Engine
  ) throws -> (model: any TrainableModel, forward: (ForwardPass) -> Void) {
    let random = CounterRandom(seed: 1, purpose: .benchmark)
    let model = try GPT(config, seed: 1, engine: engine)
    let (sequence, vocabulary) = (config.text.context, config.text.vocabulary)
    let ids = (0...batch * sequence).map {
      min(Int32(random.uniform(UInt64($0)) * Float(vocabulary)), Int32(vocabulary - 1))
    }
    return (
      model,
      { pass in
        _ = model.loss(Array(ids.dropLast()), targets: Array(ids.dropFirst()), sequence: sequence, pass)
      }
    )
  }
}

extension ArchitectureWalk {
  /// Rows of the table and, where they are learned, of the positions, in one operation. A look-up meets one row of the table; a
  /// tied head meets all of it.
  fileprivate mutating func addTokenEmbedding(_ config: ModelConfig) {
    let (d, text) = (config.width, config.text)
    let (positions, added) = text.positions == .learned ? (text.context * d, 1) : (0, 0)
    add(
      .moving(
        "embedding", rows: text.context, width: d, forward: (2 + added) * d, backward: (2 + 2 * added) * d,
        parameters: text.vocabulary * d + positions, active: (text.tiedHead ? 0 : d) + positions, keeps: 2 * d))
  }

  mutating func addLanguageHead(_ config: ModelConfig) {
    add(
      .languageHead(
        rows: config.text.context, width: config.width, vocabulary: config.text.vocabulary,
        isTied: config.text.tiedHead))
  }
}
