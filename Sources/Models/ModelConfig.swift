import MMoETensor

/// What is wrong with a configuration: one line naming the field, the value found and what would be right.
public struct ModelError: Error, CustomStringConvertible, Sendable {
  public let description: String
  public init(_ description: String) { self.description = description }
}

/// How balance between experts is encouraged by a loss.
public enum BalanceLossKind: String, CaseIterable, Sendable, Codable {
  /// E Σ_e f_e P_e with f over all (token, choice) pairs before drops.
  case allChoices = "all_choices"
  /// The same with f over first choices (GShard).
  case firstChoice = "first_choice"
  /// Mean of CV²(importance) and, with gate noise, CV²(load) (Shazeer et al. 2017).
  case importanceLoad = "importance_load"
  case none
}

/// How experts are chosen.
public enum RoutingKind: String, CaseIterable, Sendable, Codable {
  case learned
  /// Round robin with equal weights: perfectly balanced, for debugging and for timing only.
  case uniform
}

/// Which norm a shortcut's source passes through.
public enum ShortcutNorm: String, CaseIterable, Sendable, Codable {
  /// A layer norm of its own (Megatron-LM).
  case own
  /// The preceding block's second norm (LongCat-Flash).
  case preceding
}

/// What CG-1 and CG-2 compute their coefficients from.
public enum CoefficientInput: String, CaseIterable, Sendable, Codable {
  /// The normed input of the routed experts.
  case routed
  /// The normed state of the current block.
  case current
}

/// The mixture-of-experts part of a model.
public struct MoEConfig: Sendable, Equatable {
  /// A name of the variant table: dense, top1, top2, …, shared, scmoe, scmoe2, dgmoe.
  public var variant = "top2"
  /// Where ScMoE's shortcut starts: 1 the preceding block's output, 2 its state after attention, 3 its input.
  public var position = 2
  /// Routed experts of a layer.
  public var experts = 8
  /// Hidden width of an expert; 0 = the dense MLP's.
  public var hidden = 0
  /// An MoE in every n-th block: 2 = blocks 1, 3, 5 …; 1 = all.
  public var every = 2
  /// C = ceil(cf · T · k / E) rows an expert in training, T the local tokens; 0 = dropless.
  public var capacityFactor = 0.0
  /// The same in evaluation.
  public var evalCapacityFactor = 0.0
  public var balance = BalanceLossKind.allChoices
  public var balanceWeight = 0.01
  /// Weight of the router z-loss, mean(logsumexp²) (ST-MoE).
  public var zLossWeight = 0.0
  /// Step of the selection bias towards underloaded experts; 0 = off (arXiv 2408.15664).
  public var biasRate = 0.0
  /// Standard deviation × E of the normal noise on the logits in training (Tutel's gate_noise).
  public var gateNoise = 0.0
  /// Batch-prioritised routing: with a capacity, tokens queue by their best probability, not by position.
  public var batchPriority = false
  /// Divide the chosen probabilities by their sum where k > 1.
  public var renormalise = true
  public var routing = RoutingKind.learned
  public var combine = Combination.add
  public var coefficientInput = CoefficientInput.routed
  public var shortcutNorm = ShortcutNorm.own
  /// A norm over the joined shared and routed output before the residual (Megatron-LM).
  public var postNorm = false
  /// DGMoE: one gate serves both calls.
  public var oneGate = false
  /// DGMoE: the current call never takes the expert that the preceding one chose.
  public var constrained = true

  public init() {}
}

/// The dense part of a vision transformer.
public struct ModelConfig: Sendable, Equatable {
  public var layers = 6
  /// Model width d.
  public var width = 192
  public var heads = 3
  /// Hidden width of the MLP; 0 = 4 d.
  public var hidden = 0
  /// Side of the square input in pixels.
  public var image = 32
  public var patch = 4
  public var channels = 3
  public var classes = 10
  /// A learned class token read by the head; otherwise the mean over tokens.
  public var classToken = false
  /// Largest drop rate of whole residual branches, reached linearly in the last block.
  public var stochasticDepth = 0.0
  public var normEpsilon = 1e-5
  /// Standard deviation of initial weights; 0 = 1 / √(fan-in).
  public var initStd = 0.02
  public var moe = MoEConfig()

  public init() {}

  public var mlpHidden: Int { hidden == 0 ? 4 * width : hidden }
  public var expertHidden: Int { moe.hidden == 0 ? mlpHidden : moe.hidden }
  /// Tokens of one image.
  public var tokens: Int { (image / patch) * (image / patch) + (classToken ? 1 : 0) }
  /// Whether block `index` carries the mixture of experts.
  public func isMoE(_ index: Int) -> Bool {
    moe.variant != "dense" && index % moe.every == moe.every - 1
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
      patch >= 1 && image % patch == 0,
      "model.patch is \(patch), which does not divide model.image \(image); choose a divisor")
    try require(classes >= 1, "model.classes is \(classes); at least 1 is needed")
    try require(
      stochasticDepth >= 0 && stochasticDepth < 1,
      "model.stochastic_depth is \(stochasticDepth); it must be at least 0 and below 1")
    guard moe.variant != "dense" else { return }
    let variant = try MoEVariant.resolve(moe)
    try require(moe.experts >= 1, "moe.experts is \(moe.experts); at least 1 is needed")
    try require(moe.every >= 1, "moe.every is \(moe.every); at least 1 is needed")
    try require(
      moe.every <= layers,
      "moe.every is \(moe.every), more than model.layers \(layers): no block would have experts; lower it or use moe.variant=dense"
    )
    for route in variant.routes {
      let free = moe.experts - (route.avoidsPreviousRoute ? 1 : 0)
      try require(
        route.k <= free,
        "moe.variant \(moe.variant) chooses \(route.k) of \(free) experts; raise moe.experts (now \(moe.experts))"
      )
      let first = moe.every - 1
      let missing = first < route.source.blocksBack && !(first == 0 && route.source == .position1)
      try require(
        !missing,
        "moe.variant \(moe.variant) routes from \(route.source.blocksBack) block back, which the first MoE block (\(first)) does not have; use moe.every=2 or moe.position=1"
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
