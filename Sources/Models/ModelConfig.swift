import MMoETensor

/// What is wrong with a configuration: one line naming the field, the value found and what would be right.
public struct ModelError: Error, CustomStringConvertible, Sendable {
  public let description: String
  public init(_ description: String) { self.description = description }
}

/// The transformers of this module.
public enum ModelKind: String, CaseIterable, Sendable, Codable {
  /// Images to classes.
  case vit
  /// Tokens to next tokens.
  case gpt
  /// Images and texts together.
  case multimodal
}

/// What norms compute.
public enum NormKind: String, CaseIterable, Sendable, Codable {
  /// Layer norm with weight and bias.
  case layer
  /// RMS norm with weight only (Llama).
  case rms
}

/// Where a language model's tokens get their positions from.
public enum PositionKind: String, CaseIterable, Sendable, Codable {
  /// A table added to the embedding (GPT-2).
  case learned
  /// Rotation of Q and K (Llama).
  case rotary
}

/// The ends of a vision transformer.
public struct VisionConfig: Sendable, Equatable {
  /// Side of the square input in pixels.
  public var image = 32
  public var patch = 4
  public var channels = 3
  public var classes = 10
  /// A learned class token read by the head; otherwise the mean over tokens.
  public var classToken = false
  /// A norm between positions and blocks, in a tower of its own (CLIP).
  public var preNorm = false

  public init() {}

  /// Tokens of one image.
  public var tokens: Int { (image / patch) * (image / patch) + (classToken ? 1 : 0) }
}

/// The ends of a language model.
public struct TextConfig: Sendable, Equatable {
  public var vocabulary = 256
  /// Tokens of a training window, and the longest sequence.
  public var context = 128
  public var positions = PositionKind.learned
  /// Base of the rotary frequencies.
  public var rotaryBase = 10_000.0
  /// The head's weight is the token embedding.
  public var tiedHead = true

  public init() {}
}

/// How images and texts come together, and the ends that join them.
public struct FusionConfig: Sendable, Equatable {
  public enum Kind: String, CaseIterable, Sendable, Codable {
    /// One transformer over patches and tokens.
    case early
    /// A transformer for each, joined by cross-attention and where they are compared.
    case late
  }

  /// Which of a text's rows stands for it where it is compared.
  public enum Pooling: String, CaseIterable, Sendable, Codable {
    case mean
    /// The last token, which has read all (CLIP).
    case last
  }

  public var kind = Kind.early
  /// Width in which images and texts are compared.
  public var embedding = 128
  public var textPooling = Pooling.mean
  /// Late fusion: last blocks of the text tower whose tokens read the image.
  public var crossBlocks = 1
  /// Late fusion: the text tower's own sizes; 0 = as the image tower's.
  public var textLayers = 0
  public var textWidth = 0
  public var textHeads = 0
  public var textHidden = 0

  public init() {}

  /// Whether the losses are weighted by learned uncertainties.
  public var uncertainty = false

  /// What a model of images and texts is trained for: the tasks that a gate may know, in the order of its table.
  public static let tasks = ["caption", "contrastive", "classification", "language"]

  /// The modalities of an image's patches and of a text's tokens.
  public static let modalities = ["vision", "language"]
}

/// Low-rank adapters on weights that keep their values (LoRA, Hu et al., arXiv 2106.09685).
public struct LoRAConfig: Sendable, Equatable {
  /// Which weights have one.
  public enum Place: String, CaseIterable, LosslessStringConvertible, Sendable {
    /// Q K V and the output projection.
    case attention
    /// Dense perceptrons, shared experts among them.
    case mlp
    /// Every routed expert its own.
    case experts

    public init?(_ description: String) { self.init(rawValue: description) }
    public var description: String { rawValue }
  }

  /// Rows of A and columns of B; 0 = no adapters.
  public var rank = 0
  /// The change is α / rank · B · A.
  public var alpha = 16.0
  public var places: [Place] = [.attention, .experts]

  public init() {}

  public func has(_ place: Place) -> Bool { rank > 0 && places.contains(place) }
}

/// A transformer: its blocks, the mixture of experts in them, and the ends of its kind.
public struct ModelConfig: Sendable, Equatable {
  public var kind = ModelKind.vit
  public var layers = 6
  /// Model width d.
  public var width = 192
  public var heads = 3
  /// Heads of K and V, shared by groups of query heads; 0 = as many as `heads`.
  public var kvHeads = 0
  /// Hidden width of the MLP; 0 = 4 d.
  public var hidden = 0
  public var activation = Activation.gelu
  public var norm = NormKind.layer
  /// Whether linear layers have biases.
  public var bias = true
  /// Largest drop rate of whole residual branches, reached linearly in the last block.
  public var stochasticDepth = 0.0
  public var normEpsilon = 1e-5
  /// Standard deviation of initial weights; 0 = 1 / √(fan-in).
  public var initStd = 0.02
  public var vision = VisionConfig()
  public var text = TextConfig()
  public var fusion = FusionConfig()
  public var moe = MoEConfig()
  public var lora = LoRAConfig()

