import CKernels

/// Up to so many rows a product is bound by reading its weights: generation, one token a step. Then the outputs
/// are spread over the threads, not the rows.
let fewRows = 8

extension Tape {
  /// Whether a product that is not recorded is taken row by row, from float32 weights.
  ///
  /// With bfloat16 products an evaluation must not depend on how many rows it has at a time, so few rows are bfloat16 as
  /// many are (`mmoe_bgemm` gives a row the same digits among any number), and the router, which stays float32, is computed
  /// row by row always: the libraries add up few float32 rows in another order than many. Generation has one row at a time
  /// in any case, and would convert all weights for it.
  ///
  /// - Parameter dtype: what the product reads; the engine's when nil.
  func readsRowByRow(_ rows: Int, _ dtype: DType? = nil) -> Bool {
    if repeatsRecorded { return false }
    guard engine.dtype == .bf16, !isGenerating else { return rows <= fewRows }
    return dtype == .float32
  }

  /// `y = x · Wᵀ + b (+ residual)` row by row.
  func linearFewRows(
    _ x: Tensor, weight: TapedParameter, bias: TapedParameter?, residual: Tensor?
  ) -> Tensor {
    let (out, inner, rows) = (weight.shape[0], weight.shape[1], x.rows)
    let y = Tensor(uninitialized: x.shape.dropLast() + [out])
    let tiles = Tiling(out, target: max(64, out / 8))
    let rowTiles = Tiling(rows, target: 64)
    let (px, pw, py) = (x.pointer, weight.value.pointer, y.pointer)
    let (pb, pr) = (bias?.value.pointer, residual?.pointer)
    engine.pool.run(rowTiles.count * tiles.count) { task, _ in
      let (r, o) = (rowTiles[task / tiles.count], tiles[task % tiles.count])
      for row in r {
        let at = row * out + o.lowerBound
        mmoe_gemv(py + at, pw + o.lowerBound * inner, px + row * inner, inner, o.count, inner)
        mmoe_bias_residual(py + at, pb.map { $0 + o.lowerBound }, pr.map { $0 + at }, 1, o.count)
      }
    }
    return y
  }

  /// The MLPs of `feedForward` for few rows in all: only the weights of groups that have rows are read.
  func feedForwardFewRows(
    _ x: Tensor, offsets: [Int], w1: TapedParameter, b1: TapedParameter?, w2: TapedParameter, b2: TapedParameter?,
    activation: Activation, residual: Tensor?
  ) -> Tensor {
    let (width, d) = (w1.shape[w1.shape.count - 2], w1.shape[w1.shape.count - 1])
    let hidden = w2.shape[w2.shape.count - 1]
    let rows = offsets.last!
    var groups: [Int] = []
    for group in 0..<offsets.count - 1 {
      groups += Array(repeating: group, count: offsets[group + 1] - offsets[group])
    }
    let y = Tensor(uninitialized: x.shape)
    let activated = Tensor(uninitialized: [rows, hidden])
    let pre = Tensor(uninitialized: [rows, width])
    let (px, py, pr) = (x.pointer, y.pointer, residual?.pointer)
    let (pa, pp) = (activated.pointer, pre.pointer)
    let (pw1, pb1) = (w1.value.pointer, b1?.value.pointer)
    let (pw2, pb2) = (w2.value.pointer, b2?.value.pointer)
    let inner = Tiling(width, target: max(64, width / 4))
    engine.pool.run(rows * inner.count) { [groups] task, _ in
      let (row, o) = (task / inner.count, inner[task % inner.count])
      let weights = groups[row] * width + o.lowerBound
      let at = pp + row * width + o.lowerBound
      mmoe_gemv(at, pw1 + weights * d, px + row * d, d, o.count, d)
      mmoe_bias_residual(at, pb1.map { $0 + weights }, nil, 1, o.count)
    }
    mmoe_activate(activation.kernel, pp, nil, pa, rows, hidden)
    let outer = Tiling(d, target: max(64, d / 4))
    engine.pool.run(rows * outer.count) { [groups] task, _ in
      let (row, o) = (task / outer.count, outer[task % outer.count])
      let weights = groups[row] * d + o.lowerBound
      let at = row * d + o.lowerBound
      mmoe_gemv(py + at, pw2 + weights * hidden, pa + row * hidden, hidden, o.count, hidden)
      mmoe_bias_residual(py + at, pb2.map { $0 + weights }, pr.map { $0 + at }, 1, o.count)
    }
    return y
  }
}
