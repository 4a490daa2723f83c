import MMoETensor

/// A pre-norm transformer block: `h = x + attention(norm1(x))`, then `h + mlp(norm2(h))` or the mixture of experts.
final class TransformerBlock {
  enum Body {
    case dense(FeedForward)
    case moe(MoELayer)
  }

  let norm1: LayerNorm
  let attention: SelfAttention
  let norm2: LayerNorm
  let body: Body

  init(
    _ store: ParameterStore, _ path: String, index: Int, config: ModelConfig, causal: Bool,
    variant: MoEVariant?, dispatcher: any Dispatcher
  ) {
    norm1 = LayerNorm(store, path + ".norm1", config.width, epsilon: config.normEpsilon)
    attention = SelfAttention(
      store, path + ".attention", width: config.width, heads: config.heads, causal: causal)
    norm2 = LayerNorm(store, path + ".norm2", config.width, epsilon: config.normEpsilon)
    if let variant {
      body = .moe(
        MoELayer(
          store, path + ".moe", model: config, block: index, variant: variant,
          dispatcher: dispatcher))
    } else {
      body = .dense(
        FeedForward(store, path + ".mlp", width: config.width, hidden: config.mlpHidden))
    }
  }

  var moe: MoELayer? {
    if case .moe(let layer) = body { return layer }
    return nil
  }
}