  public init() {}

  /// The image tower of late fusion: blocks 0 ..< layers.
  public var visionTower: ModelConfig { tower(.vit, "vision") }
  /// The text tower of late fusion, whose blocks are numbered after the image tower's.
  public var textTower: ModelConfig {
    var text = tower(.gpt, "language")
    text.vision = VisionConfig()
    if fusion.textLayers > 0 { text.layers = fusion.textLayers }
    if fusion.textWidth > 0 { text.width = fusion.textWidth }
    if fusion.textHeads > 0 { text.heads = fusion.textHeads }
    if fusion.textHidden > 0 { text.hidden = fusion.textHidden }
    return text
  }

  /// Blocks of each stack, in the order of their numbers: two in late fusion, else one.
  public var stacks: [Int] {
    kind == .multimodal && fusion.kind == .late ? [layers, textTower.layers] : [layers]
  }

  /// A tower has its modality's group of experts as its bank; without groups each has a bank of all.
  private func tower(_ kind: ModelKind, _ modality: String) -> ModelConfig {
    var tower = self
    (tower.kind, tower.fusion, tower.moe.groups) = (kind, FusionConfig(), nil)
    if let groups = moe.groups.flatMap({ try? ExpertGroups($0) }) {
      tower.moe.experts = groups.groups.first { $0.name == modality }?.experts.count ?? 0
    }
    return tower
  }

  public var keyValueHeads: Int { kvHeads == 0 ? heads : kvHeads }
  /// Width of one head.
  public var headWidth: Int { width / heads }
  public var mlpHidden: Int { hidden == 0 ? 4 * width : hidden }
  public var expertHidden: Int { moe.hidden == 0 ? mlpHidden : moe.hidden }
  /// Factor on the initial deviation of layers that write to the residual stream: 1 / √(2 layers) in language models,
  /// so that its variance does not grow with depth (GPT-2).
  public var residualScale: Double { kind == .gpt ? 1 / Double(2 * layers).squareRoot() : 1 }
  /// Tokens of one sample: an image's patches, a window of text, or an image with the longest text.
  public var tokens: Int {
    switch kind {
    case .vit: vision.tokens
    case .gpt: text.context
    case .multimodal: vision.tokens + text.context
    }
  }
  /// Whether block `index` carries the mixture of experts.
  public func isMoE(_ index: Int) -> Bool {
    moe.variant != "dense" && index >= moe.firstBlock && (index - moe.firstBlock) % moe.every == 0
  }
  /// The bank of experts that block `index` uses, from 0 in the order of the network; nil where it has none. The bank's
  /// parameters stand under the first block that uses it.
  public func bank(of index: Int) -> Int? {
    guard isMoE(index) else { return nil }
    return (index - moe.firstBlock) / moe.every / moe.bankLayers
  }

  /// Checks all that can be known before data is seen.
  /// - Throws: `ModelError` naming the first impossible field.
  public func validate() throws {
    func require(_ condition: Bool, _ message: @autoclosure () -> String) throws {
      if !condition { throw ModelError(message()) }
    }
    try require(layers >= 1, "model.layers is \(layers); at least 1 is needed")
    try require(
      heads >= 1 && width % heads == 0,
      "model.heads is \(heads), which does not divide model.width \(width); choose a divisor")
    try require(
      heads % keyValueHeads == 0,
      "model.kv_heads is \(kvHeads), which does not divide model.heads \(heads); choose a divisor")
    try require(
      stochasticDepth >= 0 && stochasticDepth < 1,
      "model.stochastic_depth is \(stochasticDepth); it must be at least 0 and below 1")
    if kind != .gpt {
      try require(
        vision.patch >= 1 && vision.image % vision.patch == 0,
        "model.patch is \(vision.patch), which does not divide model.image \(vision.image); choose a divisor")
      try require(
        vision.classes >= (kind == .multimodal ? 0 : 1), "model.classes is \(vision.classes); at least 1 is needed")
    }
    if kind != .vit {
      try require(text.vocabulary >= 1, "model.vocabulary is \(text.vocabulary); at least 1 is needed")
      try require(text.context >= 1, "model.context is \(text.context); at least 1 is needed")
      try require(
        text.positions == .learned || headWidth % 2 == 0,
        "model.positions is rotary, which turns pairs, but a head is \(headWidth) wide; choose model.heads so that model.width / model.heads is even"
      )
    }
    if kind == .multimodal, fusion.kind == .late { return try validateTowers() }
    if kind == .multimodal {
      try require(
        text.positions == .learned && !vision.classToken,
        "model.kind is multimodal, which has learned positions and no class token; set model.positions=learned and model.class_token=false, or fusion.kind=late"
      )
    }
    try require(
      !vision.preNorm, "model.pre_norm is true, which only an image tower has; use fusion.kind=late")
    try validateMoE()
  }

