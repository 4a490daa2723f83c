import MMoETensor

/// `y = x · Wᵀ + b`; weight `[out, in]`, bias `[out]` where there is one.
struct Linear {
  let weight: Parameter
  let bias: Parameter?

  init(
    _ store: ParameterStore, _ path: String, _ role: ParameterRole, in inner: Int, out: Int, bias hasBias: Bool = true,
    scale: Double = 1, adapter: LoRAConfig.Place? = nil
  ) {
    weight = store.weight(path + ".weight", role, [out, inner], scale: scale)
    if let adapter { store.adapt(weight, adapter) }
    bias = hasBias ? store.constant(path + ".bias", role, [out], 0) : nil
  }

  func callAsFunction(
    _ x: Tensor, _ tape: Tape, residual: Tensor? = nil, name: String = "linear"
  ) -> Tensor {
    tape.linear(x, weight: weight, bias: bias, residual: residual, name: name)
  }
}

/// The model's norm over the last axis; weight `[d]`, and a bias `[d]` for layer norm.
struct Norm {
  let weight: Parameter
  let bias: Parameter?
  let epsilon: Float

  init(_ store: ParameterStore, _ path: String, _ config: ModelConfig) {
    weight = store.constant(path + ".weight", .norms, [config.width], 1)
    bias = config.norm == .layer ? store.constant(path + ".bias", .norms, [config.width], 0) : nil
    epsilon = Float(config.normEpsilon)
  }

  func callAsFunction(_ x: Tensor, _ tape: Tape) -> Tensor {
    if let bias { return tape.layerNorm(x, weight: weight, bias: bias, epsilon: epsilon) }
    return tape.rmsNorm(x, weight: weight, epsilon: epsilon)
  }
}

/// Multi-head self-attention: fused projections, rotary positions where the model has them, attention, output
/// projection.
struct SelfAttention {
  let qkv: Linear
  let proj: Linear
  let heads: Int
  let keyValueHeads: Int
  let causal: Bool
  let angles: RotaryAngles?

  init(
    _ store: ParameterStore, _ path: String, _ config: ModelConfig, causal: Bool,
    angles: RotaryAngles?
  ) {
    (heads, keyValueHeads) = (config.heads, config.keyValueHeads)
    qkv = Linear(
      store, path + ".qkv", .attention, in: config.width, out: (heads + 2 * keyValueHeads) * config.headWidth,
      bias: config.bias, adapter: .attention)
    proj = Linear(
      store, path + ".proj", .attention, in: config.width, out: config.width, bias: config.bias,
      scale: config.residualScale, adapter: .attention)
    self.causal = causal
    self.angles = angles
  }

  /// - Parameters:
  ///   - x: `[B · T, d]`; sequence: T; residual: added to the output.
  ///   - layout: sequences of different lengths, instead of such of T.
  ///   - cache: earlier positions of the one sequence that `x` continues; a layout says what the new ones see.
  func callAsFunction(
    _ x: Tensor, _ tape: Tape, sequence: Int, layout: SequenceLayout? = nil, residual: Tensor?,
    cache: KeyValueCache? = nil
  ) -> Tensor {
    let projected = qkv(x, tape, name: "qkv")
    if let angles {
      tape.rotary(
        projected, angles: angles, heads: heads + keyValueHeads, sequence: sequence,
        first: cache?.count ?? 0)
    }
    let mixed =
      if let cache {
        tape.attention(
          projected, heads: heads, keyValueHeads: keyValueHeads, cache: cache,
          causal: layout.map { $0.spans[0].segments[0].isCausal } ?? true)
      } else if let layout {
        tape.attention(projected, layout: layout, heads: heads, keyValueHeads: keyValueHeads)
      } else {
        tape.attention(
          projected, sequence: sequence, heads: heads, keyValueHeads: keyValueHeads, causal: causal)
      }
    return proj(mixed, tape, residual: residual, name: "proj")
  }
}

/// The dense two-layer MLP; also the shared expert. fc1 `[h, d]` (SwiGLU: gate and up, `[2 h, d]`),
/// fc2 `[d, h]`.
struct FeedForward {
  let fc1: Linear
  let fc2: Linear
  let activation: Activation

  init(_ store: ParameterStore, _ path: String, _ config: ModelConfig) {
    activation = config.activation
    let hidden = config.mlpHidden
    fc1 = Linear(
      store, path + ".fc1", .mlp, in: config.width, out: activation.halves * hidden, bias: config.bias,
      adapter: .mlp)
    fc2 = Linear(
      store, path + ".fc2", .mlp, in: hidden, out: config.width, bias: config.bias,
      scale: config.residualScale, adapter: .mlp)
  }

  func callAsFunction(_ x: Tensor, _ tape: Tape, residual: Tensor?, name: String = "mlp") -> Tensor {
    tape.feedForward(
      x, offsets: [0, x.rows], w1: fc1.weight, b1: fc1.bias, w2: fc2.weight, b2: fc2.bias,
      activation: activation, residual: residual, name: name)
  }
}
