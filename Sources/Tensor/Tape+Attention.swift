import CKernels

extension Tape {
  /// Multi-head self-attention from fused projections, `softmax(Q Kᵀ / √dₕ) V` for each head.
  ///
  /// One task a (sequence, key-value head); scores exist for one block of queries at a time and are recomputed in
  /// the backward pass from the stored log-sum-exp, so that no `T × T` matrix is kept.
  ///
  /// - Parameters:
  ///   - qkv: `[B · T, (heads + 2 keyValueHeads) · w]`: in every row the heads of Q, of K, of V, each `w` wide.
  ///   - sequence: T.
  ///   - keyValueHeads: divides `heads`; query head `h` reads key-value head `h / (heads / keyValueHeads)`
  ///     (grouped-query attention, Ainslie et al., arXiv 2305.13245).
  ///   - causal: whether position `t` sees only positions `≤ t`.
  /// - Returns: `[B · T, heads · w]`.
  public func attention(
    _ qkv: Tensor, sequence: Int, heads: Int, keyValueHeads: Int, causal: Bool
  ) -> Tensor {
    let rows = qkv.rows
    let form = HeadLayout(qkv, heads: heads, keyValueHeads: keyValueHeads)
    precondition(rows % sequence == 0, "attention: \(qkv.shape), T=\(sequence)")
    let (batch, width, d, ld) = (rows / sequence, form.width, form.queryColumns, form.columns)
    let scale = 1 / Float(width).squareRoot()
    let blocks = Tiling(sequence, target: 128)
    let y = Tensor(uninitialised: Array(qkv.shape.dropLast()) + [d])
    let logSumExp = Tensor(uninitialised: [batch * heads, sequence])
    let isCausal: Int32 = causal ? 1 : 0
    let input = timed("attention") {
      let input = engine.operand(qkv)
      let (pq, py, pl) = (input.pointer, y.pointer, logSumExp.pointer)
      let scratch = engine.scratch(slot: 0, count: blocks.longest * sequence)
      let rounded = engine.scratch(slot: 1, count: blocks.longest * sequence)
      engine.pool.run(batch * heads) { task, worker in
        let (b, h) = (task / heads, task % heads)
        let row = pq + b * sequence * ld
        let (q, k, v) = (row + h * width, row + form.key(h), row + form.value(h))
        let out = py + b * sequence * d + h * width
        let scores = scratch[worker]
        for block in 0..<blocks.count {
          let r = blocks[block]
          let keys = causal ? r.upperBound : sequence
          engine.product(
            false, true, r.count, keys, width, alpha: scale, q + r.lowerBound * ld, ld, k, ld,
            scores, keys)
          mmoe_softmax_rows(
            scores, pl + task * sequence + r.lowerBound, r.count, keys, keys, isCausal,
            r.lowerBound)
          engine.product(
            false, false, r.count, width, keys,
            engine.operand(scores, r.count * keys, scratch: rounded[worker]), keys, v, ld,
            out + r.lowerBound * d, d)
        }
      }
      return input
    }
    let slot = qkv.slot
    record("attention", y) { [self] dY in
      guard let dQKV = gradientTarget(slot) else { return }
      precondition(dQKV.beta == 0, "attention: its projections have one use")
      let dOutput = engine.operand(dY)
      let (pq, py, pl) = (input.pointer, y.pointer, logSumExp.pointer)
      let (pd, pg) = (dOutput.pointer, dQKV.pointer)
      let scratch = [
        engine.scratch(slot: 0, count: blocks.longest * sequence),
        engine.scratch(slot: 1, count: blocks.longest * sequence),
        engine.scratch(slot: 2, count: blocks.longest),
        engine.scratch(slot: 3, count: blocks.longest * sequence),
      ]
      // The heads of a group add to the same gradients of K and V, so they share a task.
      let group = heads / keyValueHeads
      engine.pool.run(batch * keyValueHeads) { task, worker in
        let (b, first) = (task / keyValueHeads, task % keyValueHeads * group)
        let (row, dRow) = (pq + b * sequence * ld, pg + b * sequence * ld)
        let (k, v) = (row + form.key(first), row + form.value(first))
        let (dK, dV) = (dRow + form.key(first), dRow + form.value(first))
        let (probabilities, dScores, dots, rounded) = (
          scratch[0][worker], scratch[1][worker], scratch[2][worker], scratch[3][worker]
        )
        for h in first..<first + group {
          let (q, dQ) = (row + h * width, dRow + h * width)
          let startOut = b * sequence * d + h * width
          // Causal blocks go from the last one, which reaches every key, so that its beta = 0 writes all.
          for (turn, block) in (0..<blocks.count).reversed().enumerated() {
            let r = blocks[block]
            let keys = causal ? r.upperBound : sequence
            let beta: Float = turn == 0 && h == first ? 0 : 1
            let rowQ = r.lowerBound * ld
            let dO = pd + (startOut + r.lowerBound * d)
            engine.product(
              false, true, r.count, keys, width, alpha: scale, q + rowQ, ld, k, ld,
              probabilities, keys)
            mmoe_softmax_recompute(
              probabilities, pl + (b * heads + h) * sequence + r.lowerBound, r.count, keys, keys,
              isCausal, r.lowerBound)
            let atOut = startOut + r.lowerBound * d
            mmoe_row_dots(dots, dY.pointer + atOut, py + atOut, r.count, width, d, d)
            engine.product(
              true, false, keys, width, r.count,
              engine.operand(probabilities, r.count * keys, scratch: rounded), keys, dO, d,
              beta: beta, dV, ld)
            engine.product(false, true, r.count, keys, width, dO, d, v, ld, dScores, keys)
            mmoe_softmax_backward(dScores, probabilities, dots, r.count, keys, keys)
            let dS = engine.operand(dScores, r.count * keys, scratch: rounded)
            engine.product(
              false, false, r.count, width, keys, alpha: scale, dS, keys, k, ld, dQ + rowQ, ld)
            engine.product(
              true, false, keys, width, r.count, alpha: scale, dS, keys, q + rowQ, ld, beta: beta, dK,
              ld)
          }
        }
      }
    }
    return y
  }

