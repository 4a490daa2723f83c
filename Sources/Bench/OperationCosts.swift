import MMoEModels
import MMoETensor

/// Arithmetic and memory traffic of a step's operations, by the names under which they run, from sizes alone.
///
/// FLOPs are those of matrix products, as `ModelCosts` counts them. Bytes are the least that must move: every array that
/// an operation reads or writes, once; operands of products in the type that they are read in.
struct OperationCosts {
  struct Work: Equatable {
    var flops = 0.0
    var bytes = 0.0

    static func += (sum: inout Work, other: Work) {
      sum.flops += other.flops
      sum.bytes += other.bytes
    }
  }

  /// Work of a step; backward parts end in ′, as in `OperationProfile`.
  private(set) var work: [String: Work] = [:]
  private let config: ModelConfig
  private let isTraining: Bool
  /// Bytes of an operand's element.
  private let operand: Double
  /// Rows of the residual stream.
  private let rows: Double
  private let samples: Double
  /// Share of the choices that an expert computes: the others were dropped, or are an identity's.
  private let computed: Double

  /// - Throws: `ModelError` for an impossible configuration.
  init(
    _ config: ModelConfig, _ optimizer: OptimizerConfig = OptimizerConfig(), batch: Int, training: Bool,
    dtype: DType = .float32, computed: Double = 1
  ) throws {
    self.config = config
    isTraining = training
    self.computed = computed
    operand = dtype == .bf16 ? 2 : 4
    samples = Double(batch)
    rows = Double(batch * config.tokens)
    let variant = config.moe.variant == "dense" ? nil : try MoEVariant.resolve(config.moe)
    switch config.kind {
    case .vit: addVisionEnds()
    case .gpt: addTextEnds()
    case .multimodal:
      throw ModelError("model.kind is multimodal, whose operations have no count; leave out --profile")
    }
    addNorm()
    for block in 0..<config.layers {
      addAttention()
      if let variant, config.isMoE(block) {
        addMoE(variant)
      } else {
        addPerceptron("mlp", rows, hidden: config.mlpHidden, copies: 1, residual: true)
      }
    }
    guard training else { return }
    let (name, rule) = (optimizer.kind.rawValue, optimizer.kind.make(optimizer))
    for parameter in try config.makeModel(seed: nil, engine: Engine(threads: 1), describes: true).parameters {
      let bytes = 4 * Double(parameter.count)
      add(name, flops: rule.flops(of: parameter), bytes: bytes * Double(rule.passes(of: parameter)))
      add("gradient norm", bytes: bytes)
    }
  }

  private mutating func add(_ name: String, flops: Double = 0, bytes: Double) {
    work[name, default: Work()] += Work(flops: flops, bytes: bytes)
  }

  private mutating func add(_ name: String, floats: Double, backward: Double) {
    add(name, bytes: 4 * floats)
    if isTraining { add(name + " ′", bytes: 4 * backward) }
  }

  /// - Parameter element: bytes of an operand's element.
  private mutating func addLinear(
    _ name: String, _ rows: Double, in inner: Int, out: Int, residual: Bool = false, input: Bool = true,
    element: Double? = nil
  ) {
    let (inner, out, e) = (Double(inner), Double(out), element ?? operand)
    let product = 2 * rows * inner * out
    add(name, flops: product, bytes: e * (rows * inner + inner * out) + 4 * rows * out * (residual ? 2 : 1))
    guard isTraining else { return }
    add(name + " ′", flops: product, bytes: e * (rows * out + rows * inner) + 4 * inner * out)
    if input { add(name + " ′", flops: product, bytes: e * inner * out + 4 * rows * inner) }
  }

  /// - Parameter copies: weights that are read, such as all experts'.
  private mutating func addPerceptron(_ name: String, _ rows: Double, hidden: Int, copies: Int, residual: Bool) {
    let (d, h, halves) = (Double(config.width), Double(hidden), Double(config.activation.halves))
    let products = 2 * rows * (halves + 1) * d * h
    let weights = Double(copies) * (halves + 1) * d * h
    add(
      name, flops: products,
      bytes: operand * (rows * d + weights) + 4 * rows * d * (residual ? 2 : 1)
        + (isTraining ? operand * rows * halves * h : 0))
    guard isTraining else { return }
    // The stored pre-activation is read and becomes its gradient, the activation is made again.
    add(
      name + " ′", flops: 2 * products,
      bytes: operand * (2 * rows * d + weights + 3 * rows * halves * h + 2 * rows * h) + 4 * (rows * d + weights))
  }

