import MMoETensor

/// The kinds of operations: what each costs, from its sizes.
extension ModelOperation {
  /// `y = x · Wᵀ + b`.
  ///
  /// - Parameters:
  ///   - residual: whether something is added to the output.
  ///   - isInput: whether `x` comes from outside, so that nothing differentiates by it.
  ///   - isFloat32: whether operands are float32 whatever the type of products.
  ///   - sharesWeights: whether an operation before it has the same parameters.
  ///   - keeps: numbers per row that the backward pass needs.
  ///   - rank: of its adapter; 0 = none.
  public static func product(
    _ name: String, rows: Int, in inner: Int, out: Int, bias: Bool, residual: Bool = false, isInput: Bool = false,
    isFloat32: Bool = false, sharesWeights: Bool = false, keeps: Int = 0, rank: Int = 0
  ) -> ModelOperation {
    var operation = ModelOperation(name, rows: rows, in: inner, out: out)
    let size = inner * out + (bias ? out : 0)
    operation.activeParameters = sharesWeights ? 0 : size
    operation.parameters = operation.activeParameters
    operation.multiplyAdds = Double(inner * out) * Double(rows)
    operation.kept = Double(rows) * Double(keeps)
    if isInput { operation.backwardProducts = 1 }
    let (i, o) = (Double(inner), Double(out))
    func operands(_ traffic: inout Traffic, row: Double, once: Double) {
      if isFloat32 {
        traffic.floats.row += row
        traffic.floats.once += once
      } else {
        traffic.operands.row += row
        traffic.operands.once += once
      }
    }
    operands(&operation.forward, row: i, once: i * o)
    operation.forward.floats.row += o * (residual ? 2 : 1)
    operands(&operation.backward, row: o + i, once: isInput ? 0 : i * o)
    operation.backward.floats.row += isInput ? 0 : i
    operation.backward.floats.once += i * o
    operation.adapt(rank: rank, in: inner, out: out)
    return operation
  }

  /// The two-layer MLP over groups of rows: a dense MLP, a shared expert, or a bank of experts.
  ///
  /// - Parameters:
  ///   - stored: sets of weights that it brings to the model.
  ///   - groups: sets of weights that it reads.
  ///   - k, choices: for experts, of how many a token meets the weights, and how many rows it has there on average.
  ///   - keeps: numbers for each passage beyond the pre-activation.
  ///   - rank: of the adapters of both layers; 0 = none.
  static func mlp(
    _ name: String, rows: Int, width: Int, hidden: Int, activation: Activation, bias: Bool, residual: Bool,
    stored: Int = 1, groups: Int = 1, k: Int = 1, choices: Double? = nil, keeps: Int, rank: Int
  ) -> ModelOperation {
    var operation = ModelOperation(name, rows: rows, in: width, out: width)
    let (halves, passages) = (activation.halves, Double(rows) * (choices ?? 1))
    let weights = (halves + 1) * width * hidden
    let size = weights + (bias ? halves * hidden + width : 0)
    (operation.groups, operation.choices) = (groups, choices)
    operation.parameters = stored.multipliedClamped(by: size)
    operation.activeParameters = k.multipliedClamped(by: size)
    operation.multiplyAdds = passages * Double(weights)
    operation.kept = passages * Double(halves * hidden + keeps)
    let (d, h, wide) = (Double(width), Double(hidden), Double(halves * hidden))
    let read = Double(groups) * Double(weights)
    operation.forward.operands = Amount(passage: d, once: read)
    operation.forward.floats.passage = d * (residual ? 2 : 1)
    operation.recorded.operands.passage = wide
    // The stored pre-activation is read and becomes its gradient, the activation is made again.
    operation.backward.operands = Amount(passage: 2 * d + 3 * wide + 2 * h, once: read)
    operation.backward.floats = Amount(passage: d, once: read)
    operation.adapt(rank: rank, in: width, out: halves * hidden, stored: stored, k: k)
    operation.adapt(rank: rank, in: hidden, out: width, stored: stored, k: k)
    return operation
  }

