/// What stands before and after the blocks: embeddings and heads of every kind of model.
extension ArchitectureWalk {
  /// - Throws: `ModelError` for an unknown variant.
  mutating func addModel(_ config: ModelConfig) throws {
    func variant(_ tower: ModelConfig) throws -> MoEVariant? {
      tower.moe.variant == "dense" ? nil : try MoEVariant.resolve(tower.moe)
    }
    switch (config.kind, config.fusion.kind) {
    case (.vit, _):
      addPatchEmbedding(config)
      addStack(config, try variant(config))
      addLastNorm(config)
      addImageHead(config)
    case (.gpt, _):
      addTokenEmbedding(config)
      addStack(config, try variant(config))
      addLastNorm(config)
      addLanguageHead(config)
    case (.multimodal, .early):
      addPatchEmbedding(config)
      addPlacedTokenEmbedding(config)
      addPackedRows(config)
      addStack(config, try variant(config))
      addLastNorm(config)
      addFusionHeads(config, images: config, texts: config)
    case (.multimodal, .late):
      let (images, texts) = (config.visionTower, config.textTower)
      addPatchEmbedding(images)
      if images.vision.preNorm { add(.norm(images, rows: images.tokens)) }
      addStack(images, try variant(images))
      addLastNorm(images)
      addPlacedTokenEmbedding(texts)
      addStack(texts, try variant(texts), first: images.layers, cross: (config.fusion.crossBlocks, images))
      addLastNorm(texts)
      addFusionHeads(config, images: images, texts: texts)
    default: preconditionFailure("no walk of the kind \(config.kind.rawValue)")
    }
  }

  private mutating func addLastNorm(_ config: ModelConfig) { add(.norm(config, rows: config.tokens, keeps: true)) }

  private mutating func addPatchEmbedding(_ config: ModelConfig) {
    let (d, vision) = (config.width, config.vision)
    let patch = vision.channels * vision.patch * vision.patch
    let patches = vision.tokens - (vision.classToken ? 1 : 0)
    add(.moving("patches", rows: patches, width: patch, forward: 2 * patch, backward: 0))
    add(.product("embedding", rows: patches, in: patch, out: d, bias: true, isInput: true))
    // Kept are the patches, and their sum with the positions.
    add(
      .moving(
        "positions", rows: vision.tokens, width: d, forward: 2 * d, backward: 2 * d,
        parameters: vision.tokens * d + (vision.classToken ? d : 0), keeps: patch + d))
  }

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

  /// Patches and tokens in the rows of their sequences.
  private mutating func addPackedRows(_ config: ModelConfig) {
    add(.packing(rows: config.vision.tokens, to: config.tokens, width: config.width))
    add(.packing(rows: config.text.context, to: config.tokens, width: config.width))
    add(.sum(rows: config.tokens, width: config.width))
  }

  private mutating func addLanguageHead(_ config: ModelConfig) {
    add(
      .languageHead(
        rows: config.text.context, width: config.width, vocabulary: config.text.vocabulary,
        isTied: config.text.tiedHead))
  }

  /// Next tokens, the comparison of images and texts, and classes.
  private mutating func addFusionHeads(_ config: ModelConfig, images: ModelConfig, texts: ModelConfig) {
    let (fusion, vision, context) = (config.fusion, config.vision, config.text.context)
    add(.packing(rows: context, to: context, width: texts.width))
    addLanguageHead(texts)
    func pool(_ width: Int, _ rows: Int, one isOne: Bool) -> ModelOperation {
      let moved = (rows + 1) * width
      return isOne
        ? .packing(rows: 1, to: 1, width: width)
        : .moving("mean", rows: 1, width: width, forward: moved, backward: moved)
    }
    add(pool(images.width, vision.tokens, one: vision.classToken))
    add(pool(texts.width, context, one: fusion.textPooling == .last))
    add(.product("image projection", rows: 1, in: images.width, out: fusion.embedding, bias: false))
    add(.product("text projection", rows: 1, in: texts.width, out: fusion.embedding, bias: false))
    // The products of the batch's images with its texts are no sample's.
    add(
      .moving(
        "contrastive", rows: 1, width: fusion.embedding, forward: 4 * fusion.embedding,
        backward: 6 * fusion.embedding, parameters: 1))
    if fusion.uncertainty {
      let tasks = FusionConfig.Task.allCases.count
      add(.moving("uncertainty", rows: 1, width: tasks, forward: 0, backward: 0, parameters: tasks))
    }
    if vision.classes > 0 {
      add(.product("classifier", rows: 1, in: images.width, out: vision.classes, bias: true))
    }
  }
}
