import CKernels
import Foundation

extension Tape {
  /// Mean softmax cross-entropy of `x · Wᵀ` as a loss term, without ever holding all logits.
  ///
  /// Rows go in chunks. A chunk's logits live in one buffer, become the gradient in place, and are multiplied out into
  /// `dX` and `dW` at once, in the forward pass: nothing of the vocabulary's size is kept or computed twice. Within a
  /// chunk the vocabulary is cut into slices with a maximum and a sum of their own, which are joined afterwards. With
  /// bfloat16 products the logits, their sums and the losses are float32, what is kept of a chunk and multiplied out is
  /// bfloat16.
  ///
  /// - Parameters:
  ///   - x: `[N, d]`.
  ///   - head: `[V, d]`, such as a tied token embedding.
  ///   - targets: N class numbers; negative ones are ignored.
  ///   - divisor: as in `crossEntropy`.
  ///   - weight: of this term in the objective.
  /// - Returns: the sum of the rows' losses over the divisor, and the loss of every row (0 where ignored), in nats.
  package func projectedCrossEntropy(
    _ x: Tensor, head: Parameter, targets: [Int32], over divisor: Double? = nil, weight: Float = 1
  ) -> (mean: Double, losses: [Float]) {
    let head = read(head)
    let (rows, d, classes) = (x.rows, x.columns, head.shape[0])
    precondition(
      d == head.shape[1] && rows == targets.count,
      "projectedCrossEntropy: \(x.shape), \(head.shape), \(targets.count) targets")
    let divisor = divisor ?? Double(targets.count { $0 >= 0 })
    let scale = divisor > 0 ? weight / Float(divisor) : 0
    var losses = [Float](repeating: 0, count: rows)
    let dX = isRecording && x.needsGradient ? Tensor(uninitialized: x.shape) : nil
    timed("head + cross-entropy") {
      let elements = engine.dtype == .bf16 ? 2 * chunkFloats : chunkFloats
      let chunks = Tiling(rows, target: min(max(elements / classes, 256), 4096))
      let form = HeadChunk(rows: chunks.longest, classes: classes, engine.dtype)
      let (input, weights) = (engine.operand(x), head.operand(engine))
      for index in 0..<chunks.count {
        let chunk = chunks[index]
        losses.withUnsafeMutableBufferPointer { losses in
          targets.withUnsafeBufferPointer { targets in
            let pl = losses.baseAddress! + chunk.lowerBound
            let pt = targets.baseAddress! + chunk.lowerBound
            headLosses(input, weights, chunk, form, d, targets: pt, scale: scale, losses: pl)
          }
        }
        if isRecording { headGradients(input, weights, chunk, form, d, dX, head) }
      }
    }
    let mean = divisor > 0 ? losses.reduce(0.0) { $0 + Double($1) } / divisor : 0
    let slot = x.slot
    recordLoss("cross-entropy", value: mean, weight: weight) { [self] in
      if let dX { accumulate(dX, into: slot) }
    }
    return (mean, losses)
  }

  /// The losses of a chunk; its buffer then holds the gradient of the logits.
  private func headLosses(
    _ x: Operand, _ weights: Operand, _ chunk: Range<Int>, _ form: HeadChunk, _ d: Int,
    targets: UnsafePointer<Int32>, scale: Float, losses: UnsafeMutablePointer<Float>
  ) {
    let (classes, slices) = (form.classes, form.slices)
    let (px, pw) = (x.pointer + chunk.lowerBound * d, weights.pointer)
    let (logits, maxima, sums) = (form.logits.pointer, form.maxima.pointer, form.sums.pointer)
    let targetLogits = form.targetLogits.pointer
    let rowTiles = Tiling(chunk.count, target: form.rowTarget)
    let stride = form.rows
    let scratch = engine.scratch(
      slot: 0, count: engine.dtype == .bf16 ? rowTiles.longest * slices.longest : 0)
    engine.pool.run(rowTiles.count * slices.count) { task, worker in
      let (r, s) = (rowTiles[task % rowTiles.count], task / rowTiles.count)
      let slice = slices[s]
      let (input, rows) = (px + r.lowerBound * d, pw + slice.lowerBound * d)
      let (pt, pl) = (targets + r.lowerBound, targetLogits + r.lowerBound)
      let at = s * stride + r.lowerBound
      switch logits + (r.lowerBound * classes + slice.lowerBound) {
      case .float32(let tile):
        engine.product(false, true, r.count, slice.count, d, input, d, rows, d, tile, classes)
        mmoe_exp_slice(
          tile, classes, pt, slice.lowerBound, maxima + at, sums + at, pl, r.count, slice.count)
      case .bf16(let tile):
        let exact = scratch[worker]
        engine.product(false, true, r.count, slice.count, d, input, d, rows, d, exact, slice.count)
        mmoe_exp_slice_bf16(
          tile, classes, exact, pt, slice.lowerBound, maxima + at, sums + at, pl, r.count,
          slice.count)
      }
    }
    let recording = isRecording
    engine.forRowTiles(chunk.count, target: 16) { r, _, _ in
      for row in r {
        guard targets[row] >= 0 else {
          losses[row] = 0
          if recording { (logits + row * classes).fillZero(classes) }
          continue
        }
        var top = -Float.infinity
        for s in 0..<slices.count { top = max(top, maxima[s * stride + row]) }
        var sum: Float = 0
        for s in 0..<slices.count { sum += sums[s * stride + row] * exp(maxima[s * stride + row] - top) }
        let logSum = top + log(sum)
        losses[row] = logSum - targetLogits[row]
        guard recording else { continue }
        for s in 0..<slices.count {
          let factor = scale * exp(maxima[s * stride + row] - logSum)
          (logits + (row * classes + slices[s].lowerBound)).scale(factor, slices[s].count)
        }
        (logits + (row * classes + Int(targets[row]))).subtractTarget(scale, logProbability: -losses[row])
      }
    }
  }

