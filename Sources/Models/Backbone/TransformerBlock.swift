import MMoETensor

/// A pre-norm transformer block: `h = x + attention(norm1(x))`, then `h + mlp(norm2(h))` or the mixture of experts.
final class TransformerBlock {
  enum Body {
    case dense(FeedForward)
    case moe(MoELayer)
  }

  let norm1: Norm
  let attention: SelfAttention
  /// Reads another tower; nil where there is none to read.
  let cross: CrossAttention?
  let norm2: Norm
  let body: Body

  /// - Parameters:
  ///   - context: width of the other tower that the block reads; nil = none.
  ///   - bank: the experts, where the block shares another's.
  init(
    _ store: ParameterStore, _ path: String, index: Int, config: ModelConfig, causal: Bool,
    angles: RotaryAngles?, context: Int?, variant: MoEVariant?, bank: Experts?, dispatcher: any Dispatcher
  ) throws {
    norm1 = Norm(store, path + ".norm1", config)
    attention = SelfAttention(store, path + ".attention", config, causal: causal, angles: angles)
    cross = context.map { CrossAttention(store, path + ".cross", config, context: $0) }
    norm2 = Norm(store, path + ".norm2", config)
    if let variant {
      body = .moe(
        try MoELayer(
          store, path + ".moe", model: config, block: index, variant: variant, bank: bank,
          dispatcher: dispatcher))
    } else {
      body = .dense(FeedForward(store, path + ".mlp", config))
    }
  }

  var moe: MoELayer? {
    if case .moe(let layer) = body { return layer }
    return nil
  }
}
