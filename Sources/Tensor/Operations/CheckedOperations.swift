/// Operations for layers outside of the package. Each looks at the shapes, and then is the package's own, which takes them
/// for granted.
public struct CheckedOperations {
  fileprivate let tape: Tape

  private func require(
    _ condition: Bool, _ field: String, _ found: @autoclosure () -> String, _ expected: @autoclosure () -> String
  ) throws(EngineError) {
    if !condition { throw EngineError(field: field, found: found(), expected: expected()) }
  }

  private func requireShape(_ parameter: Parameter?, _ shape: [Int]) throws(EngineError) {
    guard let parameter else { return }
    try require(parameter.shape == shape, parameter.path, "of shape \(parameter.shape)", "\(shape)")
  }

  private func requireColumns(_ x: Tensor, _ columns: Int, of what: String) throws(EngineError) {
    try require(x.columns == columns, "the input of \(what)", "of shape \(x.shape)", "rows of \(columns) numbers")
  }

  private func requireSame(_ a: Tensor?, _ shape: [Int], _ what: String) throws(EngineError) {
    guard let a else { return }
    try require(a.count == shape.reduce(1, *), what, "of shape \(a.shape)", "\(shape)")
  }

  private func requireSequences(_ rows: Int, of sequence: Int) throws(EngineError) {
    try require(
      sequence >= 1 && rows % sequence == 0, "the length of sequences", "\(sequence)", "a divisor of the \(rows) rows")
  }

  /// `a + b`, elementwise.
  ///
  /// - Throws: `EngineError` for other shapes, as all of these.
  public func add(_ a: Tensor, _ b: Tensor) throws(EngineError) -> Tensor {
    try requireSame(b, a.shape, "the second term of a sum")
    return tape.add(a, b)
  }

  /// `y = x · Wᵀ + b (+ residual)`; x `[T, in]`, weight `[out, in]`, bias `[out]`, residual `[T, out]`.
  public func linear(
    _ x: Tensor, weight: Parameter, bias: Parameter? = nil, residual: Tensor? = nil
  ) throws(EngineError) -> Tensor {
    try require(weight.shape.count == 2, weight.path, "of shape \(weight.shape)", "[out, in]")
    let (out, inner) = (weight.shape[0], weight.shape[1])
    try requireColumns(x, inner, of: weight.path)
    try requireShape(bias, [out])
    try requireSame(residual, [x.rows, out], "the residual of \(weight.path)")
    return tape.linear(x, weight: weight, bias: bias, residual: residual)
  }

  /// Layer norm over rows of x `[T, d]`; weight and bias `[d]`.
  public func layerNorm(
    _ x: Tensor, weight: Parameter, bias: Parameter, epsilon: Float = 1e-5
  ) throws(EngineError) -> Tensor {
    try requireShape(weight, [x.columns])
    try requireShape(bias, [x.columns])
    return tape.layerNorm(x, weight: weight, bias: bias, epsilon: epsilon)
  }

  /// RMS norm over rows of x `[T, d]`; weight `[d]`.
  public func rmsNorm(_ x: Tensor, weight: Parameter, epsilon: Float = 1e-5) throws(EngineError) -> Tensor {
    try requireShape(weight, [x.columns])
    return tape.rmsNorm(x, weight: weight, epsilon: epsilon)
  }

  /// A two-layer MLP on x `[T, d]`: w1 `[h, d]` (SwiGLU: `[2 h, d]`), b1 `[h]` (`[2 h]`), w2 `[d, h]`, b2 `[d]`, residual
  /// `[T, d]`.
  public func feedForward(
    _ x: Tensor, w1: Parameter, b1: Parameter? = nil, w2: Parameter, b2: Parameter? = nil,
    activation: Activation = .gelu, residual: Tensor? = nil
  ) throws(EngineError) -> Tensor {
    try require(w2.shape.count == 2, w2.path, "of shape \(w2.shape)", "[d, h]")
    let (d, hidden) = (w2.shape[0], w2.shape[1])
    try requireColumns(x, d, of: w1.path)
    try requireShape(w1, [activation.halves * hidden, d])
    try requireShape(b1, [activation.halves * hidden])
    try requireShape(b2, [d])
    try requireSame(residual, x.shape, "the residual of \(w2.path)")
    return tape.feedForward(
      x, offsets: [0, x.rows], w1: w1, b1: b1, w2: w2, b2: b2, activation: activation, residual: residual, name: "mlp")
  }