  /// Adds a low-rank adapter of a weight.
  private mutating func adapt(rank: Int, in inner: Int, out: Int, stored: Int = 1, k: Int = 1) {
    guard rank > 0 else { return }
    let (size, passages) = (rank * (inner + out), Double(rows) * (choices ?? 1))
    parameters = parameters.addingClamped(stored.multipliedClamped(by: size))
    activeParameters = activeParameters.addingClamped(k.multipliedClamped(by: size))
    multiplyAdds += passages * Double(size)
    kept += passages * Double(rank)
    let read = Double(groups) * Double(size)
    forward.operands.once += read
    backward.operands.once += read
    backward.floats.once += read
  }

  /// The model's norm.
  ///
  /// - Parameters:
  ///   - isShared: whether its parameters are those of a norm before it.
  ///   - keeps: whether its output is kept.
  static func norm(_ config: ModelConfig, rows: Int, isShared: Bool = false, keeps: Bool = false) -> ModelOperation {
    let (name, arrays) = config.norm == .layer ? ("layer norm", 2) : ("rms norm", 1)
    let d = config.width
    return moving(
      name, rows: rows, width: d, forward: 2 * d, backward: 3 * d, parameters: isShared ? 0 : arrays * d,
      keeps: keeps ? d : 0)
  }

  /// Softmax attention of one sequence.
  ///
  /// - Parameters:
  ///   - rows, columns: queries, and the numbers that are read for each: Q with its share of K and V.
  ///   - pairs: of a position and one that it sees.
  static func attention(
    _ name: String, rows: Int, columns: Double, width: Int, heads: Int, pairs: Double
  ) -> ModelOperation {
    var operation = ModelOperation(name, rows: rows, in: Int(columns), out: width)
    operation.multiplyAdds = 2 * pairs * Double(width)
    // The mixed heads, and the log-sum-exp of each head.
    operation.kept = Double(rows) * Double(width + heads)
    operation.forward.floats.row = columns + Double(width)
    operation.backward.floats.row = 2 * (columns + Double(width))
    return operation
  }

  /// What multiplies no matrices: numbers per row that are read and written.
  public static func moving(
    _ name: String, rows: Int, width: Int, forward: Int, backward: Int, parameters: Int = 0, active: Int? = nil,
    keeps: Int = 0
  ) -> ModelOperation {
    var operation = ModelOperation(name, rows: rows, in: width, out: width)
    operation.forward.floats.row = Double(forward)
    operation.backward.floats.row = Double(backward)
    (operation.parameters, operation.activeParameters) = (parameters, active ?? parameters)
    operation.kept = Double(rows) * Double(keeps)
    return operation
  }

  /// The sum of two tensors of as many rows.
  static func sum(rows: Int, width: Int) -> ModelOperation {
    moving("add", rows: rows, width: width, forward: 3 * width, backward: 2 * width)
  }

  /// Rows that move between packed sequences and tensors of their own.
  ///
  /// - Parameter count: rows of the result.
  static func packing(rows: Int, to count: Int, width: Int) -> ModelOperation {
    var operation = moving("permute", rows: rows, width: width, forward: width, backward: width)
    operation.forward.floats.row += Double(width * count) / Double(rows)
    operation.backward.floats.row += Double(width)
    return operation
  }

  /// The head with its cross-entropy. Logits are written, become their gradient and are read for it; the gradients of rows and
  /// head come with the forward pass.
  ///
  /// - Parameter isTied: whether the head is the token embedding.
  static func languageHead(rows: Int, width: Int, vocabulary: Int, isTied: Bool) -> ModelOperation {
    var operation = ModelOperation("head + cross-entropy", rows: rows, in: width, out: vocabulary)
    let weights = vocabulary * width
    operation.parameters = isTied ? 0 : weights
    operation.activeParameters = weights
    operation.multiplyAdds = Double(weights) * Double(rows)
    operation.differentiatesAtOnce = true
    let (d, v) = (Double(width), Double(vocabulary))
    operation.forward.operands = Amount(row: d, once: v * d)
    operation.forward.floats.row = 2 * v
    operation.backward.operands = Amount(row: d, once: v * d)
    operation.backward.floats = Amount(row: d + v, once: v * d)
    return operation
  }
}

extension Int {
  /// The sum, or the largest number where it is larger.
  func addingClamped(_ other: Int) -> Int {
    let (sum, overflows) = addingReportingOverflow(other)
    return overflows ? .max : sum
  }

  /// The product, or the largest number where it is larger.
  func multipliedClamped(by other: Int) -> Int {
    let (product, overflows) = multipliedReportingOverflow(by: other)
    return overflows ? .max : product
  }
}
