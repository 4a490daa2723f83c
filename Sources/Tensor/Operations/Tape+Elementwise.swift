import CKernels

extension Engine {
  /// `y += x`.
  func addInPlace(_ y: Tensor, _ x: Tensor) {
    precondition(y.count == x.count, "add: \(y.shape) and \(x.shape)")
    let (py, px) = (y.pointer, x.pointer)
    forChunks(y.count) { r in mmoe_add(py + r.lowerBound, px + r.lowerBound, r.count) }
  }

  /// Runs `body` over chunks of 64 Ki elements.
  func forChunks(_ count: Int, _ body: (Range<Int>) -> Void) {
    let step = 1 << 16
    pool.run((count + step - 1) / step) { chunk, _ in
      body(chunk * step..<min((chunk + 1) * step, count))
    }
  }
}

extension Tape {
  /// Marks a leaf, such as an input under test, whose gradient is wanted; read it from `gradient` afterwards.
  public func watch(_ tensor: Tensor) { tensor.needsGradient = true }

  /// `y = a + b`, the same number of elements, shaped as `a`.
  package func add(_ a: Tensor, _ b: Tensor) -> Tensor {
    precondition(a.count == b.count, "add: \(a.shape) and \(b.shape)")
    let y = Tensor(uninitialized: a.shape)
    timed("add") {
      let (pa, pb, py) = (a.pointer, b.pointer, y.pointer)
      engine.forChunks(y.count) { r in
        mmoe_sum(py + r.lowerBound, pa + r.lowerBound, pb + r.lowerBound, r.count)
      }
    }
    let (slotA, slotB) = (a.slot, b.slot)
    record("add", y) { [self] dY in
      // The first input adopts the buffer, so the second one gets a copy.
      if slotB.isNeeded { accumulate(slotA.isNeeded ? copied(dY) : dY, into: slotB) }
      accumulate(dY, into: slotA)
    }
    return y
  }

  /// `y[r, :] = scale[r / group] · x[r, :]` with fixed scales: stochastic depth, one scale a sample.
  ///
  /// - Parameter scales: one factor for every `x.rows / scales.count` rows.
  package func scaleRows(_ x: Tensor, scales: [Float]) -> Tensor {
    let (rows, d) = (x.rows, x.columns)
    precondition(rows % scales.count == 0, "scaleRows: \(rows) rows, \(scales.count) scales")
    let group = rows / scales.count
    func apply(_ source: Tensor) -> Tensor {
      let result = Tensor(uninitialized: source.shape)
      let (ps, pr) = (source.pointer, result.pointer)
      engine.pool.run(scales.count) { s, _ in
        mmoe_scale(pr + s * group * d, ps + s * group * d, scales[s], group * d)
      }
      return result
    }
    let y = timed("scale rows") { apply(x) }
    let slot = x.slot
    record("scale rows", y) { [self] dY in accumulate(apply(dY), into: slot) }
    return y
  }

  /// The inner product with fixed factors as a loss term; what gradient checks differentiate.
  package func innerProduct(_ y: Tensor, with factors: Tensor, weight: Float = 1) {
    precondition(y.count == factors.count, "innerProduct: \(y.shape), \(factors.shape)")
    var total = 0.0
    for i in 0..<y.count { total += Double(y.pointer[i]) * Double(factors.pointer[i]) }
    recordLoss("inner product", value: total, weight: weight) { [self] in
      let gradient = Tensor(uninitialized: y.shape)
      mmoe_scale(gradient.pointer, factors.pointer, weight, y.count)
      accumulate(gradient, into: y)
    }
  }

  private func copied(_ tensor: Tensor) -> Tensor {
    let result = Tensor(uninitialized: tensor.shape)
    let (pr, pt) = (result.pointer, tensor.pointer)
    engine.forChunks(tensor.count) { r in
      (pr + r.lowerBound).update(from: pt + r.lowerBound, count: r.count)
    }
    return result
  }
}

extension Engine {
  /// Inner product of two tensors, summed in fixed chunks in double precision.
  package func dot(_ a: Tensor, _ b: Tensor) -> Double {
    let step = 1 << 12
    let chunks = (a.count + step - 1) / step
    let partial = Tensor(uninitialized: [max(chunks, 1)])
    let (pa, pb, pp) = (a.pointer, b.pointer, partial.pointer)
    pool.run(chunks) { chunk, _ in
      let start = chunk * step
      pp[chunk] = mmoe_dot(pa + start, pb + start, min(step, a.count - start))
    }
    var total = 0.0
    for chunk in 0..<chunks { total += Double(pp[chunk]) }
    return total
  }

  /// Mean of every column.
  package func columnMeans(_ x: Tensor) -> [Double] {
    let (rows, columns) = (x.rows, x.columns)
    let tiling = Tiling(rows, target: 512)
    let partial = Tensor(uninitialized: [tiling.count, columns])
    let (px, pp) = (x.pointer, partial.pointer)
    pool.run(tiling.count) { tile, _ in
      let r = tiling[tile]
      mmoe_column_sums(
        pp + tile * columns, px + r.lowerBound * columns, r.count, columns, columns, 0)
    }
    return (0..<columns).map { column in
      var total = 0.0
      for tile in 0..<tiling.count { total += Double(pp[tile * columns + column]) }
      return total / Double(max(rows, 1))
    }
  }

  /// Adds the same row to every row of `x`.
  package func addToRows(_ x: Tensor, _ row: [Float]) {
    let columns = x.columns
    let px = x.pointer
    row.withUnsafeBufferPointer { buffer in
      let bias = buffer.baseAddress!
      forRowTiles(x.rows, target: 512) { r, _, _ in
        mmoe_bias_residual(px + r.lowerBound * columns, bias, nil, r.count, columns)
      }
    }
  }
}
