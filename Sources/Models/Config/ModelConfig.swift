import MMoETensor

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

/// Low-rank adapters on weights that keep their values (LoRA, Hu et al., arXiv 2106.09685).
public struct LoRAConfig: Sendable, Equatable {
  /// Which weights have one.
  public enum Place: String, CaseIterable, LosslessStringConvertible, Sendable {
    /// Q K V and the output projection.
    case attention
    /// Dense MLPs, shared experts among them.
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
  /// What describes the samples of further modalities.
  public var modalitySettings = ModalitySettings()
  /// Rows of a sample, for a tower of late fusion; nil = its kind says it.
  var towerRows: Int?
  public var moe = MoEConfig()
  public var lora = LoRAConfig()

  public init() {}

  public var keyValueHeads: Int { kvHeads == 0 ? heads : kvHeads }
  /// Width of one head.
  public var headWidth: Int { width / heads }
  public var mlpHidden: Int { hidden == 0 ? 4 * width : hidden }
  public var expertHidden: Int { moe.hidden == 0 ? mlpHidden : moe.hidden }
  /// The experts of a bank as stacks of one width each; one, without a name, where all are as wide.
  package var expertStacks: [(name: String?, experts: Range<Int>, hidden: Int)] {
    let stacks = moe.groups.flatMap { try? ExpertGroups($0) }?.stacks(standard: expertHidden) ?? []
    guard stacks.count > 1 else { return [(nil, 0..<moe.experts, stacks.first?.hidden ?? expertHidden)] }
    return stacks.map { ($0.name, $0.experts, $0.hidden ?? expertHidden) }
  }
  /// Factor on the initial deviation of layers that write to the residual stream: 1 / √(2 layers) in language models,
  /// so that its variance does not grow with depth (GPT-2).
  public var residualScale: Double { kind.scalesResidualsByDepth ? 1 / Double(2 * layers).squareRoot() : 1 }
  /// Whether blocks turn Q and K by their positions.
  public var rotatesPositions: Bool { kind.mayRotatePositions && text.positions == .rotary }
  /// Tokens of one sample: an image's patches, a window of text, or one sample of every modality with the longest text.
  public var tokens: Int {
    kind.samples(self).reduce(0, +) + (kind.readsText ? text.context : 0)
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
}
