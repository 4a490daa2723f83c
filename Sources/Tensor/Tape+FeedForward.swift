import CKernels

/// Rows of a tile: the hidden rows of one tile and the weights fit the second-level cache at d = 192, and
/// packing the weights for each tile stays cheap at d = 384.
private let feedForwardTile = 128

extension Tape {
  /// Two-layer perceptrons with GELU over groups of rows, all in one parallel region:
  /// `y = GELU(x · W1ᵀ + b1) · W2ᵀ + b2 (+ residual)`, group `e` with the e-th weights.
  ///
  /// The dense MLP is the case of one group; the experts are the case of one group an expert, their rows sorted
  /// by expert. A tile's hidden rows stay in the cache between the two products; backward recomputes the
  /// activation from the stored pre-activation, which costs less than writing and reading it.
  ///
  /// - Parameters:
  ///   - x: `[rows, d]`; only the rows below `offsets.last` count.
  ///   - offsets: group `e` has rows `offsets[e]..<offsets[e + 1]`.
  ///   - w1: `[E, hidden, d]` (or `[hidden, d]`); b1: `[E, hidden]`.
  ///   - w2: `[E, d, hidden]`; b2: `[E, d]`.
  ///   - residual: `[rows, d]`.
  /// - Returns: `[rows, d]`; rows of no group are undefined.
  public func feedForward(
    _ x: Tensor, offsets: [Int], w1: Parameter, b1: Parameter, w2: Parameter, b2: Parameter,
    residual: Tensor? = nil, name: String = "experts"
  ) -> Tensor {
    let (hidden, d) = (w1.shape[w1.shape.count - 2], w1.shape[w1.shape.count - 1])
    precondition(x.columns == d && offsets.last! <= x.rows, "\(name): \(x.shape), \(w1.shape)")
    let tiles = groupTiles(offsets)
    let y = Tensor(uninitialised: x.shape)
    let pre = isRecording ? Tensor(uninitialised: [x.rows, hidden]) : nil
    timed(name) {
      let (px, py, pr, pp) = (x.pointer, y.pointer, residual?.pointer, pre?.pointer)
      let (pw1, pb1) = (w1.value.pointer, b1.value.pointer)
      let (pw2, pb2) = (w2.value.pointer, b2.value.pointer)
      let scratch = engine.scratch(slot: 0, count: feedForwardTile * hidden)
      engine.pool.run(tiles.count) { tile, worker in
        let (e, r) = tiles[tile]
        let activated = scratch[worker]
        let rowPre = pp.map { $0 + r.lowerBound * hidden } ?? activated
        engine.product(
          false, true, r.count, hidden, d, px + r.lowerBound * d, d, pw1 + e * hidden * d, d,
          rowPre, hidden)
        mmoe_bias_gelu(rowPre, pb1 + e * hidden, activated, r.count, hidden)
        let out = py + r.lowerBound * d
        engine.product(
          false, true, r.count, d, hidden, activated, hidden, pw2 + e * d * hidden, hidden, out, d)
        mmoe_bias_residual(out, pb2 + e * d, pr.map { $0 + r.lowerBound * d }, r.count, d)
      }
    }
    record(name, y, definedRows: offsets.last) { [self] dY in
      guard let pre else { return }
      feedForwardAdjoint(
        dY, x: x, pre: pre, offsets: offsets, tiles: tiles, w1: w1, b1: b1, w2: w2, b2: b2)
      if let residual { accumulate(dY, into: residual) }
    }
    return y
  }

  /// Row tiles of all groups, none across a border.
  private func groupTiles(_ offsets: [Int]) -> [(group: Int, rows: Range<Int>)] {
    var tiles: [(group: Int, rows: Range<Int>)] = []
    for group in 0..<offsets.count - 1 where offsets[group + 1] > offsets[group] {
      let tiling = Tiling(offsets[group + 1] - offsets[group], target: feedForwardTile)
      for tile in 0..<tiling.count {
        let r = tiling[tile]
        tiles.append((group, offsets[group] + r.lowerBound..<offsets[group] + r.upperBound))
      }
    }
    return tiles
  }

