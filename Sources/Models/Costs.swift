import Foundation
import MMoETensor

/// Sizes and arithmetic of a model, from its configuration alone. Counts are in floating point where sizes that no
/// machine holds must be counted, not trap.
public struct ModelCosts: Sendable {
  /// All trainable numbers.
  public private(set) var parameters = 0
  /// Those that one token meets: everything but the experts it does not choose.
  public private(set) var activeParameters = 0
  /// Floating-point operations of one sample's forward pass (an image, a window of text): 2 × weights of the matrix
  /// products a token meets, plus attention scores and their products with V over the positions that it sees; look-ups,
  /// norms and activations are not counted.
  public private(set) var forwardFLOPs = 0.0
  /// Floats that one sample's recorded forward pass keeps for its backward pass, dropless routing.
  public private(set) var activationFloats = 0.0

  /// Forward and backward: three times the forward products.
  public var trainingFLOPs: Double { 3 * forwardFLOPs }

  /// - Throws: `ModelError` for an impossible configuration.
  public init(_ config: ModelConfig) throws {
    try config.validate()
    switch (config.kind, config.fusion.kind) {
    case (.vit, _): addVisionEnds(config)
    case (.gpt, _): addTextEnds(config)
    case (.multimodal, .early):
      addVisionEnds(config)
      addTextEnds(config)
      addFusionEnds(config)
      // The two ends share the last norm.
      add(-normSize(config))
    case (.multimodal, .late):
      let (images, text) = (config.visionTower, config.textTower)
      addVisionEnds(images)
      addTextEnds(text)
      addFusionEnds(config)
      if images.vision.preNorm { add(normSize(images)) }
      try addBlocks(images)
      try addBlocks(text)
      for _ in 0..<config.fusion.crossBlocks { addCrossAttention(text, context: images) }
      return
    }
    try addBlocks(config)
  }

  private mutating func addBlocks(_ config: ModelConfig) throws {
    let variant = config.moe.variant == "dense" ? nil : try MoEVariant.resolve(config.moe)
    var banks = 0
    for index in 0..<config.layers {
      addAttention(config)
      if let bank = config.bank(of: index), let variant {
        addMoE(config, variant, ownsBank: bank == banks)
        banks = bank + 1
      } else {
        addPerceptron(config, hidden: config.mlpHidden)
        activationFloats += Double(config.tokens * config.activation.halves * config.mlpHidden)
      }
    }
  }

  /// Adds parameters, of which `active` are met by a token.
  private mutating func add(_ count: Int, active: Int? = nil) {
    parameters += count
    activeParameters += active ?? count
  }

  private mutating func addProducts(_ weights: Int, rows: Int) {
    forwardFLOPs += 2 * Double(weights) * Double(rows)
  }

  /// Adapters of `copies` weights, of which `active` are met by a token.
  private mutating func addAdapter(
    _ config: ModelConfig, _ place: LoRAConfig.Place, in inner: Int, out: Int, copies: Int = 1, active: Int = 1
  ) {
    guard config.lora.has(place) else { return }
    let size = config.lora.rank * (inner + out)
    add(copies * size, active: active * size)
    addProducts(active * size, rows: config.tokens)
    activationFloats += Double(config.tokens * active * config.lora.rank)
  }

  private func normSize(_ config: ModelConfig) -> Int {
    config.norm == .layer ? 2 * config.width : config.width
  }

  private mutating func addVisionEnds(_ config: ModelConfig) {
    let (d, vision) = (config.width, config.vision)
    let patch = vision.channels * vision.patch * vision.patch
    add(patch * d + d + vision.tokens * d + (vision.classToken ? d : 0))
    add(normSize(config) + vision.classes * (d + 1))
    addProducts(patch * d, rows: vision.tokens - (vision.classToken ? 1 : 0))
    addProducts(vision.classes * d, rows: 1)
    activationFloats += Double(patch + 2 * d) * Double(vision.tokens)
  }

  private mutating func addTextEnds(_ config: ModelConfig) {
    let (d, text) = (config.width, config.text)
    // A look-up meets one row of the table; the head meets all of it.
    let head = text.vocabulary * d
    add(head, active: text.tiedHead ? head : d)
    if !text.tiedHead { add(head) }
    if text.positions == .learned { add(text.context * d) }
    add(normSize(config))
    addProducts(head, rows: text.context)
    activationFloats += Double(3 * d) * Double(text.context)
  }

