import CKernels

/// What a gate decided for a batch of tokens: `T` tokens, `E` experts, at most `k` choices each.
public struct GateChoice {
  /// `[T · k]`, best first; ties went to the lower index. −1 where a token has fewer choices than k, after all others.
  public let experts: [Int32]
  /// `[T, k]`, the weights of the chosen experts, 0 where there is none; differentiable.
  public let gates: Tensor
  /// `[T, E]`, what experts are chosen by, before any selection bias.
  public let scores: Tensor
  /// `[T, E]`, the scores as a distribution over all experts; differentiable.
  public let probabilities: Tensor
  /// `[T]`, log-sum-exp of the logits; differentiable.
  public let logSumExp: Tensor
  public let tokens: Int
  public let expertCount: Int
  public let k: Int

  /// A choice that a router outside of the package made.
  ///
  /// - Parameters:
  ///   - experts: `[T · k]`, as above.
  ///   - gates: `[T, k]`; probabilities: `[T, E]`; logSumExp: `[T]`.
  /// - Throws: `EngineError` for arrays that do not fit one another, and experts that there are not.
  public init(
    experts: [Int32], gates: Tensor, scores: Tensor? = nil, probabilities: Tensor, logSumExp: Tensor
  ) throws(EngineError) {
    func require(_ condition: Bool, _ what: String, _ found: String, _ expected: String) throws(EngineError) {
      if !condition { throw EngineError(field: "\(what) of a choice of experts", found: found, expected: expected) }
    }
    let (tokens, count) = (probabilities.rows, probabilities.columns)
    try require(gates.rows == tokens, "the gates", "\(gates.shape)", "[\(tokens), k], as many rows as probabilities")
    let k = gates.columns
    try require(experts.count == tokens * k, "the experts", "\(experts.count) numbers", "\(tokens * k)")
    try require(logSumExp.count == tokens, "logSumExp", "\(logSumExp.shape)", "[\(tokens)]")
    if let scores {
      try require(scores.count == tokens * count, "the scores", "\(scores.shape)", "[\(tokens), \(count)]")
    }
    let odd = experts.first { $0 < -1 || $0 >= count }
    try require(odd == nil, "an expert", "\(odd ?? 0)", "-1 to \(count - 1)")
    self.init(
      experts: experts, gates: gates, scores: scores, probabilities: probabilities, logSumExp: logSumExp,
      tokens: tokens,
      expertCount: count, k: k)
  }

  /// - Parameter scores: nil = the probabilities.
  package init(
    experts: [Int32], gates: Tensor, scores: Tensor? = nil, probabilities: Tensor, logSumExp: Tensor, tokens: Int,
    expertCount: Int, k: Int
  ) {
    self.experts = experts
    self.gates = gates
    self.scores = scores ?? probabilities
    self.probabilities = probabilities
    self.logSumExp = logSumExp
    self.tokens = tokens
    self.expertCount = expertCount
    self.k = k
  }
}

extension Tape {
  /// Softmax gate with top-k choice in float32.
  ///
  /// - Parameters:
  ///   - logits: `[T, E]`.
  ///   - k: choices a token.
  ///   - renormalize: whether the weights are a softmax over the chosen logits, which is the chosen probabilities over
  ///     their sum (usual for k > 1).
  ///   - selectionBias: `[E]`, added to the probabilities for the choice, not for the weights
  ///     (balancing without a loss; Wang et al., arXiv 2408.15664).
  ///   - exclude: `[T]`, one expert that each token may not take (DGMoE's constraint).
  package func gate(
    _ logits: Tensor, k: Int, renormalize: Bool, selectionBias: [Float]? = nil,
    exclude: [Int32]? = nil
  ) -> GateChoice {
    let (tokens, count) = (logits.rows, logits.columns)
    precondition(k >= 1 && k + (exclude == nil ? 0 : 1) <= count, "gate: k=\(k), E=\(count)")
    let probabilities = Tensor(uninitialized: [tokens, count])
    let gates = Tensor(uninitialized: [tokens, k])
    let logSumExp = Tensor(uninitialized: [tokens])
    let bias = selectionBias.map { Tensor($0, shape: [count]) }
    var experts = [Int32](repeating: 0, count: tokens * k)
    timed("gate") {
      let (pz, pp, pg) = (logits.pointer, probabilities.pointer, gates.pointer)
      let (pl, pb) = (logSumExp.pointer, bias?.pointer)
      experts.withUnsafeMutableBufferPointer { buffer in
        let pe = buffer.baseAddress!
        withOptionalPointer(exclude) { px in
          engine.forRowTiles(tokens, target: 512) { r, _, _ in
            let t = r.lowerBound
            mmoe_route(
              pz + t * count, pb, px.map { $0 + t }, pp + t * count, pe + t * k, pg + t * k,
              pl + t, r.count, count, k, renormalize ? 1 : 0)
          }
        }
      }
    }
    let choice = GateChoice(
      experts: experts, gates: gates, probabilities: probabilities, logSumExp: logSumExp,
      tokens: tokens, expertCount: count, k: k)
    record("gate", [gates, probabilities, logSumExp]) { [self] in
      guard
        gates.gradient != nil || probabilities.gradient != nil || logSumExp.gradient != nil,
        let dLogits = gradientTarget(logits)
      else { return }
      if dLogits.beta == 0 { dLogits.pointer.update(repeating: 0, count: logits.count) }
      let (pp, pg) = (probabilities.pointer, gates.pointer)
      let dGates = gates.gradient?.pointer
      let (dP, dL) = (probabilities.gradient?.pointer, logSumExp.gradient?.pointer)
      choice.experts.withUnsafeBufferPointer { buffer in
        let pe = buffer.baseAddress!
        engine.forRowTiles(tokens, target: 512) { r, _, _ in
          let t = r.lowerBound
          mmoe_route_backward(
            dLogits.pointer + t * count, pp + t * count, pe + t * k, pg + t * k,
            dGates.map { $0 + t * k }, dP.map { $0 + t * count }, dL.map { $0 + t }, r.count,
            count, k, renormalize ? 1 : 0)
        }
      }
      (gates.gradient, probabilities.gradient, logSumExp.gradient) = (nil, nil, nil)
    }
    return choice
  }