  /// Causal attention of new positions over all earlier ones of one sequence; for generation, without a gradient.
  ///
  /// - Parameters:
  ///   - qkv: `[t, (heads + 2 keyValueHeads) · w]` of the next t positions; their K and V are added to the cache.
  ///   - cache: what earlier calls added; it must have room for t more.
  /// - Returns: `[t, heads · w]`.
  public func attention(
    _ qkv: Tensor, heads: Int, keyValueHeads: Int, cache: KeyValueCache
  ) -> Tensor {
    precondition(!isRecording, "attention with a cache has no gradient")
    let form = HeadLayout(qkv, heads: heads, keyValueHeads: keyValueHeads)
    let (rows, width, d, ld) = (qkv.rows, form.width, form.queryColumns, form.columns)
    let start = cache.count
    cache.append(qkv, from: d)
    let keys = cache.count
    let scale = 1 / Float(width).squareRoot()
    let y = Tensor(uninitialised: [rows, d])
    timed("attention") {
      let (pq, py, pk, pv) = (qkv.pointer, y.pointer, cache.keys.pointer, cache.values.pointer)
      let kvColumns = cache.columns
      let scratch = engine.scratch(slot: 0, count: (rows + 1) * cache.capacity)
      engine.pool.run(heads) { h, worker in
        let scores = scratch[worker]
        let offset = form.group(h) * width
        engine.product(
          false, true, rows, keys, width, alpha: scale, pq + h * width, ld, pk + offset, kvColumns,
          scores, keys)
        mmoe_softmax_rows(scores, scores + rows * keys, rows, keys, keys, 1, start)
        engine.product(
          false, false, rows, width, keys, scores, keys, pv + offset, kvColumns, py + h * width, d)
      }
    }
    return y
  }
}

/// Where heads stand in the rows of fused projections.
struct HeadLayout {
  let columns: Int
  let width: Int
  private let heads: Int
  private let keyValueHeads: Int

  init(_ qkv: Tensor, heads: Int, keyValueHeads: Int) {
    columns = qkv.columns
    width = columns / (heads + 2 * keyValueHeads)
    precondition(
      width * (heads + 2 * keyValueHeads) == columns && heads % keyValueHeads == 0,
      "attention: \(qkv.shape), \(heads) and \(keyValueHeads) heads")
    self.heads = heads
    self.keyValueHeads = keyValueHeads
  }

  var queryColumns: Int { heads * width }
  /// The key-value head that query head `h` reads.
  func group(_ h: Int) -> Int { h / (heads / keyValueHeads) }
  func key(_ h: Int) -> Int { (heads + group(h)) * width }
  func value(_ h: Int) -> Int { (heads + keyValueHeads + group(h)) * width }
}

/// Keys and values of the positions that one sequence has passed, for one attention layer.
public final class KeyValueCache {
  /// `[capacity, keyValueHeads · w]` each; `count` rows are filled.
  public let keys: Tensor
  public let values: Tensor
  public private(set) var count = 0

  public init(capacity: Int, columns: Int) {
    keys = Tensor(uninitialised: [capacity, columns])
    values = Tensor(uninitialised: [capacity, columns])
  }

  public var capacity: Int { keys.rows }
  var columns: Int { keys.columns }

  func append(_ qkv: Tensor, from column: Int) {
    precondition(count + qkv.rows <= capacity, "\(count + qkv.rows) positions, room for \(capacity)")
    for row in 0..<qkv.rows {
      let source = qkv.pointer + row * qkv.columns + column
      (keys.pointer + (count + row) * columns).update(from: source, count: columns)
      (values.pointer + (count + row) * columns).update(from: source + columns, count: columns)
    }
    count += qkv.rows
  }
}