  private mutating func addAttention(_ config: ModelConfig) {
    let (d, tokens) = (config.width, config.tokens)
    let qkv = (config.heads + 2 * config.keyValueHeads) * config.headWidth
    add(d * qkv + d * d + 2 * normSize(config) + (config.bias ? qkv + d : 0))
    addProducts(d * qkv + d * d, rows: tokens)
    addAdapter(config, .attention, in: d, out: qkv)
    addAdapter(config, .attention, in: d, out: d)
    forwardFLOPs += 4 * visiblePairs(config) * Double(d)
    // Two norms, Q K V, the mixed heads, both residual sums, log-sum-exp a head.
    activationFloats += Double(tokens) * Double(2 * d + qkv + d + 2 * d + config.heads)
  }

  /// Pairs of a position and one that it sees. Causal: position t sees t + 1 of them.
  private func visiblePairs(_ config: ModelConfig) -> Double {
    let (patches, text) = (Double(config.vision.tokens), Double(config.text.context))
    let causal = text * (text + 1) / 2
    switch config.kind {
    case .vit: return patches * patches
    case .gpt: return causal
    case .multimodal: return patches * patches + patches * text + causal
    }
  }

  /// Where images and texts are compared. The class head is the vision end's.
  private mutating func addFusionEnds(_ config: ModelConfig) {
    let textWidth = config.fusion.kind == .early ? config.width : config.textTower.width
    let projections = config.fusion.embedding * (config.width + textWidth)
    add(projections + 1 + (config.fusion.uncertainty ? FusionConfig.Task.allCases.count : 0))
    addProducts(projections, rows: 1)
  }

  /// A text's look at its image.
  private mutating func addCrossAttention(_ config: ModelConfig, context: ModelConfig) {
    let (d, other, tokens, patches) = (config.width, context.width, config.tokens, context.tokens)
    add(2 * d * d + 2 * d * other + normSize(config) + (config.bias ? 4 * d : 0))
    addProducts(2 * d * d, rows: tokens)
    addProducts(2 * d * other, rows: patches)
    forwardFLOPs += 4 * Double(tokens * patches) * Double(d)
    addAdapter(config, .attention, in: d, out: d)
    addAdapter(config, .attention, in: other, out: 2 * d)
    addAdapter(config, .attention, in: d, out: d)
    activationFloats += Double(tokens * (4 * d + config.heads) + patches * 2 * d)
  }

  /// - Parameters: copies: perceptrons that are stored; active: those that a token meets.
  private mutating func addPerceptron(
    _ config: ModelConfig, hidden: Int, copies: Int = 1, active: Int = 1, adapters: LoRAConfig.Place = .mlp
  ) {
    let (d, halves) = (config.width, config.activation.halves)
    let weights = (halves + 1) * d * hidden
    let size = weights + (config.bias ? halves * hidden + d : 0)
    add(copies * size, active: active * size)
    addProducts(active * weights, rows: config.tokens)
    addAdapter(config, adapters, in: d, out: halves * hidden, copies: copies, active: active)
    addAdapter(config, adapters, in: hidden, out: d, copies: copies, active: active)
  }

  private mutating func addMoE(_ config: ModelConfig, _ variant: MoEVariant, ownsBank: Bool) {
    let (d, moe, tokens) = (config.width, config.moe, config.tokens)
    let calls = variant.routes.reduce(0) { $0 + $1.k }
    // A choice may be an identity: counted is the most a token can meet.
    addPerceptron(
      config, hidden: config.expertHidden, copies: ownsBank ? moe.experts : 0, active: calls, adapters: .experts)
    let gateRows = d + (moe.taskRouting ? FusionConfig.Task.allCases.count : 0)
    add((moe.oneGate ? 1 : variant.routes.count) * moe.choices * gateRows)
    addProducts(variant.routes.count * moe.choices * d, rows: tokens)
    if moe.shortcutNorm == .own {
      add(variant.routes.count { $0.source != .current } * normSize(config))
    }
    if moe.postNorm { add(normSize(config)) }
    if moe.combine != .add { add((moe.combine == .cg1 ? 1 : 2) * d) }
    // Permuted rows, pre-activations and outputs of every call; gate values.
    let expertRow = 2 * d + config.activation.halves * config.expertHidden + 1
    activationFloats += Double(tokens) * Double(calls * expertRow + variant.routes.count * 2 * moe.choices)
    if variant.sharedExpert {
      addPerceptron(config, hidden: config.mlpHidden)
      activationFloats += Double(tokens) * Double(config.activation.halves * config.mlpHidden + d)
    }
  }
}