  /// Copies token rows into expert order: `y[i, :] = x[source[i], :]`.
  ///
  /// - Parameters:
  ///   - source: the token of each sorted row.
  ///   - position: `[T, k]`, the sorted row of each choice, −1 where dropped; the inverse of `source`, by which
  ///     the adjoint sums a token's rows in a fixed order.
  ///   - capacity: rows of the result, at least `source.count`: the worst case, so that buffers keep their size.
  package func permuteRows(
    _ x: Tensor, source: [Int32], position: [Int32], k: Int, capacity: Int
  ) -> Tensor {
    let d = x.columns
    let gather = { [engine] (x: Tensor) in
      let y = Tensor(uninitialized: [capacity, d])
      let (px, py) = (x.pointer, y.pointer)
      source.withUnsafeBufferPointer { buffer in
        guard let ps = buffer.baseAddress else { return }
        engine.forRowTiles(source.count, target: 512) { r, _, _ in
          mmoe_gather_rows(py + r.lowerBound * d, px, ps + r.lowerBound, r.count, d)
        }
      }
      return y
    }
    let y = timed("permute") { gather(x) }
    if let rebuild = x.rebuild { y.rebuild = { gather(rebuild()) } }
    let (slot, rows) = (x.slot, x.rows)
    record("permute", y, definedRows: source.count) { [self] dY in
      guard let dX = gradientTarget(slot) else { return }
      let pd = dY.pointer
      position.withUnsafeBufferPointer { buffer in
        let pp = buffer.baseAddress!
        engine.forRowTiles(rows, target: 512) { r, _, _ in
          let t = r.lowerBound
          mmoe_combine_rows(
            dX.pointer + t * d, pd, pp + t * k, nil, dX.beta == 0 ? 0 : 1, r.count, k, d)
        }
      }
    }
    return y
  }

  /// Brings expert rows back to their tokens, weighted: `y[t] = base[t] + Σ_j gates[t, j] · x[position[t, j]]`.
  ///
  /// - Parameters:
  ///   - x: sorted rows, the experts' outputs.
  ///   - gates: `[T, k]`.
  ///   - base: `[T, d]`, such as the residual stream, or nil.
  package func combineRows(
    _ x: Tensor, gates: Tensor, position: [Int32], base: Tensor?
  ) -> Tensor {
    let (d, tokens, k) = (x.columns, gates.shape[0], gates.shape[1])
    let y = Tensor(uninitialized: base?.shape ?? [tokens, d])
    timed("combine") {
      let (px, py, pg, pb) = (x.pointer, y.pointer, gates.pointer, base?.pointer)
      position.withUnsafeBufferPointer { buffer in
        let pp = buffer.baseAddress!
        engine.forRowTiles(tokens, target: 512) { r, _, _ in
          let t = r.lowerBound
          if let pb { (py + t * d).update(from: pb + t * d, count: r.count * d) }
          mmoe_combine_rows(
            py + t * d, px, pp + t * k, pg + t * k, pb == nil ? 0 : 1, r.count, k, d)
        }
      }
    }
    let baseSlot = base?.slot
    record("combine", y) { [self] dY in
      let dX = Tensor(uninitialized: x.shape)
      let dGates = Tensor(uninitialized: gates.shape)
      let (px, pd, pg) = (x.pointer, dY.pointer, gates.pointer)
      let (pdx, pdg) = (dX.pointer, dGates.pointer)
      position.withUnsafeBufferPointer { buffer in
        let pp = buffer.baseAddress!
        engine.forRowTiles(tokens, target: 512) { r, _, _ in
          let t = r.lowerBound
          mmoe_combine_backward(
            pdx, pdg + t * k, pd + t * d, px, pp + t * k, pg + t * k, r.count, k, d)
        }
      }
      accumulate(dX, into: x)
      accumulate(dGates, into: gates)
      if let baseSlot { accumulate(dY, into: baseSlot) }
    }
    return y
  }
}

/// The address of an optional array's elements for the duration of `body`.
private func withOptionalPointer<Result>(
  _ array: [Int32]?, _ body: (UnsafePointer<Int32>?) -> Result
) -> Result {
  guard let array else { return body(nil) }
  return array.withUnsafeBufferPointer { body($0.baseAddress) }
}
