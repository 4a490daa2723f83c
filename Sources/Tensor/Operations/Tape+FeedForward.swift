import CKernels

/// Rows of a tile: the hidden rows of one tile and the weights fit the second-level cache at d = 192, and
/// packing the weights for each tile stays cheap at d = 384.
private let feedForwardTile = 128

/// What stands between the two products of a MLP.
public enum Activation: String, CaseIterable, Sendable, Codable {
  /// GELU in its tanh form (GPT-2's `gelu_new`).
  case gelu
  /// GELU with the normal distribution function (ViT).
  case geluErf = "gelu_erf"
  /// `x · σ(1.702 x)` (CLIP).
  case quickGelu = "quick_gelu"
  /// `silu(gate) · up` (Shazeer, arXiv 2002.05202; Llama).
  case swiglu

  /// Pre-activations for each hidden unit: two for SwiGLU.
  public var halves: Int { self == .swiglu ? 2 : 1 }

  var kernel: mmoe_activation {
    switch self {
    case .gelu: MMOE_GELU
    case .geluErf: MMOE_GELU_ERF
    case .quickGelu: MMOE_QUICK_GELU
    case .swiglu: MMOE_SWIGLU
    }
  }
}

extension Tape {
  /// Two-layer MLPs over groups of rows, all in one parallel region:
  /// `y = act(x · W1ᵀ + b1) · W2ᵀ + b2 (+ residual)`, group `e` with the e-th weights.
  ///
  /// The dense MLP is the case of one group; the experts are the case of one group an expert, their rows sorted
  /// by expert. A tile's hidden rows stay in the cache between the two products; backward recomputes the
  /// activation from the stored pre-activation, which costs less than writing and reading it.
  ///
  /// - Parameters:
  ///   - x: `[rows, d]`; only the rows below `offsets.last` count.
  ///   - offsets: group `e` has rows `offsets[e]..<offsets[e + 1]`.
  ///   - w1: `[E, h, d]` (or `[h, d]`), for SwiGLU `[E, 2 h, d]`, gate before up; b1: one row shorter.
  ///   - w2: `[E, d, h]`; b2: `[E, d]`.
  ///   - residual: `[rows, d]`.
  /// - Returns: `[rows, d]`; rows of no group are undefined.
  package func feedForward(
    _ x: Tensor, offsets: [Int], w1: Parameter, b1: Parameter?, w2: Parameter, b2: Parameter?,
    activation: Activation = .gelu, residual: Tensor? = nil, name: String = "experts"
  ) -> Tensor {
    let (w1, b1, w2, b2) = (read(w1), read(b1), read(w2), read(b2))
    let (width, d) = (w1.shape[w1.shape.count - 2], w1.shape[w1.shape.count - 1])
    let hidden = w2.shape[w2.shape.count - 1]
    precondition(x.columns == d && offsets.last! <= x.rows, "\(name): \(x.shape), \(w1.shape)")
    precondition(width == hidden * activation.halves, "\(name): \(w1.shape), \(w2.shape)")
    if !isRecording && readsRowByRow(offsets.last!) && w1.adapter == nil && w2.adapter == nil {
      return timed(name) {
        feedForwardFewRows(
          x, offsets: offsets, w1: w1, b1: b1, w2: w2, b2: b2, activation: activation,
          residual: residual)
      }
    }
    let tiles = groupTiles(offsets)
    let y = Tensor(uninitialized: x.shape)
    let adapters = (AdapterPass(w1, rows: x.rows, self), AdapterPass(w2, rows: x.rows, self))
    let pre = isRecording ? Operand(uninitialized: x.rows * width, engine.dtype) : nil
    let recalled = timed(name) {
      let (input, weights1, weights2) = (
        engine.operand(x), w1.operand(engine), w2.operand(engine)
      )
      let (px, py, pr, pp) = (input.pointer, y.pointer, residual?.pointer, pre?.pointer)
      let (pw1, pb1) = (weights1.pointer, b1?.value.pointer)
      let (pw2, pb2) = (weights2.pointer, b2?.value.pointer)
      let scratch = engine.scratch(slot: 0, count: feedForwardTile * hidden)
      let scratchPre = engine.scratch(slot: 1, count: feedForwardTile * width)
      engine.pool.run(tiles.count) { tile, worker in
        let (e, r) = tiles[tile]
        let activated = Operand.Elements.scratch(scratch[worker], engine.dtype)
        let kept = pp.map { $0 + r.lowerBound * width }
        let bias = pb1.map { $0 + e * width }
        // Float32 is kept where it is computed, bfloat16 is rounded from scratch rows.
        var rowPre = scratchPre[worker]
        if case .float32(let own) = kept { rowPre = own }
        engine.product(
          false, true, r.count, width, d, px + r.lowerBound * d, d, pw1 + e * width * d, d,
          rowPre, width)
        adapters.0?.forward(e, r, px + r.lowerBound * d, rowPre)
        switch activated {
        case .float32(let activated):
          mmoe_activate(activation.kernel, rowPre, bias, activated, r.count, hidden)
        case .bf16(let activated):
          mmoe_activate_bf16(activation.kernel, rowPre, bias, kept?.bf16, activated, r.count, hidden)
        }
        engine.progressWithinTile(worker)
        let out = py + r.lowerBound * d
        engine.product(
          false, true, r.count, d, hidden, activated, hidden, pw2 + e * d * hidden, hidden, out, d)
        adapters.1?.forward(e, r, activated, out)
        mmoe_bias_residual(
          out, pb2.map { $0 + e * d }, pr.map { $0 + r.lowerBound * d }, r.count, d)
      }
      return engine.recalled(input, of: x)
    }
    let (slot, residualSlot) = (x.slot, residual?.slot)
    record(name, y, definedRows: offsets.last) { [self] dY in
      guard let pre else { return }
      feedForwardAdjoint(
        dY, x: recalled, slot: slot, pre: pre, offsets: offsets, tiles: tiles, w1: w1, b1: b1, w2: w2,
        b2: b2, adapters: adapters, activation: activation)
      if let residualSlot { accumulate(dY, into: residualSlot) }
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

  /// The second layer's weights get their gradient before the first's, between barriers of their own, so that activated
  /// rows and gradients of both layers and the rebuilt input never exist together: here, in the last block's experts,
  /// memory is highest.
  private func feedForwardAdjoint(
    _ dY: Tensor, x: () -> Operand, slot: GradientSlot, pre: Operand, offsets: [Int],
    tiles: [(group: Int, rows: Range<Int>)], w1: TapedParameter, b1: TapedParameter?,
    w2: TapedParameter, b2: TapedParameter?, adapters: (AdapterPass?, AdapterPass?), activation: Activation
  ) {
    let (width, d) = (w1.shape[w1.shape.count - 2], w1.shape[w1.shape.count - 1])
    let hidden = w2.shape[w2.shape.count - 1]
    let groups = offsets.count - 1
    // Column sums of each tile's pre-activation gradient, taken while it is in the cache; added up per group
    // in tile order below. Sized for the worst spread over groups, so that the buffer is the same at every step.
    let partial =
      b1 == nil ? nil : Tensor(uninitialized: [dY.rows * 4 / feedForwardTile + groups, width])
    let pp = pre.pointer
    let adjoints = (adapters.0.map(AdapterPass.Adjoint.init), adapters.1.map(AdapterPass.Adjoint.init))
    do {
      let dOutput = engine.operand(dY)
      let pd = dOutput.pointer
      let activated = hiddenGradients(
        dOutput, rows: dY.rows, slot: slot, pre: pre, partial: partial, tiles: tiles, w1: w1, w2: w2,
        adjoints: adjoints, activation: activation)
      let pa = activated.pointer
      let (dW2, dB2) = (w2.gradientTarget(), b2?.gradientTarget())
      forWeightSlices(groups, rows: d, needed: dW2 != nil || dB2 != nil) { e, o in
        let (first, count) = (offsets[e], offsets[e + 1] - offsets[e])
        if let dW2 {
          engine.product(
            true, false, o.count, hidden, count, pd + first * d + o.lowerBound, d,
            pa + first * hidden, hidden, beta: dW2.beta,
            dW2.pointer + (e * d + o.lowerBound) * hidden, hidden)
        }
        if let dB2 {
          mmoe_column_sums(
            dB2.pointer + e * d + o.lowerBound, dY.pointer + first * d + o.lowerBound, count, o.count, d,
            dB2.beta == 0 ? 0 : 1)
        }
      }
      adjoints.1?.weights(offsets, pa, pd)
    }
    let (dW1, dB1) = (w1.gradientTarget(), b1?.gradientTarget())
    guard dW1 != nil || dB1 != nil || adjoints.0 != nil else { return }
    let input = x()
    adjoints.0?.weights(offsets, input.pointer, pp)
    let (px, ps) = (input.pointer, partial?.pointer)
    var tileStarts = Array(repeating: 0, count: groups + 1)
    for tile in tiles { tileStarts[tile.group + 1] += 1 }
    for g in 0..<groups { tileStarts[g + 1] += tileStarts[g] }
    forWeightSlices(groups, rows: width, needed: dW1 != nil || dB1 != nil) { [tileStarts] e, o in
      let (first, count) = (offsets[e], offsets[e + 1] - offsets[e])
      if let dW1 {
        engine.product(
          true, false, o.count, d, count, pp + first * width + o.lowerBound, width,
          px + first * d, d, beta: dW1.beta,
          dW1.pointer + (e * width + o.lowerBound) * d, d)
      }
      if let dB1, let ps {
        let own = tileStarts[e]..<tileStarts[e + 1]
        mmoe_column_sums(
          dB1.pointer + e * width + o.lowerBound,
          ps + own.lowerBound * width + o.lowerBound, own.count, o.count, width,
          dB1.beta == 0 ? 0 : 1)
      }
    }
  }

  /// Turns `pre` into its gradient, writes that of the input, and returns the activated rows.
  private func hiddenGradients(
    _ dOutput: Operand, rows: Int, slot: GradientSlot, pre: Operand, partial: Tensor?,
    tiles: [(group: Int, rows: Range<Int>)], w1: TapedParameter, w2: TapedParameter,
    adjoints: (AdapterPass.Adjoint?, AdapterPass.Adjoint?), activation: Activation
  ) -> Operand {
    let (width, d) = (w1.shape[w1.shape.count - 2], w1.shape[w1.shape.count - 1])
    let hidden = w2.shape[w2.shape.count - 1]
    let (weights1, weights2) = (w1.operand(engine), w2.operand(engine))
    let activated = Operand(uninitialized: rows * hidden, engine.dtype)
    let (pp, pd, pa, ps) = (pre.pointer, dOutput.pointer, activated.pointer, partial?.pointer)
    let (pw1, pw2) = (weights1.pointer, weights2.pointer)
    let dX = gradientTarget(slot)
    let scratch = engine.scratch(slot: 0, count: feedForwardTile * hidden)
    engine.pool.run(tiles.count) { tile, worker in
      let (e, r) = tiles[tile]
      let dActivated = scratch[worker]
      engine.product(
        false, false, r.count, hidden, d, pd + r.lowerBound * d, d, pw2 + e * d * hidden, hidden,
        dActivated, hidden)
      adjoints.1?.rows(e, r, pd + r.lowerBound * d, dActivated)
      let sums = ps.map { $0 + tile * width }
      switch (pp + r.lowerBound * width, pa + r.lowerBound * hidden) {
      case (.float32(let pre), .float32(let activated)):
        mmoe_activate_backward(activation.kernel, pre, dActivated, activated, sums, r.count, hidden)
      case (let pre, let activated):
        mmoe_activate_backward_bf16(
          activation.kernel, pre.bf16, dActivated, activated.bf16, sums, r.count, hidden)
      }
      engine.progressWithinTile(worker)
      if let dX {
        engine.product(
          false, false, r.count, d, width, pp + r.lowerBound * width, width,
          pw1 + e * width * d, d, beta: dX.beta, dX.pointer + r.lowerBound * d, d)
      }
      adjoints.0?.rows(e, r, pp + r.lowerBound * width, dX.map { $0.pointer + r.lowerBound * d })
    }
    return activated
  }

  /// Runs `body` over the rows of every group's weights; few groups are cut into slices, so that there is work for every
  /// thread.
  private func forWeightSlices(
    _ groups: Int, rows: Int, needed: Bool, _ body: (_ group: Int, _ rows: Range<Int>) -> Void
  ) {
    guard needed else { return }
    let slices = Tiling(rows, target: groups >= 4 ? rows : max(64, rows / 4))
    engine.pool.run(groups * slices.count) { task, _ in body(task / slices.count, slices[task % slices.count]) }
  }
}
