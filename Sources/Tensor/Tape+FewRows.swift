import CKernels

/// Up to so many rows a product is bound by reading its weights: generation, one token a step. Then the outputs
/// are spread over the threads, not the rows.
let fewRows = 8

/// With bfloat16 products these paths give the bits of the others, so that what an evaluation finds does not depend on how
/// many rows it has at a time. `mmoe_bgemm` sees to the sums; the operands are rounded here as there.
extension Tape {
  /// Whether a product that is not recorded takes the path of few rows.
  ///
  /// - Parameter dtype: what it reads; the engine's when nil.
  func readsRowByRow(_ rows: Int, _ dtype: DType? = nil) -> Bool {
    // A product that stays float32 among bfloat16 ones, the router's: the float32 libraries add up few rows in another order
    // than many, `mmoe_gemv` does not.
    rows <= fewRows || (engine.dtype == .bf16 && dtype == .float32)
  }

  /// `y = x · Wᵀ + b (+ residual)` for few rows.
  func linearFewRows(
    _ x: Tensor, weight: TapedParameter, bias: TapedParameter?, residual: Tensor?, dtype: DType?
  ) -> Tensor {
    let (out, inner, rows) = (weight.shape[0], weight.shape[1], x.rows)
    let y = Tensor(uninitialised: x.shape.dropLast() + [out])
    let input = engine.operand(x, dtype)
    let weights = RowWeights(weight.value.pointer, inner: inner, engine)
    let tiles = weights.tiles(out, float32: max(64, out / 8))
    let rowTiles = Tiling(rows, target: 64)
    let (py, pb, pr) = (y.pointer, bias?.value.pointer, residual?.pointer)
    let scratch = weights.scratch(tiles)
    engine.pool.run(rowTiles.count * tiles.count) { task, worker in
      let (r, o) = (rowTiles[task / tiles.count], tiles[task % tiles.count])
      let at = r.lowerBound * out + o.lowerBound
      weights.multiply(
        input.pointer + r.lowerBound * inner, rows: r.count, o, into: py + at, columns: out, scratch[worker])
      for row in 0..<r.count {
        let own = at + row * out
        mmoe_bias_residual(py + own, pb.map { $0 + o.lowerBound }, pr.map { $0 + own }, 1, o.count)
      }
    }
    return y
  }

  /// The perceptrons of `feedForward` for few rows in all: only the weights of groups that have rows are read.
  func feedForwardFewRows(
    _ x: Tensor, offsets: [Int], w1: TapedParameter, b1: TapedParameter?, w2: TapedParameter,
    b2: TapedParameter?,
    activation: Activation, residual: Tensor?
  ) -> Tensor {
    let (width, d) = (w1.shape[w1.shape.count - 2], w1.shape[w1.shape.count - 1])
    let hidden = w2.shape[w2.shape.count - 1]
    let rows = offsets.last!
    let groups = (0..<offsets.count - 1).filter { offsets[$0 + 1] > offsets[$0] }
    let y = Tensor(uninitialised: x.shape)
    let activated = Operand(uninitialised: rows * hidden, engine.dtype)
    let pre = Tensor(uninitialised: [rows, width])
    let input = engine.operand(x)
    let (px, py, pr) = (input.pointer, y.pointer, residual?.pointer)
    let (pa, pp) = (activated.pointer, pre.pointer)
    let (pb1, pb2) = (b1?.value.pointer, b2?.value.pointer)
    let first = RowWeights(w1.value.pointer, inner: d, engine)
    let inner = first.tiles(width, float32: max(64, width / 4))
    let scratch1 = first.scratch(inner)
    engine.pool.run(groups.count * inner.count) { [groups] task, worker in
      let (e, o) = (groups[task / inner.count], inner[task % inner.count])
      let r = offsets[e]..<offsets[e + 1]
      let weights = e * width + o.lowerBound..<e * width + o.upperBound
      first.multiply(
        px + r.lowerBound * d, rows: r.count, weights, into: pp + r.lowerBound * width + o.lowerBound, columns: width,
        scratch1[worker])
    }
    for e in groups {
      let (r, bias) = (offsets[e]..<offsets[e + 1], pb1.map { $0 + e * width })
      let row = pp + r.lowerBound * width
      switch pa + r.lowerBound * hidden {
      case .float32(let activated):
        mmoe_activate(activation.kernel, row, bias, activated, r.count, hidden)
      case .bf16(let activated):
        mmoe_activate_bf16(activation.kernel, row, bias, nil, activated, r.count, hidden)
      }
    }
    let second = RowWeights(w2.value.pointer, inner: hidden, engine)
    let outer = second.tiles(d, float32: max(64, d / 4))
    let scratch2 = second.scratch(outer)
    engine.pool.run(groups.count * outer.count) { [groups] task, worker in
      let (e, o) = (groups[task / outer.count], outer[task % outer.count])
      let r = offsets[e]..<offsets[e + 1]
      let weights = e * d + o.lowerBound..<e * d + o.upperBound
      second.multiply(
        pa + r.lowerBound * hidden, rows: r.count, weights, into: py + r.lowerBound * d + o.lowerBound, columns: d,
        scratch2[worker])
      for row in r {
        let at = row * d + o.lowerBound
        mmoe_bias_residual(py + at, pb2.map { $0 + e * d + o.lowerBound }, pr.map { $0 + at }, 1, o.count)
      }
    }
    return y
  }
}

/// Weights `[out, inner]` of which tiles of rows are multiplied with few rows of input.
private struct RowWeights {
  private let values: UnsafeMutablePointer<Float>
  private let inner: Int
  private let engine: Engine

  init(_ values: UnsafeMutablePointer<Float>, inner: Int, _ engine: Engine) {
    (self.values, self.inner, self.engine) = (values, inner, engine)
  }

  /// Tiles of the outputs: long ones where weights are read as they are, one that stays in the cache where they are rounded
  /// first.
  func tiles(_ out: Int, float32 target: Int) -> Tiling {
    Tiling(out, target: engine.dtype == .bf16 ? 64 : target)
  }

  /// Room for the rounded weights of a tile, one a worker.
  func scratch(_ tiles: Tiling) -> [UnsafeMutablePointer<Float>] {
    engine.scratch(slot: 0, count: engine.dtype == .bf16 ? (tiles.longest * inner + 1) / 2 : 0)
  }

  /// `y = x · Wᵀ` of some rows of the weights, on the calling thread.
  ///
  /// - Parameters:
  ///   - x: the first of `rows` rows, of the type that the product reads.
  ///   - y: where the first output stands; columns: distance of its rows.
  func multiply(
    _ x: Operand.Elements, rows: Int, _ outputs: Range<Int>, into y: UnsafeMutablePointer<Float>, columns: Int,
    _ scratch: UnsafeMutablePointer<Float>
  ) {
    let weights = values + outputs.lowerBound * inner
    switch x {
    case .float32(let x):
      for row in 0..<rows { mmoe_gemv(y + row * columns, weights, x + row * inner, inner, outputs.count, inner) }
    case .bf16:
      let rounded = engine.operand(weights, outputs.count * inner, scratch: scratch)
      engine.product(false, true, rows, outputs.count, inner, x, inner, rounded, inner, y, columns)
    }
  }
}