  private func validateTowers() throws {
    func require(_ condition: Bool, _ message: @autoclosure () -> String) throws {
      if !condition { throw ModelError(message()) }
    }
    try require(
      text.positions == .learned, "model.positions is \(text.positions.rawValue) with fusion.kind=late; use learned")
    try require(
      moe.balance != .entropy,
      "moe.balance is entropy, but with fusion.kind=late each tower has one modality; use another"
    )
    if let groups = try moe.groups.map({ try ExpertGroups($0) }) {
      let extra = groups.groups.first { !FusionConfig.modalities.contains($0.name) }
      try require(
        extra == nil,
        "moe.groups has the group \(extra?.name ?? ""), but with fusion.kind=late no expert stands in both towers; name vision and language only"
      )
      try require(
        groups.count == moe.experts,
        "moe.groups has \(groups.count) experts, moe.experts is \(moe.experts); set moe.experts=\(groups.count)")
    }
    try require(
      (0...textTower.layers).contains(fusion.crossBlocks),
      "fusion.cross_blocks is \(fusion.crossBlocks), but the text tower has \(textTower.layers) blocks; use at most as many"
    )
    var images = visionTower
    // A tower needs no head of its own.
    (images.vision.classes, images.vision.preNorm) = (max(1, images.vision.classes), false)
    for (tower, name) in [(images, "image"), (textTower, "text")] {
      var tower = tower
      tower.moe.taskRouting = false
      do { try tower.validate() } catch { throw ModelError("the \(name) tower of fusion.kind=late: \(error)") }
    }
  }

  private func validateMoE() throws {
    func require(_ condition: Bool, _ message: @autoclosure () -> String) throws {
      if !condition { throw ModelError(message()) }
    }
    let modalities = kind == .multimodal ? FusionConfig.modalities : []
    try require(
      !moe.taskRouting || kind == .multimodal,
      "moe.task_routing is true, but model.kind \(kind.rawValue) has one task; use model.kind=multimodal")
    try require(
      !modalities.isEmpty || (moe.groups == nil && moe.balance != .entropy),
      "\(moe.groups == nil ? "moe.balance is entropy" : "moe.groups is \(moe.groups!)"), but model.kind \(kind.rawValue) has one modality; use model.kind=multimodal"
    )
    guard moe.variant != "dense" else { return }
    let variant = try MoEVariant.resolve(moe)
    try require(moe.experts >= 1, "moe.experts is \(moe.experts); at least 1 is needed")
    try require(moe.every >= 1, "moe.every is \(moe.every); at least 1 is needed")
    try require(
      moe.every <= layers,
      "moe.every is \(moe.every), more than model.layers \(layers): no block would have experts; lower it or use moe.variant=dense"
    )
    if let text = moe.groups {
      let groups = try ExpertGroups(text)
      try require(
        groups.count == moe.experts,
        "moe.groups \(text) has \(groups.count) experts, moe.experts is \(moe.experts); set moe.experts=\(groups.count)"
      )
      try require(moe.routing == .learned, "moe.routing is uniform, which knows no groups; set moe.groups=none")
      for route in variant.routes {
        try groups.require(modalities, choices: route.k + (route.avoidsPreviousRoute ? 1 : 0))
      }
    }
    try require(
      moe.firstBlock < layers,
      "moe.first is \(moe.first), but model.layers is \(layers): no block would have experts; use at most \(layers - 1)"
    )
    let layersWithExperts = (0..<layers).count { isMoE($0) }
    try require(
      moe.bankLayers >= 1 && moe.bankLayers <= layersWithExperts,
      "moe.bank_layers is \(moe.bankLayers), but \(layersWithExperts) blocks have experts; use 1 to \(layersWithExperts)"
    )
    try require(
      !variant.routes.isEmpty && variant.routes.count <= 8
        && Set(variant.routes.map(\.source)).count == variant.routes.count,
      "moe.sources is \(moe.sources.map(\.description)); give 1 to 8 different sources, such as 1:attention")
    for route in variant.routes {
      let free = moe.choices - (route.avoidsPreviousRoute ? 1 : 0)
      try require(
        route.k <= free,
        "moe.variant \(moe.variant) chooses \(route.k) of \(free) experts; raise moe.experts (now \(moe.experts))"
      )
      let back = route.source.blocksBack
      try require(
        route.source.exists(before: moe.firstBlock),
        "moe.variant \(moe.variant) routes from \(route.source) (blocks back:site), which the first MoE block (\(moe.firstBlock)) does not have; use moe.first=\(route.source.site == .output ? back - 1 : back) or higher"
      )
    }
    try require(
      moe.combine == .add || variant.sharedExpert,
      "moe.combine is \(moe.combine.rawValue), but moe.variant \(moe.variant) has no shared expert; use add"
    )
    try require(
      moe.biasRate == 0 || moe.routing == .learned,
      "moe.bias_rate is \(moe.biasRate) with moe.routing=uniform; set it to 0")
  }
}