  private func feedForwardAdjoint(
    _ dY: Tensor, x: Tensor, pre: Tensor, offsets: [Int],
    tiles: [(group: Int, rows: Range<Int>)], w1: Parameter, b1: Parameter, w2: Parameter,
    b2: Parameter
  ) {
    let (hidden, d) = (w1.shape[w1.shape.count - 2], w1.shape[w1.shape.count - 1])
    let groups = offsets.count - 1
    let (px, pp, pd) = (x.pointer, pre.pointer, dY.pointer)
    let (pw1, pw2) = (w1.value.pointer, w2.value.pointer)
    let activated = Tensor(uninitialised: [x.rows, hidden])
    // Column sums of each tile's pre-activation gradient, taken while it is in the cache; added up per group
    // in tile order below. Sized for the worst spread over groups, so that the buffer is the same at every step.
    let partial = Tensor(uninitialised: [x.rows * 4 / feedForwardTile + groups, hidden])
    let (pa, ps) = (activated.pointer, partial.pointer)
    let dX = gradientTarget(x)
    let scratch = engine.scratch(slot: 0, count: feedForwardTile * hidden)
    engine.pool.run(tiles.count) { tile, worker in
      let (e, r) = tiles[tile]
      let dActivated = scratch[worker]
      engine.product(
        false, false, r.count, hidden, d, pd + r.lowerBound * d, d, pw2 + e * d * hidden, hidden,
        dActivated, hidden)
      mmoe_gelu_backward(
        pp + r.lowerBound * hidden, dActivated, pa + r.lowerBound * hidden, ps + tile * hidden,
        r.count, hidden)
      if let dX {
        engine.product(
          false, false, r.count, d, hidden, pp + r.lowerBound * hidden, hidden,
          pw1 + e * hidden * d, d, beta: dX.beta, dX.pointer + r.lowerBound * d, d)
      }
    }
    let (dW1, dB1) = (w1.gradientTarget(), b1.gradientTarget())
    let (dW2, dB2) = (w2.gradientTarget(), b2.gradientTarget())
    // Few groups are cut into slices of the weights' rows, so that there is work for every thread.
    let slices1 = Tiling(hidden, target: groups >= 4 ? hidden : max(64, hidden / 4))
    let slices2 = Tiling(d, target: groups >= 4 ? d : max(64, d / 4))
    let perGroup = slices1.count + slices2.count
    var tileStarts = Array(repeating: 0, count: groups + 1)
    for tile in tiles { tileStarts[tile.group + 1] += 1 }
    for g in 0..<groups { tileStarts[g + 1] += tileStarts[g] }
    engine.pool.run(groups * perGroup) { [tileStarts] task, _ in
      let (e, slice) = (task / perGroup, task % perGroup)
      let (first, count) = (offsets[e], offsets[e + 1] - offsets[e])
      if slice < slices1.count {
        let o = slices1[slice]
        engine.product(
          true, false, o.count, d, count, pp + first * hidden + o.lowerBound, hidden,
          px + first * d, d, beta: dW1.beta,
          dW1.pointer + (e * hidden + o.lowerBound) * d, d)
        let own = tileStarts[e]..<tileStarts[e + 1]
        mmoe_column_sums(
          dB1.pointer + e * hidden + o.lowerBound,
          ps + own.lowerBound * hidden + o.lowerBound, own.count, o.count, hidden,
          dB1.beta == 0 ? 0 : 1)
      } else {
        let o = slices2[slice - slices1.count]
        engine.product(
          true, false, o.count, hidden, count, pd + first * d + o.lowerBound, d,
          pa + first * hidden, hidden, beta: dW2.beta,
          dW2.pointer + (e * d + o.lowerBound) * hidden, hidden)
        mmoe_column_sums(
          dB2.pointer + e * d + o.lowerBound, pd + first * d + o.lowerBound, count, o.count, d,
          dB2.beta == 0 ? 0 : 1)
      }
    }
  }
}
