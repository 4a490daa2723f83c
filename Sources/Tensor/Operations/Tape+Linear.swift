import CKernels

extension Tape {
  /// `y = x · Wᵀ + b (+ residual)`.
  ///
  /// - Parameters:
  ///   - x: `[…, in]`; leading axes are rows.
  ///   - weight: `[out, in]`.
  ///   - bias: `[out]`.
  ///   - residual: `[…, out]`, added in the same pass over the output tile.
  ///   - dtype: what the products read; the engine's when nil.
  /// - Returns: `[…, out]`.
  package func linear(
    _ x: Tensor, weight: Parameter, bias: Parameter? = nil, residual: Tensor? = nil,
    dtype: DType? = nil, name: String = "linear"
  ) -> Tensor {
    let (weight, bias) = (read(weight), read(bias))
    let (out, inner, rows) = (weight.shape[0], weight.shape[1], x.rows)
    precondition(x.columns == inner, "linear \(weight.path): \(x.shape) · \(weight.shape)ᵀ")
    precondition(residual.map { $0.count == rows * out } ?? true, "linear: residual shape")
    if !isRecording && weight.adapter == nil && readsRowByRow(rows, dtype) {
      return timed(name) { linearFewRows(x, weight: weight, bias: bias, residual: residual) }
    }
    let y = Tensor(uninitialized: x.shape.dropLast() + [out])
    let adapter = AdapterPass(weight, rows: rows, self)
    let recalled = timed(name) {
      let (input, weights) = (engine.operand(x, dtype), weight.operand(engine, dtype))
      let (px, pw, py) = (input.pointer, weights.pointer, y.pointer)
      let (pb, pr) = (bias?.value.pointer, residual?.pointer)
      engine.forRowTiles(rows) { r, _, _ in
        engine.product(
          false, true, r.count, out, inner, px + r.lowerBound * inner, inner, pw, inner,
          py + r.lowerBound * out, out)
        mmoe_bias_residual(
          py + r.lowerBound * out, pb, pr.map { $0 + r.lowerBound * out }, r.count, out)
        adapter?.forward(0, r, px + r.lowerBound * inner, py + r.lowerBound * out)
      }
      return engine.recalled(input, of: x, dtype)
    }
    let (slot, residualSlot) = (x.slot, residual?.slot)
    record(name, y) { [self] dY in
      let (weights, dOutput) = (weight.operand(engine, dtype), engine.operand(dY, dtype))
      let input = recalled()
      let (px, pw, pd) = (input.pointer, weights.pointer, dOutput.pointer)
      let dX = gradientTarget(slot)
      let dW = weight.gradientTarget()
      let dB = bias?.gradientTarget()
      // One parallel region for both products: no barrier between them. The weight gradient's tiles are few
      // and long, so they come first.
      let weightTiles = Tiling(out, target: max(64, out / 4))
      let rowTiles = Tiling(rows, target: 192)
      let first = dW == nil && dB == nil ? weightTiles.count : 0
      engine.pool.run(weightTiles.count - first + (dX == nil ? 0 : rowTiles.count)) { index, _ in
        let tile = first + index
        if tile < weightTiles.count {
          let o = weightTiles[tile]
          if let dW {
            engine.product(
              true, false, o.count, inner, rows, pd + o.lowerBound, out, px, inner, beta: dW.beta,
              dW.pointer + o.lowerBound * inner, inner)
          }
          if let dB {
            mmoe_column_sums(
              dB.pointer + o.lowerBound, dY.pointer + o.lowerBound, rows, o.count, out,
              dB.beta == 0 ? 0 : 1)
          }
        } else if let dX {
          let r = rowTiles[tile - weightTiles.count]
          engine.product(
            false, false, r.count, inner, out, pd + r.lowerBound * out, out, pw, inner,
            beta: dX.beta, dX.pointer + r.lowerBound * inner, inner)
        }
      }
      if let adjoint = adapter.map(AdapterPass.Adjoint.init) {
        engine.forRowTiles(rows) { r, _, _ in
          adjoint.rows(0, r, pd + r.lowerBound * out, dX.map { $0.pointer + r.lowerBound * inner })
        }
        adjoint.weights([0, rows], px, pd)
      }
      if let residualSlot { accumulate(dY, into: residualSlot) }
    }
    return y
  }
}
