import CKernels
import Foundation

extension Tape {
  /// Mean softmax cross-entropy of `x · Wᵀ` as a loss term, without ever holding all logits.
  ///
  /// Rows go in chunks. A chunk's logits live in one buffer, become the gradient in place, and are multiplied out into
  /// `dX` and `dW` at once, in the forward pass: nothing of the vocabulary's size is kept or computed twice. Within a
  /// chunk the vocabulary is cut into slices with a maximum and a sum of their own, which are joined afterwards.
  ///
  /// - Parameters:
  ///   - x: `[N, d]`.
  ///   - head: `[V, d]`, such as a tied token embedding.
  ///   - targets: N class numbers; negative ones are ignored.
  ///   - weight: of this term in the objective.
  /// - Returns: the mean loss over the rows that count, and the loss of every row (0 where ignored), in nats.
  public func projectedCrossEntropy(
    _ x: Tensor, head: Parameter, targets: [Int32], weight: Float = 1
  ) -> (mean: Double, losses: [Float]) {
    let (rows, classes) = (x.rows, head.shape[0])
    precondition(
      x.columns == head.shape[1] && rows == targets.count,
      "projectedCrossEntropy: \(x.shape), \(head.shape), \(targets.count) targets")
    let counted = targets.lazy.filter { $0 >= 0 }.count
    let scale = weight / Float(max(counted, 1))
    var losses = [Float](repeating: 0, count: rows)
    let dX = isRecording && x.needsGradient ? Tensor(uninitialised: x.shape) : nil
    timed("head + cross-entropy") {
      let chunks = Tiling(rows, target: min(max(chunkFloats / classes, 256), 4096))
      let form = HeadChunk(rows: chunks.longest, classes: classes)
      for index in 0..<chunks.count {
        let chunk = chunks[index]
        losses.withUnsafeMutableBufferPointer { losses in
          targets.withUnsafeBufferPointer { targets in
            let pl = losses.baseAddress! + chunk.lowerBound
            let pt = targets.baseAddress! + chunk.lowerBound
            headLosses(x, head, chunk, form, targets: pt, scale: scale, losses: pl)
          }
        }
        if isRecording { headGradients(x, head, chunk, form, dX) }
      }
    }
    let mean = losses.reduce(0.0) { $0 + Double($1) } / Double(max(counted, 1))
    recordLoss("cross-entropy", value: mean, weight: weight) { [self] in
      if let dX { accumulate(dX, into: x) }
    }
    return (mean, losses)
  }

  /// The losses of a chunk; its buffer then holds the gradient of the logits.
  private func headLosses(
    _ x: Tensor, _ head: Parameter, _ chunk: Range<Int>, _ form: HeadChunk,
    targets: UnsafePointer<Int32>, scale: Float, losses: UnsafeMutablePointer<Float>
  ) {
    let (d, classes, slices) = (x.columns, form.classes, form.slices)
    let (px, pw) = (x.pointer + chunk.lowerBound * d, head.value.pointer)
    let (logits, maxima, sums) = (form.logits.pointer, form.maxima.pointer, form.sums.pointer)
    let targetLogits = form.targetLogits.pointer
    let rowTiles = Tiling(chunk.count, target: form.rowTarget)
    let stride = form.rows
    engine.pool.run(rowTiles.count * slices.count) { task, _ in
      let (r, s) = (rowTiles[task % rowTiles.count], task / rowTiles.count)
      let slice = slices[s]
      let tile = logits + r.lowerBound * classes + slice.lowerBound
      engine.product(
        false, true, r.count, slice.count, d, px + r.lowerBound * d, d, pw + slice.lowerBound * d,
        d, tile, classes)
      mmoe_exp_slice(
        tile, classes, targets + r.lowerBound, slice.lowerBound, maxima + s * stride + r.lowerBound,
        sums + s * stride + r.lowerBound, targetLogits + r.lowerBound, r.count, slice.count)
    }
    let recording = isRecording
    engine.forRowTiles(chunk.count, target: 16) { r, _, _ in
      for row in r {
        guard targets[row] >= 0 else {
          losses[row] = 0
          if recording { (logits + row * classes).update(repeating: 0, count: classes) }
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
          let part = logits + row * classes + slices[s].lowerBound
          mmoe_scale(part, part, scale * exp(maxima[s * stride + row] - logSum), slices[s].count)
        }
        logits[row * classes + Int(targets[row])] -= scale
      }
    }
  }

  /// Multiplies a chunk's gradient out: its rows of `dX` and its share of `dW`, those that are wanted.
  private func headGradients(
    _ x: Tensor, _ head: Parameter, _ chunk: Range<Int>, _ form: HeadChunk, _ dX: Tensor?
  ) {
    let (d, classes, slices) = (x.columns, form.classes, form.slices)
    let (px, pw) = (x.pointer + chunk.lowerBound * d, head.value.pointer)
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
private let chunkFloats = 1 << 25

/// The buffers of one chunk of rows, used for all of them in turn.
private struct HeadChunk {
  let rows: Int
  let classes: Int
  let slices: Tiling
  let logits: Tensor
  /// `[slices, rows]`.
  let maxima: Tensor
  let sums: Tensor
  let targetLogits: Tensor

  init(rows: Int, classes: Int) {
    self.rows = rows
    self.classes = classes
    slices = Tiling(classes, target: 4096)
    logits = Tensor(uninitialised: [rows, classes])
    maxima = Tensor(uninitialised: [slices.count, rows])
    sums = Tensor(uninitialised: [slices.count, rows])
    targetLogits = Tensor(uninitialised: [rows])
  }

  /// Rows of a tile: a small vocabulary is one slice, so that rows must give the threads work; a large one has slices
  /// enough, and each packs its weights once.
  var rowTarget: Int { slices.count == 1 ? 192 : rows }
}
