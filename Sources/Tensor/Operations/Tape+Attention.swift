import CKernels

extension Tape {
  /// Multi-head self-attention from fused projections, `softmax(Q Kᵀ / √dₕ) V` for each head, of sequences of one length.
  ///
  /// - Parameters:
  ///   - sequence: T.
  ///   - causal: whether position `t` sees only positions `≤ t`.
  /// - Returns: `[B · T, heads · w]`.
  package func attention(
    _ qkv: Tensor, sequence: Int, heads: Int, keyValueHeads: Int, causal: Bool
  ) -> Tensor {
    attention(
      qkv, layout: SequenceLayout(rows: qkv.rows, sequence: sequence, causal: causal), heads: heads,
      keyValueHeads: keyValueHeads)
  }

  /// Multi-head self-attention within the sequences of a layout.
  ///
  /// One task a (sequence, key-value head); scores exist for one block of queries at a time and are recomputed in
  /// the backward pass from the stored log-sum-exp, so that no `T × T` matrix is kept.
  ///
  /// - Parameters:
  ///   - qkv: `[rows, (heads + 2 keyValueHeads) · w]`: in every row the heads of Q, of K, of V, each `w` wide.
  ///   - layout: the sequences, and what their positions see.
  ///   - keyValueHeads: divides `heads`; query head `h` reads key-value head `h / (heads / keyValueHeads)`
  ///     (grouped-query attention, Ainslie et al., arXiv 2305.13245).
  /// - Returns: `[rows, heads · w]`.
  package func attention(
    _ qkv: Tensor, layout: SequenceLayout, heads: Int, keyValueHeads: Int
  ) -> Tensor {
    let form = HeadLayout(qkv, heads: heads, keyValueHeads: keyValueHeads)
    precondition(qkv.rows == layout.rows, "attention: \(qkv.shape), sequences of \(layout.rows) rows")
    let (width, d, ld) = (form.width, form.queryColumns, form.columns)
    let scale = 1 / Float(width).squareRoot()
    let spans = layout.spans
    let blocks = spans.map(AttentionBlock.blocks)
    let longest = blocks.reduce(0) { max($0, $1.map(\.rows.count).max() ?? 0) }
    let scores = blocks.reduce(0) { most, own in max(most, own.map { $0.rows.count * $0.keys.count }.max() ?? 0) }
    let y = Tensor(uninitialized: Array(qkv.shape.dropLast()) + [d])
    // Heads of a sequence one after the other.
    let logSumExp = Tensor(uninitialized: [heads * layout.rows])
    let input = timed("attention") {
      let input = engine.operand(qkv)
      let (pq, py, pl) = (input.pointer, y.pointer, logSumExp.pointer)
      let scratch = engine.scratch(slot: 0, count: scores)
      let rounded = engine.scratch(slot: 1, count: scores)
      engine.pool.run(spans.count * heads) { task, worker in
        let (b, h) = (task / heads, task % heads)
        let span = spans[b]
        let row = pq + span.start * ld
        let (q, k, v) = (row + h * width, row + form.key(h), row + form.value(h))
        let out = py + span.start * d + h * width
        let sums = pl + span.start * heads + h * span.length
        let scores = scratch[worker]
        for block in blocks[b] {
          let (r, keys, first) = (block.rows, block.keys.count, block.keys.lowerBound * ld)
          engine.product(
            false, true, r.count, keys, width, alpha: scale, q + r.lowerBound * ld, ld, k + first, ld,
            scores, keys)
          mmoe_softmax_rows(
            scores, sums + r.lowerBound, r.count, keys, keys, block.isCausal ? 1 : 0, r.lowerBound)
          engine.product(
            false, false, r.count, width, keys,
            engine.operand(scores, r.count * keys, scratch: rounded[worker]), keys, v + first, ld,
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
        engine.scratch(slot: 0, count: scores), engine.scratch(slot: 1, count: scores),
        engine.scratch(slot: 2, count: longest), engine.scratch(slot: 3, count: scores),
      ]
      // The heads of a group add to the same gradients of K and V, so they share a task.
      let group = heads / keyValueHeads
      engine.pool.run(spans.count * keyValueHeads) { task, worker in
        let (b, first) = (task / keyValueHeads, task % keyValueHeads * group)
        let span = spans[b]
        let (row, dRow) = (pq + span.start * ld, pg + span.start * ld)
        let (k, v) = (row + form.key(first), row + form.value(first))
        let (dK, dV) = (dRow + form.key(first), dRow + form.value(first))
        // Where the last block reaches every key, it writes all with beta = 0.
        let reachesAll = blocks[b].last.map { $0.keys == 0..<span.length } ?? true
        if !reachesAll {
          for t in 0..<span.length {
            (dK + t * ld).update(repeating: 0, count: width)
            (dV + t * ld).update(repeating: 0, count: width)
          }
        }
        let (probabilities, dScores, dots, rounded) = (
          scratch[0][worker], scratch[1][worker], scratch[2][worker], scratch[3][worker]
        )
        for h in first..<first + group {
          let (q, dQ) = (row + h * width, dRow + h * width)
          let startOut = span.start * d + h * width
          let sums = pl + span.start * heads + h * span.length
          for (turn, block) in blocks[b].reversed().enumerated() {
            let (r, keys, at) = (block.rows, block.keys.count, block.keys.lowerBound * ld)
            let isCausal: Int32 = block.isCausal ? 1 : 0
            let beta: Float = turn == 0 && h == first && reachesAll ? 0 : 1
            let rowQ = r.lowerBound * ld
            let dO = pd + (startOut + r.lowerBound * d)
            engine.product(
              false, true, r.count, keys, width, alpha: scale, q + rowQ, ld, k + at, ld,
              probabilities, keys)
            mmoe_softmax_recompute(
              probabilities, sums + r.lowerBound, r.count, keys, keys, isCausal, r.lowerBound)
            let atOut = startOut + r.lowerBound * d
            mmoe_row_dots(dots, dY.pointer + atOut, py + atOut, r.count, width, d, d)
            engine.product(
              true, false, keys, width, r.count,
              engine.operand(probabilities, r.count * keys, scratch: rounded), keys, dO, d,
              beta: beta, dV + at, ld)
            engine.product(false, true, r.count, keys, width, dO, d, v + at, ld, dScores, keys)
            mmoe_softmax_backward(dScores, probabilities, dots, r.count, keys, keys)
            let dS = engine.operand(dScores, r.count * keys, scratch: rounded)
            engine.product(
              false, false, r.count, width, keys, alpha: scale, dS, keys, k + at, ld, dQ + rowQ, ld)
            engine.product(
              true, false, keys, width, r.count, alpha: scale, dS, keys, q + rowQ, ld, beta: beta,
              dK + at, ld)
          }
        }
      }
    }
    return y
  }

  /// Attention of new positions over all earlier ones of one sequence; for generation, without a gradient.
  ///
  /// - Parameters:
  ///   - qkv: `[t, (heads + 2 keyValueHeads) · w]` of the next t positions; their K and V are added to the cache.
  ///   - cache: what earlier calls added; it must have room for t more.
  ///   - causal: whether the new positions see all up to themselves; else they see one another and nothing else.
  /// - Returns: `[t, heads · w]`.
  package func attention(
    _ qkv: Tensor, heads: Int, keyValueHeads: Int, cache: KeyValueCache, causal: Bool = true
  ) -> Tensor {
    precondition(!isRecording, "attention with a cache has no gradient")
    let form = HeadLayout(qkv, heads: heads, keyValueHeads: keyValueHeads)
    let (rows, width, d, ld) = (qkv.rows, form.width, form.queryColumns, form.columns)
    let start = cache.count
    cache.append(qkv, from: d)
    let first = causal ? 0 : start
    let keys = cache.count - first
    let scale = 1 / Float(width).squareRoot()
    let y = Tensor(uninitialized: [rows, d])
    timed("attention") {
      let (pq, py, pk, pv) = (qkv.pointer, y.pointer, cache.keys.pointer, cache.values.pointer)
      let kvColumns = cache.columns
      let scratch = engine.scratch(slot: 0, count: (rows + 1) * cache.capacity)
      engine.pool.run(heads) { h, worker in
        let scores = scratch[worker]
        let offset = first * kvColumns + form.group(h) * width
        engine.product(
          false, true, rows, keys, width, alpha: scale, pq + h * width, ld, pk + offset, kvColumns,
          scores, keys)
        mmoe_softmax_rows(scores, scores + rows * keys, rows, keys, keys, causal ? 1 : 0, start)
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

  package init(capacity: Int, columns: Int) {
    keys = Tensor(uninitialized: [capacity, columns])
    values = Tensor(uninitialized: [capacity, columns])
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
