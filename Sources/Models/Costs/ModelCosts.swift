import Foundation
import MMoETensor

/// Sizes and arithmetic of a model, from its configuration alone. Counts are in floating point, or checked, where sizes
/// that no machine holds must be counted, not trap.
public struct ModelCosts: Sendable {
  /// All trainable numbers.
  public private(set) var parameters = 0
  /// Those that one token meets: everything but the experts it does not choose.
  public private(set) var activeParameters = 0
  /// Floating-point operations of one sample's forward pass (an image, a window of text): 2 × weights of the matrix
  /// products a token meets, plus attention scores and their products with V over the positions that it sees; look-ups,
  /// norms and activations are not counted. Every choice counts as an expert's row: the most that routing can ask for.
  public private(set) var forwardFLOPs = 0.0
  /// Of one row of an expert, by block; 0 where a block has none.
  private var expertRowFLOPs: [Double] = []
  /// Floats that one sample's recorded forward pass keeps for its backward pass, dropless routing.
  public private(set) var activationFloats = 0.0

  /// Forward and backward: three times the forward products.
  public var trainingFLOPs: Double { 3 * forwardFLOPs }

  /// The part of `forwardFLOPs` that these calls of the gates did not ask for: choices that the capacity dropped, and those of
  /// identity experts, are no products. Three times as much in training.
  public func savedFLOPs(_ routings: [RoutingReport]) -> Double {
    routings.reduce(0) { $0 + Double($1.load.reduce(0, +) - $1.expertRows) * expertRowFLOPs[$1.block] }
  }

  private init() {}

  /// Parameters that can be counted, with all that is kept of each: far more than a machine holds.
  private static let most = 1 << 56

  /// - Throws: `ModelError` for an impossible configuration, or one with more than 2⁵⁶ parameters.
  public init(_ config: ModelConfig) throws {
    try config.validate()
    try count(config)
    guard parameters <= ModelCosts.most else {
      throw ModelError(
        "model.layers \(config.layers), model.width \(config.width), model.hidden \(config.mlpHidden) and moe.experts \(config.moe.experts) make more than \(ModelCosts.most) parameters, the most that is counted; lower them"
      )
    }
  }

  private mutating func count(_ config: ModelConfig) throws {
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
      expertRowFLOPs.append(0)
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
    parameters = parameters.addingClamped(count)
    activeParameters = activeParameters.addingClamped(active ?? count)
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
    add(copies.multipliedClamped(by: size), active: active.multipliedClamped(by: size))
    addProducts(active.multipliedClamped(by: size), rows: config.tokens)
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
    add(copies.multipliedClamped(by: size), active: active.multipliedClamped(by: size))
    addProducts(active.multipliedClamped(by: weights), rows: config.tokens)
    addAdapter(config, adapters, in: d, out: halves * hidden, copies: copies, active: active)
    addAdapter(config, adapters, in: hidden, out: d, copies: copies, active: active)
  }

  private mutating func addMoE(_ config: ModelConfig, _ variant: MoEVariant, ownsBank: Bool) {
    let (d, moe, tokens) = (config.width, config.moe, config.tokens)
    let calls = variant.routes.reduce(0) { $0 + $1.k }
    // A choice may be an identity: counted is the most a token can meet.
    var expert = ModelCosts()
    expert.addPerceptron(config, hidden: config.expertHidden, adapters: .experts)
    expertRowFLOPs[expertRowFLOPs.count - 1] = expert.forwardFLOPs / Double(tokens)
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

extension Int {
  /// The sum, or the largest number where it is larger.
  fileprivate func addingClamped(_ other: Int) -> Int {
    let (sum, overflows) = addingReportingOverflow(other)
    return overflows ? .max : sum
  }

  /// The product, or the largest number where it is larger.
  fileprivate func multipliedClamped(by other: Int) -> Int {
    let (product, overflows) = multipliedReportingOverflow(by: other)
    return overflows ? .max : product
  }
}
