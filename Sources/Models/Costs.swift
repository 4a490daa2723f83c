import MMoETensor

/// Sizes and arithmetic of a model, from its configuration alone.
public struct ModelCosts: Sendable {
  /// All trainable numbers.
  public let parameters: Int
  /// Those that one token meets: everything but the experts it does not choose.
  public let activeParameters: Int
  /// Floating-point operations of one image's forward pass: 2 × weights of the matrix products a token meets, plus
  /// attention scores and their products with V; look-ups, norms and activations are not counted.
  public let forwardFLOPs: Double

  /// Floats that one image's recorded forward pass keeps for its backward pass, dropless routing.
  public let activationFloats: Double

  /// Forward and backward: three times the forward products.
  public var trainingFLOPs: Double { 3 * forwardFLOPs }

  /// - Throws: `ModelError` for an impossible configuration.
  public init(_ config: ModelConfig) throws {
    try config.validate()
    let (d, hidden, tokens) = (config.width, config.mlpHidden, config.tokens)
    let moe = config.moe
    let variant = moe.variant == "dense" ? nil : try MoEVariant.resolve(moe)
    let attention = 4 * d * d
    func mlp(_ width: Int) -> Int { 2 * d * width }
    let embedding = config.channels * config.patch * config.patch * d
    var total = embedding + d + tokens * d + (config.classToken ? d : 0)
    total += 2 * d + config.classes * (d + 1)
    var active = total
    // Weights of matrix products: per token, and per image for the head.
    // In floating point: sizes that no machine holds must be counted, not trap.
    var products = Double(embedding) * Double(tokens - (config.classToken ? 1 : 0))
    var kept = Double(config.channels * config.patch * config.patch + 2 * d)
    products += Double(config.classes * d)
    for index in 0..<config.layers {
      let common = attention + 4 * d + 4 * d
      total += common
      active += common
      products += Double(attention) * Double(tokens)
      // Two norms, Q K V, the mixed heads, both residual sums, log-sum-exp a head.
      kept += Double(2 * d + 3 * d + d + 2 * d + config.heads)
      guard config.isMoE(index), let variant else {
        total += mlp(hidden) + hidden + d
        active += mlp(hidden) + hidden + d
        products += Double(mlp(hidden)) * Double(tokens)
        kept += Double(hidden)
        continue
      }
      let expertWidth = config.expertHidden
      let expert = mlp(expertWidth) + expertWidth + d
      let gates = (moe.oneGate ? 1 : variant.routes.count) * moe.experts * d
      let hasShortcut = variant.routes.contains { $0.source != .current }
      var extra = gates
      if variant.sharedExpert { extra += mlp(hidden) + hidden + d }
      if hasShortcut && moe.shortcutNorm == .own { extra += 2 * d }
      if moe.postNorm { extra += 2 * d }
      if moe.combine != .add { extra += (moe.combine == .cg1 ? 1 : 2) * d }
      let calls = variant.routes.reduce(0) { $0 + $1.k }
      total += moe.experts * expert + extra
      active += calls * expert + extra
      products += Double(tokens) * Double(variant.routes.count * moe.experts * d + calls * mlp(expertWidth))
      // Permuted rows, pre-activations and outputs of every call; gate values.
      kept += Double(calls * (2 * d + expertWidth + 1) + variant.routes.count * 2 * moe.experts)
      if variant.sharedExpert {
        products += Double(tokens) * Double(mlp(hidden))
        kept += Double(hidden + d)
      }
    }
    parameters = total
    activeParameters = active
    activationFloats = kept * Double(tokens)
    forwardFLOPs =
      2 * products + Double(config.layers) * 4 * Double(tokens * tokens) * Double(d)
  }
}
