import CKernels

extension Tape {
  /// Multi-head attention of one stream's rows over another's: `softmax(Q Kᵀ / √dₕ) V` for each head, without a mask
  /// (Vaswani et al., arXiv 1706.03762, section 3.2.3).
  ///
  /// - Parameters:
  ///   - q: `[rows, heads · w]`.
  ///   - keyValues: `[others, 2 · heads · w]`: in every row the heads of K, then of V.
  ///   - pairs: which rows of `q` read which of `keyValues`. Ranges of `q` are apart from each other; those of `keyValues` may
  ///     overlap between neighboring pairs.
  /// - Returns: `[rows, heads · w]`; zero where a row reads nothing.
  package func crossAttention(
    _ q: Tensor, keyValues: Tensor, pairs: [(queries: Range<Int>, keys: Range<Int>)], heads: Int
  ) -> Tensor {
    let d = q.columns
    let width = d / heads
    precondition(d % heads == 0 && keyValues.columns == 2 * d, "crossAttention: \(q.shape), \(keyValues.shape)")
    let scale = 1 / Float(width).squareRoot()
    let scores = pairs.reduce(0) { max($0, $1.queries.count * $1.keys.count) }
    let longest = pairs.reduce(0) { max($0, $1.queries.count) }
    let y = Tensor(uninitialized: q.shape)
    if pairs.reduce(0, { $0 + $1.queries.count }) < q.rows { engine.fillZero(y.pointer, count: y.count) }
    let logSumExp = Tensor(uninitialized: [heads * q.rows])
    let (queries, others) = timed("cross attention") {
      let (queries, others) = (engine.operand(q), engine.operand(keyValues))
      let (pq, pk, py, pl) = (queries.pointer, others.pointer, y.pointer, logSumExp.pointer)
      let scratch = engine.scratch(slot: 0, count: scores)
      let rounded = engine.scratch(slot: 1, count: scores)
      engine.pool.run(pairs.count * heads) { task, worker in
        let (own, h) = (pairs[task / heads], task % heads)
        let (rows, keys) = (own.queries.count, own.keys.count)
        let at = own.queries.lowerBound * d + h * width
        let k = pk + own.keys.lowerBound * 2 * d + h * width
        let scores = scratch[worker]
        engine.product(false, true, rows, keys, width, alpha: scale, pq + at, d, k, 2 * d, scores, keys)
        mmoe_softmax_rows(scores, pl + own.queries.lowerBound * heads + h * rows, rows, keys, keys, 0, 0)
        engine.product(
          false, false, rows, width, keys, engine.operand(scores, rows * keys, scratch: rounded[worker]), keys,
          k + d, 2 * d, py + at, d)
      }
      return (queries, others)
    }
    let (slot, otherSlot) = (q.slot, keyValues.slot)
    // Pairs that read the same keys add to the same gradients, so they share a task.
    var groups: [Range<Int>] = []
    for (index, pair) in pairs.enumerated() {
      if let last = groups.last, last.contains(where: { pairs[$0].keys.overlaps(pair.keys) }) {
        groups[groups.count - 1] = last.lowerBound..<index + 1
      } else {
        groups.append(index..<index + 1)
      }
    }
    record("cross attention", y) { [self] dY in
      // Rows that read nothing, or that nobody reads, have the gradient 0.
      let (dQ, dKV) = (Tensor.zeros(slot.shape), Tensor.zeros(otherSlot.shape))
      let dOutput = engine.operand(dY)
      let (pq, pk, pl, pd) = (queries.pointer, others.pointer, logSumExp.pointer, dOutput.pointer)
      let scratch = [
        engine.scratch(slot: 0, count: scores), engine.scratch(slot: 1, count: scores),
        engine.scratch(slot: 2, count: longest), engine.scratch(slot: 3, count: scores),
      ]
      engine.pool.run(groups.count * heads) { task, worker in
        let (group, h) = (groups[task / heads], task % heads)
        for index in group {
          let (own, beta): (_, Float) = (pairs[index], index == group.lowerBound ? 0 : 1)
          let (rows, keys) = (own.queries.count, own.keys.count)
          let at = own.queries.lowerBound * d + h * width
          let atKeys = own.keys.lowerBound * 2 * d + h * width
          let (k, dK) = (pk + atKeys, dKV.pointer + atKeys)
          let (probabilities, dScores, dots) = (scratch[0][worker], scratch[1][worker], scratch[2][worker])
          engine.product(false, true, rows, keys, width, alpha: scale, pq + at, d, k, 2 * d, probabilities, keys)
          mmoe_softmax_recompute(
            probabilities, pl + own.queries.lowerBound * heads + h * rows, rows, keys, keys, 0, 0)
          mmoe_row_dots(dots, dY.pointer + at, y.pointer + at, rows, width, d, d)
          engine.product(
            true, false, keys, width, rows,
            engine.operand(probabilities, rows * keys, scratch: scratch[3][worker]), keys, pd + at, d, beta: beta,
            dK + d, 2 * d)
          engine.product(false, true, rows, keys, width, pd + at, d, k + d, 2 * d, dScores, keys)
          mmoe_softmax_backward(dScores, probabilities, dots, rows, keys, keys)
          let dS = engine.operand(dScores, rows * keys, scratch: scratch[3][worker])
          engine.product(false, false, rows, width, keys, alpha: scale, dS, keys, k, 2 * d, dQ.pointer + at, d)
          engine.product(true, false, keys, width, rows, alpha: scale, dS, keys, pq + at, d, beta: beta, dK, 2 * d)
        }
      }
      accumulate(dQ, into: slot)
      accumulate(dKV, into: otherSlot)
    }
    return y
  }
}
