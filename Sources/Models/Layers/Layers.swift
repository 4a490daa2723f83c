import MMoETensor

/// `y = x · Wᵀ + b`; weight `[out, in]`, bias `[out]`.
struct Linear {
  let weight: Parameter
  let bias: Parameter

  init(_ store: ParameterStore, _ path: String, in inner: Int, out: Int, scale: Double = 1) {
    weight = store.weight(path + ".weight", [out, inner], scale: scale)
    bias = store.constant(path + ".bias", [out], 0)
  }

  func callAsFunction(
    _ x: Tensor, _ tape: Tape, residual: Tensor? = nil, name: String = "linear"
  ) -> Tensor {
    tape.linear(x, weight: weight, bias: bias, residual: residual, name: name)
  }
}

/// Layer norm over the last axis; weight and bias `[d]`.
struct LayerNorm {
  let weight: Parameter
  let bias: Parameter
  let epsilon: Float

  init(_ store: ParameterStore, _ path: String, _ width: Int, epsilon: Double) {
    weight = store.constant(path + ".weight", [width], 1)
    bias = store.constant(path + ".bias", [width], 0)
    self.epsilon = Float(epsilon)
  }

  func callAsFunction(_ x: Tensor, _ tape: Tape) -> Tensor {
    tape.layerNorm(x, weight: weight, bias: bias, epsilon: epsilon)
  }
}

/// Multi-head self-attention: fused projections, attention, output projection.
struct SelfAttention {
  let qkv: Linear
  let proj: Linear
  let heads: Int
  let causal: Bool

  init(
    _ store: ParameterStore, _ path: String, width: Int, heads: Int, causal: Bool
  ) {
    qkv = Linear(store, path + ".qkv", in: width, out: 3 * width)
    proj = Linear(store, path + ".proj", in: width, out: width)
    self.heads = heads
    self.causal = causal
  }

  /// - Parameters: x: `[B · T, d]`; sequence: T; residual: added to the output.
  func callAsFunction(
    _ x: Tensor, _ tape: Tape, sequence: Int, residual: Tensor?
  ) -> Tensor {
    let mixed = tape.attention(
      qkv(x, tape, name: "qkv"), sequence: sequence, heads: heads, causal: causal)
    return proj(mixed, tape, residual: residual, name: "proj")
  }
}

/// The dense two-layer perceptron with GELU; also the shared expert.
struct FeedForward {
  let fc1: Linear
  let fc2: Linear

  init(_ store: ParameterStore, _ path: String, width: Int, hidden: Int) {
    fc1 = Linear(store, path + ".fc1", in: width, out: hidden)
    fc2 = Linear(store, path + ".fc2", in: hidden, out: width)
  }

  func callAsFunction(_ x: Tensor, _ tape: Tape, residual: Tensor?, name: String = "mlp") -> Tensor {
    tape.feedForward(
      x, offsets: [0, x.rows], w1: fc1.weight, b1: fc1.bias, w2: fc2.weight, b2: fc2.bias,
      residual: residual, name: name)
  }
}