  private mutating func addNorm() {
    let floats = rows * Double(config.width)
    add(config.norm == .layer ? "layer norm" : "rms norm", floats: 2 * floats, backward: 3 * floats)
  }

  private mutating func addAttention() {
    let (d, width) = (config.width, Double(config.width))
    let columns = (config.heads + 2 * config.keyValueHeads) * config.headWidth
    let tokens = Double(config.tokens)
    let pairs = samples * (config.kind == .gpt ? tokens * (tokens + 1) / 2 : tokens * tokens)
    addNorm()
    addNorm()
    addLinear("qkv", rows, in: d, out: columns)
    if config.kind == .gpt && config.text.positions == .rotary {
      let turned = rows * Double((config.heads + config.keyValueHeads) * config.headWidth)
      add("rotary", floats: 2 * turned, backward: 2 * turned)
    }
    let states = rows * (Double(columns) + width)
    add("attention", flops: 4 * pairs * width, bytes: 4 * states)
    if isTraining { add("attention ′", flops: 8 * pairs * width, bytes: 8 * states) }
    addLinear("proj", rows, in: d, out: d, residual: true)
  }

  private mutating func addMoE(_ variant: MoEVariant) {
    let (d, moe) = (Double(config.width), config.moe)
    for route in variant.routes {
      let (k, choices) = (Double(route.k), Double(moe.choices))
      if route.source != .current && moe.shortcutNorm == .own { addNorm() }
      addLinear("gate", rows, in: config.width, out: moe.choices, element: 4)
      add("gate", floats: rows * (2 * choices + 2 * k), backward: rows * (3 * choices + k))
      let moved = k * computed
      add("permute", floats: 2 * rows * moved * d, backward: rows * d * (moved + 1))
      addPerceptron("experts", rows * moved, hidden: config.expertHidden, copies: moe.experts, residual: false)
      add("combine", floats: rows * d * (moved + 2), backward: rows * d * (2 * moved + 1))
    }
    if variant.sharedExpert {
      addPerceptron("shared expert", rows, hidden: config.mlpHidden, copies: 1, residual: moe.combine == .add)
    }
    if moe.postNorm { addNorm() }
    if moe.combine != .add { add("coefficient gate", floats: 4 * rows * d, backward: 6 * rows * d) }
    if moe.combine != .add || moe.postNorm { add("add", floats: 3 * rows * d, backward: 2 * rows * d) }
  }

  private mutating func addVisionEnds() {
    let (d, vision) = (config.width, config.vision)
    let patch = vision.channels * vision.patch * vision.patch
    let patches = samples * Double(vision.tokens - (vision.classToken ? 1 : 0))
    let stream = rows * Double(d)
    add("patches", bytes: 8 * patches * Double(patch))
    addLinear("embedding", patches, in: patch, out: d, input: false)
    add("positions", floats: 2 * stream, backward: 2 * stream)
    let pooled = vision.classToken ? samples * Double(d) : stream
    add("pool", floats: pooled, backward: stream)
    addLinear("head", samples, in: d, out: vision.classes)
  }

  private mutating func addTextEnds() {
    let (d, vocabulary) = (Double(config.width), Double(config.text.vocabulary))
    let stream = rows * d
    let added: Double = config.text.positions == .learned ? 1 : 0
    add("embedding", floats: (2 + added) * stream, backward: (2 + 2 * added) * stream)
    // Logits are written, become their gradient and are read for it; dX and dW come with the forward pass.
    let product = 2 * stream * vocabulary
    let read = operand * (stream + vocabulary * d)
    add(
      "head + cross-entropy", flops: product * (isTraining ? 3 : 1),
      bytes: isTraining
        ? 2 * read + 4 * (stream + vocabulary * d) + 12 * rows * vocabulary : read + 8 * rows * vocabulary)
  }
}
