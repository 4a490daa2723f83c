/// What stands before and after the blocks: embeddings and heads of every kind of model.
extension ArchitectureWalk {
  /// - Throws: `ModelError` for an unknown variant.
  mutating func addModel(_ config: ModelConfig) throws {
    func variant(_ tower: ModelConfig) throws -> MoEVariant? {
      tower.moe.variant == "dense" ? nil : try MoEVariant.resolve(tower.moe)
    }
    switch (config.kind, config.fusion.kind) {
    case (.vit, _):
      add(ModelOperation.patchEmbedding(config.vision.grid, width: config.width))
      addStack(config, try variant(config))
      addLastNorm(config)
      addImageHead(config)
    case (.gpt, _):
      addTokenEmbedding(config)
      addStack(config, try variant(config))
      addLastNorm(config)
      addLanguageHead(config)
    case (.multimodal, .early):
      for modality in config.sampledModalities { add(modality.operations(config)) }
      addPlacedTokenEmbedding(config)
      addPackedRows(config)
      addStack(config, try variant(config))
      addLastNorm(config)
      addFusionHeads(config, texts: config) { _ in config }
    case (.multimodal, .late):
      var (first, read) = (0, 0)
      for modality in config.sampledModalities {
        let tower = config.tower(of: modality)
        add(modality.operations(tower))
        addStack(tower, try variant(tower), first: first)
        addLastNorm(tower)
        (first, read) = (first + tower.layers, read + tower.tokens)
      }
      let texts = config.textTower
      addPlacedTokenEmbedding(texts)
      let others = config.sampledModalities.map(config.tower)
      if others.count > 1 && config.fusion.crossBlocks > 0 {
        for tower in others { add(.packing(rows: tower.tokens, to: read, width: tower.width)) }
        for tower in others.dropFirst() { add(.sum(rows: read, width: tower.width)) }
      }
      addStack(
        texts, try variant(texts), first: first, cross: (config.fusion.crossBlocks, rows: read, width: others[0].width))
      addLastNorm(texts)
      addFusionHeads(config, texts: texts, tower: config.tower)
    default: preconditionFailure("no walk of the kind \(config.kind.rawValue)")
    }
  }

  private mutating func add(_ operations: [ModelOperation]) {
    for operation in operations { add(operation) }
  }

  private mutating func addLastNorm(_ config: ModelConfig) { add(.norm(config, rows: config.tokens, keeps: true)) }

  private mutating func addImageHead(_ config: ModelConfig) {
    let (d, vision) = (config.width, config.vision)
    let all = vision.tokens * d
    add(.moving("pool", rows: 1, width: d, forward: vision.classToken ? d : all, backward: all))
    add(.product("head", rows: 1, in: d, out: vision.classes, bias: true))
  }

  /// Rows of the table and, where they are learned, of the positions, in one operation. A look-up meets one row of the table; a
  /// tied head meets all of it.
  private mutating func addTokenEmbedding(_ config: ModelConfig) {
    let (d, text) = (config.width, config.text)
    let (positions, added) = text.positions == .learned ? (text.context * d, 1) : (0, 0)
    add(
      .moving(
        "embedding", rows: text.context, width: d, forward: (2 + added) * d, backward: (2 + 2 * added) * d,
        parameters: text.vocabulary * d + positions, active: (text.tiedHead ? 0 : d) + positions, keeps: 2 * d))
  }

  /// The same for texts whose places in a batch are given: two look-ups and their sum.
  private mutating func addPlacedTokenEmbedding(_ config: ModelConfig) {
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
  private mutating func addPackedRows(_ config: ModelConfig) {
    for modality in config.towerModalities {
      add(.packing(rows: modality.rows(config), to: config.tokens, width: config.width))
    }
    for _ in config.sampledModalities { add(.sum(rows: config.tokens, width: config.width)) }
  }

  private mutating func addLanguageHead(_ config: ModelConfig) {
    add(
      .languageHead(
        rows: config.text.context, width: config.width, vocabulary: config.text.vocabulary,
        isTied: config.text.tiedHead))
  }

  /// Next tokens, the comparison of samples, and classes.
  ///
  /// - Parameter tower: of a modality.
  private mutating func addFusionHeads(
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
