import CKernels

extension Tape {
  /// Multi-head self-attention from fused projections, `softmax(Q Kᵀ / √dₕ) V` for each head.
  ///
  /// One task a (sequence, head); scores exist for one block of queries at a time and are recomputed in the
  /// backward pass from the stored log-sum-exp, so that no `T × T` matrix is kept.
  ///
  /// - Parameters:
  ///   - qkv: `[B · T, 3 d]`, in every row `d` of Q, `d` of K, `d` of V with heads contiguous in each.
  ///   - sequence: T.
  ///   - heads: must divide `d`.
  ///   - causal: whether position `t` sees only positions `≤ t`.
  /// - Returns: `[B · T, d]`.
  public func attention(_ qkv: Tensor, sequence: Int, heads: Int, causal: Bool) -> Tensor {
    let (rows, d) = (qkv.rows, qkv.columns / 3)
    precondition(rows % sequence == 0 && d % heads == 0, "attention: \(qkv.shape), T=\(sequence)")
    let (batch, width) = (rows / sequence, d / heads)
    let scale = 1 / Float(width).squareRoot()
    let blocks = Tiling(sequence, target: 128)
    let y = Tensor(uninitialised: Array(qkv.shape.dropLast()) + [d])
    let logSumExp = Tensor(uninitialised: [batch * heads, sequence])
    let isCausal: Int32 = causal ? 1 : 0
    timed("attention") {
      let (pq, py, pl) = (qkv.pointer, y.pointer, logSumExp.pointer)
      let scratch = engine.scratch(slot: 0, count: blocks.longest * sequence)
      engine.pool.run(batch * heads) { task, worker in
        let (b, h) = (task / heads, task % heads)
        let q = pq + b * sequence * 3 * d + h * width
        let out = py + b * sequence * d + h * width
        let scores = scratch[worker]
        for block in 0..<blocks.count {
          let r = blocks[block]
          let keys = causal ? r.upperBound : sequence
          engine.product(
            false, true, r.count, keys, width, alpha: scale, q + r.lowerBound * 3 * d, 3 * d,
            q + d, 3 * d, scores, keys)
          mmoe_softmax_rows(
            scores, pl + task * sequence + r.lowerBound, r.count, keys, keys, isCausal,
            r.lowerBound)
          engine.product(
            false, false, r.count, width, keys, scores, keys, q + 2 * d, 3 * d,
            out + r.lowerBound * d, d)
        }
      }
    }
    record("attention", y) { [self] dY in
      guard let dQKV = gradientTarget(qkv) else { return }
      precondition(dQKV.beta == 0, "attention: its projections have one use")
      let (pq, py, pl) = (qkv.pointer, y.pointer, logSumExp.pointer)
      let (pd, pg) = (dY.pointer, dQKV.pointer)
      let scratch = [
        engine.scratch(slot: 0, count: blocks.longest * sequence),
        engine.scratch(slot: 1, count: blocks.longest * sequence),
        engine.scratch(slot: 2, count: blocks.longest),
      ]
      engine.pool.run(batch * heads) { task, worker in
        let (b, h) = (task / heads, task % heads)
        let (start, startOut) = (b * sequence * 3 * d + h * width, b * sequence * d + h * width)
        let (q, k, v) = (pq + start, pq + start + d, pq + start + 2 * d)
        let (dQ, dK, dV) = (pg + start, pg + start + d, pg + start + 2 * d)
        let (probabilities, dScores, dots) = (
          scratch[0][worker], scratch[1][worker], scratch[2][worker]
        )
        // Causal blocks go from the last one, which reaches every key, so that its beta = 0 writes all.
        for (turn, block) in (0..<blocks.count).reversed().enumerated() {
          let r = blocks[block]
          let keys = causal ? r.upperBound : sequence
          let beta: Float = turn == 0 ? 0 : 1
          let rowQ = r.lowerBound * 3 * d
          let dO = pd + startOut + r.lowerBound * d
          engine.product(
            false, true, r.count, keys, width, alpha: scale, q + rowQ, 3 * d, k, 3 * d,
            probabilities, keys)
          mmoe_softmax_recompute(
            probabilities, pl + task * sequence + r.lowerBound, r.count, keys, keys, isCausal,
            r.lowerBound)
          mmoe_row_dots(dots, dO, py + startOut + r.lowerBound * d, r.count, width, d, d)
          engine.product(
            true, false, keys, width, r.count, probabilities, keys, dO, d, beta: beta, dV, 3 * d)
          engine.product(false, true, r.count, keys, width, dO, d, v, 3 * d, dScores, keys)
          mmoe_softmax_backward(dScores, probabilities, dots, r.count, keys, keys)
          engine.product(
            false, false, r.count, width, keys, alpha: scale, dScores, keys, k, 3 * d,
            dQ + rowQ, 3 * d)
          engine.product(
            true, false, keys, width, r.count, alpha: scale, dScores, keys, q + rowQ, 3 * d,
            beta: beta, dK, 3 * d)
        }
      }
    }
    return y
  }
}
