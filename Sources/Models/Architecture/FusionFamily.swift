import MMoETensor

/// Samples of several modalities, and texts.
enum FusionFamily: ModelFamily {
  static let kind = ModelKind.multimodal

  static func make(_ config: ModelConfig, seed: UInt64?, engine: Engine, describes: Bool) throws -> any TrainableModel {
    try MultimodalTransformer(config, seed: seed, engine: engine, describes: describes)
  }

  static func add(_ config: ModelConfig, to walk: inout ArchitectureWalk) throws {
    switch config.fusion.kind {
    case .early:
      for modality in config.sampledModalities { walk.add(modality.operations(config)) }
      walk.addPlacedTokenEmbedding(config)
      walk.addPackedRows(config)
      try walk.addBlocks(config)
      walk.addFusionHeads(config, texts: config) { _ in config }
    case .late:
      var (first, read) = (0, 0)
      let others = config.sampledModalities.map(config.tower)
      for (modality, tower) in zip(config.sampledModalities, others) {
        walk.add(modality.operations(tower))
        try walk.addBlocks(tower, first: first)
        (first, read) = (first + tower.layers, read + tower.tokens)
      }
      let texts = config.textTower
      walk.addPlacedTokenEmbedding(texts)
      if others.count > 1 && config.fusion.crossBlocks > 0 {
        for tower in others { walk.add(.packing(rows: tower.tokens, to: read, width: tower.width)) }
        for tower in others.dropFirst() { walk.add(.sum(rows: read, width: tower.width)) }
      }
      try walk.addBlocks(texts, first: first, cross: (config.fusion.crossBlocks, rows: read, width: others[0].width))
      walk.addFusionHeads(config, texts: texts, tower: config.tower)
    }
  }

  static func randomStep(
    _ config: ModelConfig, batch: Int, engine: Engine
  ) throws -> (model: any TrainableModel, forward: (ForwardPass) -> Void) {
    let random = CounterRandom(seed: 1, purpose: .benchmark)
    let model = try MultimodalTransformer(config, seed: 1, engine: engine)
    let (modalities, text) = (config.sampledModalities, config.text)
    let samples = Dictionary(
      uniqueKeysWithValues: modalities.map { modality in
        let values = Tensor(uninitialized: [batch] + modality.shape(config))
        for i in 0..<values.count { values.pointer[i] = random.normal(UInt64(i)) }
        return (modality.name, values)
      })
    let ids = (0..<text.context).map { Int32(random.integer(UInt64($0), below: text.vocabulary)) }
    let sequences = (0..<batch).map { index in
      PackedSequences.Sequence(modalities.map { .sample($0.name, index) } + [.text(ids)])
    }
    return (
      model,
      { pass in
        let tape = pass.tape
        let states = model(PackedSequences(samples, sequences), pass)
        _ = model.nextTokenLoss(states, targets: sequences.map(\.text), weight: 1, tape)
        let pooled = modalities.map { model.pooledRows(states, of: $0.name, tape) }
        let compared =
          zip(modalities, pooled).map { model.embeddings($1, of: $0.name, tape) }
          + [model.textEmbeddings(states, of: Array(sequences.indices), tape)]
        for a in compared.indices {
          for b in compared.indices where b > a {
            _ = model.contrastiveLoss(compared[a], compared[b], weight: 1, tape)
          }
        }
        for (modality, rows) in zip(modalities, pooled) {
          guard let logits = model.classLogits(rows, of: modality.name, tape) else { continue }
          _ = tape.crossEntropy(logits, targets: sequences.indices.map { Int32($0 % modality.classes(config)) })
        }
      }
    )
  }
}

extension ArchitectureWalk {
  /// As `addTokenEmbedding`, for texts whose places in a batch are given: two look-ups and their sum.
  fileprivate mutating func addPlacedTokenEmbedding(_ config: ModelConfig) {
    let (d, text) = (config.width, config.text)
    add(
      .moving(
        "embedding", rows: text.context, width: d, forward: 2 * d, backward: 2 * d,
        parameters: text.vocabulary * d, active: text.tiedHead ? 0 : d, keeps: d))
    add(
      .moving(
        "embedding", rows: text.context, width: d, forward: 2 * d, backward: 2 * d, parameters: text.context * d,
        keeps: d))
    add(.sum(rows: text.context, width: d))
  }

  /// The rows of samples and tokens in those of their sequences.
  fileprivate mutating func addPackedRows(_ config: ModelConfig) {
    for modality in config.towerModalities {
      add(.packing(rows: modality.rows(config), to: config.tokens, width: config.width))
    }
    for _ in config.sampledModalities { add(.sum(rows: config.tokens, width: config.width)) }
  }

  /// Next tokens, the comparison of samples, and classes.
  ///
  /// - Parameter tower: of a modality.
  fileprivate mutating func addFusionHeads(
    _ config: ModelConfig, texts: ModelConfig, tower: (any Modality) -> ModelConfig
  ) {
    let (fusion, context) = (config.fusion, config.text.context)
    add(.packing(rows: context, to: context, width: texts.width))
    addLanguageHead(texts)
    func pool(_ width: Int, _ rows: Int, one isOne: Bool) -> ModelOperation {
      let moved = (rows + 1) * width
      return isOne
        ? .packing(rows: 1, to: 1, width: width)
        : .moving("mean", rows: 1, width: width, forward: moved, backward: moved)
    }
    for modality in config.sampledModalities {
      add(pool(tower(modality).width, modality.rows(config), one: modality.pooling(config) == .first))
    }
    add(pool(texts.width, context, one: fusion.textPooling == .last))
    for modality in config.towerModalities {
      add(
        .product(
          "\(modality.sample) projection", rows: 1, in: tower(modality).width, out: fusion.embedding, bias: false))
    }
    // The products of the batch's samples of two modalities are no sample's.
    let count = config.towerModalities.count
    for pair in 0..<count * (count - 1) / 2 {
      add(
        .moving(
          "contrastive", rows: 1, width: fusion.embedding, forward: 4 * fusion.embedding,
          backward: 6 * fusion.embedding, parameters: pair == 0 ? 1 : 0))
    }
    if fusion.uncertainty {
      let tasks = FusionConfig.Task.allCases.count
      add(.moving("uncertainty", rows: 1, width: tasks, forward: 0, backward: 0, parameters: tasks))
    }
    for modality in config.sampledModalities where modality.classHead != nil && modality.classes(config) > 0 {
      add(
        .product("classifier", rows: 1, in: tower(modality).width, out: modality.classes(config), bias: true))
    }
  }
}
