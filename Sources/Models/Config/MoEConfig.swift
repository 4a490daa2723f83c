import MMoETensor

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

/// Whose tokens a gate's weights serve.
public enum GateKind: String, CaseIterable, Sendable, Codable {
  /// All tokens'.
  case shared
  /// Those of one modality: each has weights of its own (ERNIE 4.5's modality-isolated routing).
  case modality
}

/// The mixture-of-experts part of a model.
public struct MoEConfig: Sendable, Equatable {
  /// A name of the variant table: dense, top1, top2, …, shared, scmoe, scmoe2, dgmoe, hierarchical.
  public var variant = "top2"
  /// Where ScMoE's shortcut starts: 1 the preceding block's output, 2 its state after attention, 3 its input.
  public var position = 2
  /// Where the routes of `hierarchical` start, any number of blocks back.
  public var sources: [RouteSource] = [.position3, .position2]
  /// Routed experts of a layer.
  public var experts = 8
  /// Named groups of the experts, such as `vision:4,language:2,shared:2`; nil = every token may take every expert.
  /// `vision:4@96` says how wide a group's experts are.
  public var groups: String?
  /// Whether all modalities share the weights of a gate.
  public var gate = GateKind.shared
  /// Further choices of the gate that return their input, weighted: tokens that need no expert cost none
  /// (LongCat-Flash's zero-computation experts). Numbered after the experts.
  public var identityExperts = 0
  /// Hidden width of an expert; 0 = the dense MLP's.
  public var hidden = 0
  /// An MoE in every n-th block: 2 = blocks 1, 3, 5 …; 1 = all.
  public var every = 2
  /// The first block with an MoE; 0 = block `every` − 1.
  public var first = 0
  /// MoE layers one after the other that share one bank of experts, each with gates of its own (the paper's
  /// DGMoE-Share); 1 = a bank each.
  public var bankLayers = 1
  /// Whether a learned row for its task is added to a token's gate logits, in models of several tasks.
  public var taskRouting = false
  /// C = ceil(cf · T · k / E) rows an expert in training, T the local tokens; 0 = dropless. With expert choice the rows that
  /// every expert takes.
  public var capacityFactor = 0.0
  /// The same in evaluation. In causal models each sequence has C rows of an expert, T the longest sequence, in the order
  /// of its tokens: what comes later changes nothing.
  public var evalCapacityFactor = 0.0
  /// A name of the table of balance losses, or none.
  public var balance = "all_choices"
  public var balanceWeight = 0.01
  /// Weight of the router z-loss, mean(logsumexp²) (ST-MoE).
  public var zLossWeight = 0.0
  /// Step of the selection bias towards underloaded experts; 0 = off (arXiv 2408.15664).
  public var biasRate = 0.0
  /// Share of the choices that are to be experts, not identities, which the selection bias moves towards; 0 = off, all
  /// choices count alike (LongCat-Flash, arXiv 2509.01322).
  public var realShare = 0.0
  /// Standard deviation × E of the normal noise on the logits in training (Tutel's gate_noise).
  public var gateNoise = 0.0
  /// Batch-prioritized routing: with a capacity, tokens queue by their best probability, not by position.
  public var batchPriority = false
  /// Divide the chosen probabilities by their sum where k > 1.
  public var renormalize = true
  /// The same where k = 1: the only expert's weight is 1, as in Mixtral. The gate then learns from balance losses alone, so
  /// this is for imported models.
  public var renormalizeSingle = false
  /// A name of the table of routers.
  public var router = "softmax"
  /// Groups of neighboring experts that a token's choice is limited by, and how many of them it may choose in (DeepSeek-V3,
  /// arXiv 2412.19437).
  public var groupCount = 1
  public var groupLimit = 1
  /// Factor on the weights of the chosen experts (DeepSeek-V3).
  public var routeScale = 1.0
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

  /// Whether the probabilities of `k` chosen experts are divided by their sum.
  public func renormalizes(_ k: Int) -> Bool { k > 1 ? renormalize : renormalizeSingle }
  /// What a gate chooses from: experts and identities.
  public var choices: Int { experts + identityExperts }
  /// Whether a loss judges how tokens are spread over the experts.
  public var isBalanced: Bool { balance != "none" && balanceWeight > 0 }
  /// The first block with an MoE.
  public var firstBlock: Int { first == 0 ? every - 1 : first }
}