  /// Multiplies a chunk's gradient out: its rows of `dX` and its share of `dW`, those that are wanted.
  private func headGradients(
    _ x: Operand, _ weights: Operand, _ chunk: Range<Int>, _ form: HeadChunk, _ d: Int, _ dX: Tensor?,
    _ head: TapedParameter
  ) {
    let (classes, slices) = (form.classes, form.slices)
    let (px, pw) = (x.pointer + chunk.lowerBound * d, weights.pointer)
    let (pg, pd) = (form.logits.pointer, dX.map { $0.pointer + chunk.lowerBound * d })
    let dW = head.gradientTarget()
    let rowTiles = Tiling(chunk.count, target: 256)
    let first = pd == nil ? rowTiles.count : 0
    engine.pool.run(rowTiles.count - first + (dW == nil ? 0 : slices.count)) { index, _ in
      let task = first + index
      if let pd, task < rowTiles.count {
        let r = rowTiles[task]
        engine.product(
          false, false, r.count, d, classes, pg + r.lowerBound * classes, classes, pw, d,
          pd + r.lowerBound * d, d)
      } else if let dW {
        let slice = slices[task - rowTiles.count]
        engine.product(
          true, false, slice.count, d, chunk.count, pg + slice.lowerBound, classes, px, d,
          beta: dW.beta, dW.pointer + slice.lowerBound * d, d)
      }
    }
  }
}

/// Floats of a chunk's logits: large enough that reading the head's weights once a chunk costs little.
private let chunkFloats = 1 << 24

/// The buffers of one chunk of rows, used for all of them in turn.
private struct HeadChunk {
  let rows: Int
  let classes: Int
  let slices: Tiling
  let logits: Operand
  /// `[slices, rows]`.
  let maxima: Tensor
  let sums: Tensor
  let targetLogits: Tensor

  init(rows: Int, classes: Int, _ dtype: DType) {
    self.rows = rows
    self.classes = classes
    // With bfloat16 a tile of float32 logits passes through scratch that should stay in the cache.
    slices = Tiling(classes, target: dtype == .bf16 ? 1024 : 4096)
    rowTarget = dtype == .bf16 || slices.count == 1 ? 192 : rows
    logits = Operand(uninitialized: rows * classes, dtype)
    maxima = Tensor(uninitialized: [slices.count, rows])
    sums = Tensor(uninitialized: [slices.count, rows])
    targetLogits = Tensor(uninitialized: [rows])
  }

  /// Rows of a tile: a small vocabulary is one slice, so that rows must give the threads work; a large one has slices
  /// enough, and each packs its weights once.
  let rowTarget: Int
}

extension Operand.Elements {
  fileprivate func fillZero(_ count: Int) {
    switch self {
    case .float32(let p): p.update(repeating: 0, count: count)
    case .bf16(let p): p.update(repeating: 0, count: count)
    }
  }

  fileprivate func scale(_ factor: Float, _ count: Int) {
    switch self {
    case .float32(let p): mmoe_scale(p, p, factor, count)
    case .bf16(let p): mmoe_scale_bf16(p, factor, count)
    }
  }

  /// Makes `scale · p` of a target `scale · (p − 1)`.
  fileprivate func subtractTarget(_ scale: Float, logProbability: Float) {
    switch self {
    case .float32(let p): p[0] -= scale
    case .bf16(let p):
      // A probability above 0.998 is 1 in bfloat16: the difference is formed before it is rounded.
      var exact = scale * expm1(logProbability)
      mmoe_encode_bf16(p, &exact, 1)
    }
  }
}
