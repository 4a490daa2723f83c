import CKernels

extension Tape {
  /// Layer norm over the last axis with biased variance: `(x - mean) / sqrt(var + ε) · γ + β`.
  ///
  /// - Parameters: x: `[…, d]`; weight (γ) and bias (β): `[d]`.
  package func layerNorm(
    _ x: Tensor, weight: Parameter, bias: Parameter, epsilon: Float = 1e-5
  ) -> Tensor {
    let (weight, bias) = (read(weight), read(bias))
    let (rows, d) = (x.rows, x.columns)
    let statistics = Tensor(uninitialized: [2, rows])
    let compute = { [engine] in
      let y = Tensor(uninitialized: x.shape)
      let (px, py, ps) = (x.pointer, y.pointer, statistics.pointer)
      let (pg, pb) = (weight.value.pointer, bias.value.pointer)
      engine.forRowTiles(rows, target: 256) { r, _, _ in
        let at = r.lowerBound
        mmoe_layer_norm(
          py + at * d, px + at * d, pg, pb, ps + at, ps + rows + at, epsilon, r.count, d)
      }
      return y
    }
    let y = timed("layer norm") { compute() }
    y.rebuild = compute
    record("layer norm", y) { [self] dY in
      let (px, pd, ps, pg) = (x.pointer, dY.pointer, statistics.pointer, weight.value.pointer)
      let tiling = Tiling(rows, target: 256)
      let partial = Tensor(uninitialized: [2, tiling.count, d])
      let pp = partial.pointer
      // An input that wants no gradient gets one that nobody reads: the kernel stays single.
      let unread = x.needsGradient ? nil : Tensor(uninitialized: x.shape)
      let dX = gradientTarget(x) ?? (pointer: unread!.pointer, beta: Float(0))
      engine.pool.run(tiling.count) { tile, _ in
        let r = tiling[tile]
        let at = r.lowerBound
        mmoe_layer_norm_backward(
          dX.pointer + at * d, pd + at * d, px + at * d, pg, ps + at, ps + rows + at,
          pp + tile * d, pp + (tiling.count + tile) * d, dX.beta == 0 ? 0 : 1, r.count, d)
      }
      withExtendedLifetime(unread) {}
      if let dG = weight.gradientTarget() {
        mmoe_column_sums(dG.pointer, pp, tiling.count, d, d, dG.beta == 0 ? 0 : 1)
      }
      if let dB = bias.gradientTarget() {
        mmoe_column_sums(
          dB.pointer, pp + tiling.count * d, tiling.count, d, d, dB.beta == 0 ? 0 : 1)
      }
    }
    return y
  }

  /// RMS norm over the last axis: `x / √(mean(x²) + ε) · γ` (Zhang and Sennrich, arXiv 1910.07467).
  ///
  /// - Parameters: x: `[…, d]`; weight (γ): `[d]`.
  package func rmsNorm(_ x: Tensor, weight: Parameter, epsilon: Float) -> Tensor {
    let weight = read(weight)
    let (rows, d) = (x.rows, x.columns)
    let rstd = Tensor(uninitialized: [rows])
    let compute = { [engine] in
      let y = Tensor(uninitialized: x.shape)
      let (px, py, ps, pg) = (x.pointer, y.pointer, rstd.pointer, weight.value.pointer)
      engine.forRowTiles(rows, target: 256) { r, _, _ in
        let at = r.lowerBound
        mmoe_rms_norm(py + at * d, px + at * d, pg, ps + at, epsilon, r.count, d)
      }
      return y
    }
    let y = timed("rms norm") { compute() }
    y.rebuild = compute
    record("rms norm", y) { [self] dY in
      let (px, pd, ps, pg) = (x.pointer, dY.pointer, rstd.pointer, weight.value.pointer)
      let tiling = Tiling(rows, target: 256)
      let partial = Tensor(uninitialized: [tiling.count, d])
      let pp = partial.pointer
      let unread = x.needsGradient ? nil : Tensor(uninitialized: x.shape)
      let dX = gradientTarget(x) ?? (pointer: unread!.pointer, beta: Float(0))
      engine.pool.run(tiling.count) { tile, _ in
        let r = tiling[tile]
        let at = r.lowerBound
        mmoe_rms_norm_backward(
          dX.pointer + at * d, pd + at * d, px + at * d, pg, ps + at, pp + tile * d,
          dX.beta == 0 ? 0 : 1, r.count, d)
      }
      withExtendedLifetime(unread) {}
      if let dG = weight.gradientTarget() {
        mmoe_column_sums(dG.pointer, pp, tiling.count, d, d, dG.beta == 0 ? 0 : 1)
      }
    }
    return y
  }
}