  /// Self-attention of sequences of `sequence` rows: `qkv` `[B · T, 3 d]`, Q, K and V side by side, which nothing else reads.
  ///
  /// - Returns: `[B · T, d]`.
  public func attention(_ qkv: Tensor, sequence: Int, heads: Int, causal: Bool) throws(EngineError) -> Tensor {
    try require(
      heads >= 1 && qkv.columns % (3 * heads) == 0, "the input of attention", "of shape \(qkv.shape)",
      "rows of 3 · \(heads) · w numbers")
    try requireSequences(qkv.rows, of: sequence)
    return tape.attention(qkv, sequence: sequence, heads: heads, keyValueHeads: heads, causal: causal)
  }

  /// Rows of a table `[V, d]` by B · T ids, plus one of `positions` `[context, d]` for each place in a sequence.
  ///
  /// - Returns: `[B · T, d]`.
  public func embedding(
    _ ids: [Int32], table: Parameter, positions: Parameter? = nil, sequence: Int
  ) throws(EngineError) -> Tensor {
    try require(table.shape.count == 2, table.path, "of shape \(table.shape)", "[V, d]")
    try requireIDs(ids, below: table.shape[0], of: table.path)
    try requireSequences(ids.count, of: sequence)
    if let positions {
      try require(
        positions.shape.count == 2 && positions.shape[0] >= sequence && positions.shape[1] == table.shape[1],
        positions.path, "of shape \(positions.shape)", "[\(sequence) or more, \(table.shape[1])]")
    }
    return tape.embedding(ids, table: table, positions: positions, sequence: sequence)
  }

  /// Adds the mean cross-entropy of logits `[T, V]` to the objective.
  ///
  /// - Parameter targets: T classes, −1 where none counts.
  public func crossEntropy(_ logits: Tensor, targets: [Int32]) throws(EngineError) -> CrossEntropyResult {
    try require(targets.count == logits.rows, "the targets", "\(targets.count)", "\(logits.rows), as many as logits")
    try requireIDs(targets.filter { $0 != -1 }, below: logits.columns, of: "the targets")
    return tape.crossEntropy(logits, targets: targets)
  }

  /// Softmax gate with top-k choice of logits `[T, E]`.
  ///
  /// - Parameters:
  ///   - renormalize: whether weights are divided by their sum.
  ///   - selectionBias: `[E]`, added to the probabilities for the choice alone.
  ///   - exclude: `[T]`, one expert that each token may not take.
  public func gate(
    _ logits: Tensor, k: Int, renormalize: Bool, selectionBias: [Float]? = nil, exclude: [Int32]? = nil
  ) throws(EngineError) -> GateChoice {
    let most = logits.columns - (exclude == nil ? 0 : 1)
    try require(k >= 1 && k <= most, "the choices of a token", "\(k)", "1 to \(most)")
    if let selectionBias {
      try require(
        selectionBias.count == logits.columns, "the selection bias", "\(selectionBias.count) numbers",
        "\(logits.columns)")
    }
    if let exclude {
      try require(exclude.count == logits.rows, "exclude", "\(exclude.count) numbers", "\(logits.rows)")
    }
    return tape.gate(logits, k: k, renormalize: renormalize, selectionBias: selectionBias, exclude: exclude)
  }

  private func requireIDs(_ ids: [Int32], below limit: Int, of what: String) throws(EngineError) {
    let odd = ids.first { $0 < 0 || $0 >= limit }
    try require(odd == nil, "an id of \(what)", "\(odd ?? 0)", "0 to \(limit - 1)")
  }
}

extension Tape {
  /// Operations for layers outside of the package.
  public var checked: CheckedOperations { CheckedOperations(tape: self) }
}
