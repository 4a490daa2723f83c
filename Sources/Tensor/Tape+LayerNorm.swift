import CKernels

extension Tape {
  /// Layer norm over the last axis with biased variance: `(x - mean) / sqrt(var + ε) · γ + β`.
  ///
  /// - Parameters: x: `[…, d]`; weight (γ) and bias (β): `[d]`.
  public func layerNorm(
    _ x: Tensor, weight: Parameter, bias: Parameter, epsilon: Float = 1e-5
  ) -> Tensor {
    let (rows, d) = (x.rows, x.columns)
    let y = Tensor(uninitialised: x.shape)
    let statistics = Tensor(uninitialised: [2, rows])
    timed("layer norm") {
      let (px, py, ps) = (x.pointer, y.pointer, statistics.pointer)
      let (pg, pb) = (weight.value.pointer, bias.value.pointer)
      engine.forRowTiles(rows, target: 256) { r, _, _ in
        let at = r.lowerBound
        mmoe_layer_norm(
          py + at * d, px + at * d, pg, pb, ps + at, ps + rows + at, epsilon, r.count, d)
      }
    }
    record("layer norm", y) { [self] dY in
      let (px, pd, ps, pg) = (x.pointer, dY.pointer, statistics.pointer, weight.value.pointer)
      let tiling = Tiling(rows, target: 256)
      let partial = Tensor(uninitialised: [2, tiling.count, d])
      let pp = partial.pointer
      // The input always wants a gradient or feeds something that does not matter; a scratch target keeps the
      // kernel single.
      let dX =
        gradientTarget(x) ?? (pointer: Tensor(uninitialised: x.shape).pointer, beta: Float(0))
      engine.pool.run(tiling.count) { tile, _ in
        let r = tiling[tile]
        let at = r.lowerBound
        mmoe_layer_norm_backward(
          dX.pointer + at * d, pd + at * d, px + at * d, pg, ps + at, ps + rows + at,
          pp + tile * d, pp + (tiling.count + tile) * d, dX.beta == 0 ? 0 : 1, r.count, d)
      }
      let (dG, dB) = (weight.gradientTarget(), bias.gradientTarget())
      mmoe_column_sums(dG.pointer, pp, tiling.count, d, d, dG.beta == 0 ? 0 : 1)
      mmoe_column_sums(
        dB.pointer, pp + tiling.count * d, tiling.count, d, d, dB.beta == 0 ? 0 : 1)
    }
    return y
  }
}
