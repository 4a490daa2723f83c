import CKernels
import Foundation

/// Operations on sequences of different lengths that lie side by side.
extension Tape {
  /// The rows of one tensor at the places that a plan names, and zeros elsewhere.
  ///
  /// - Parameters:
  ///   - places: the row of the result for every row of `x`, each once.
  ///   - count: rows of the result.
  package func placeRows(_ x: Tensor, at places: [Int32], of count: Int) -> Tensor {
    permuteRows(x, source: Tape.inverse(places, count: count), position: places, k: 1, capacity: count)
  }

  /// Some rows of a tensor, each at most once.
  package func selectRows(_ x: Tensor, _ rows: [Int32]) -> Tensor {
    permuteRows(x, source: rows, position: Tape.inverse(rows, count: x.rows), k: 1, capacity: rows.count)
  }

  /// Where each of `count` things stands in a list; −1 where it does not.
  private static func inverse(_ places: [Int32], count: Int) -> [Int32] {
    var inverse = [Int32](repeating: -1, count: count)
    for (index, place) in places.enumerated() { inverse[Int(place)] = Int32(index) }
    return inverse
  }

  /// One row a range of rows: its mean.
  ///
  /// - Parameter ranges: not empty, apart from each other.
  /// - Returns: `[ranges, d]`.
  package func meanRows(_ x: Tensor, of ranges: [Range<Int>]) -> Tensor {
    let d = x.columns
    let y = Tensor(uninitialized: [ranges.count, d])
    timed("mean") {
      let (px, py) = (x.pointer, y.pointer)
      engine.pool.run(ranges.count) { index, _ in
        let range = ranges[index]
        let out = py + index * d
        mmoe_column_sums(out, px + range.lowerBound * d, range.count, d, d, 0)
        mmoe_scale(out, out, 1 / Float(range.count), d)
      }
    }
    let slot = x.slot
    record("mean", y) { [self] dY in
      guard let dX = gradientTarget(slot) else { return }
      if dX.beta == 0 { engine.fillZero(dX.pointer, count: slot.shape.reduce(1, *)) }
      let pd = dY.pointer
      engine.pool.run(ranges.count) { index, _ in
        for row in ranges[index] {
          mmoe_axpy(dX.pointer + row * d, pd + index * d, 1 / Float(ranges[index].count), d)
        }
      }
    }
    return y
  }

  /// The logit of an expert that a token may not take.
  public static var foreignLogit: Float { MMOE_FOREIGN }

  /// Sets the logits of experts that a token may not take to `MMOE_FOREIGN`, in place: their probability is 0, they are
  /// never chosen, and no gradient reaches them.
  ///
  /// - Parameters:
  ///   - logits: `[T, E]`.
  ///   - kinds: `[T]`, a row of `allowed` for each token.
  ///   - allowed: `[kinds][E]`.
  package func confine(_ logits: Tensor, kinds: [Int32], allowed: [[Bool]]) {
    let count = logits.columns
    precondition(kinds.count == logits.rows, "confine: \(logits.shape), \(kinds.count) kinds")
    func apply(_ pointer: UnsafeMutablePointer<Float>, _ value: Float) {
      kinds.withUnsafeBufferPointer { kinds in
        for (t, kind) in kinds.enumerated() {
          for (e, isOwn) in allowed[Int(kind)].enumerated() where !isOwn { pointer[t * count + e] = value }
        }
      }
    }
    timed("confine") { apply(logits.pointer, MMOE_FOREIGN) }
    record("confine", [logits]) {
      if let gradient = logits.gradient { apply(gradient.pointer, 0) }
    }
  }

  /// Adds a row of a table to every row, in place.
  ///
  /// - Parameters:
  ///   - x: `[T, n]`; table: `[kinds, n]`.
  ///   - rows: `[T]`, which row of the table each gets.
  package func addTableRows(_ x: Tensor, _ table: Parameter, rows: [Int32]) {
    let table = read(table)
    let n = x.columns
    precondition(rows.count == x.rows && table.shape[1] == n, "addTableRows: \(x.shape), \(rows.count) rows")
    timed("table rows") {
      for (t, row) in rows.enumerated() { mmoe_axpy(x.pointer + t * n, table.value.pointer + Int(row) * n, 1, n) }
    }
    record("table rows", [x]) {
      guard let gradient = x.gradient, let target = table.gradientTarget() else { return }
      if target.beta == 0 { target.pointer.update(repeating: 0, count: table.count) }
      for (t, row) in rows.enumerated() { mmoe_axpy(target.pointer + Int(row) * n, gradient.pointer + t * n, 1, n) }
    }
  }

  /// The objective's part of learned uncertainties: with losses weighted by exp(−sᵢ), Σ sᵢ keeps the weights from vanishing
  /// (Kendall et al., arXiv 1705.07115, with s = log σ² and without its factors of ½).
  ///
  /// - Parameters:
  ///   - logVariances: `[n]`.
  ///   - weighted: of each that is trained, its index and its loss times its weight, exp(−sᵢ) included.
  ///   - weight: of this term in the objective.
  package func uncertaintyTerm(
    _ logVariances: Parameter, weighted: [(index: Int, loss: Double)], weight: Float = 1
  ) {
    let logVariances = read(logVariances)
    let s = logVariances.value.values
    recordLoss("uncertainty", value: weighted.reduce(0) { $0 + Double(s[$1.index]) }, weight: weight) {
      guard let target = logVariances.gradientTarget() else { return }
      if target.beta == 0 { target.pointer.update(repeating: 0, count: logVariances.count) }
      for (index, loss) in weighted { target.pointer[index] += weight * Float(1 - loss) }
    }
  }

  /// The symmetric contrastive loss of CLIP (Radford et al., arXiv 2103.00020): rows are normalized, similarities scaled by
  /// `exp(logScale)`, and every row of one side must find its row of the other side among all.
  ///
  /// - Parameters:
  ///   - a, b: `[B, d]`; row `i` of one belongs to row `i` of the other. Of no rows the loss and its gradients are 0.
  ///   - logScale: `[1]`; bounded by the optimizer (`Parameter.largest`), not here, so that it always has a gradient.
  ///   - weight: of this term in the objective.
  /// - Returns: the mean of both sides' cross-entropy, in nats, and the share of rows of both sides that found theirs.
  package func contrastiveLoss(
    _ a: Tensor, _ b: Tensor, logScale: Parameter, weight: Float = 1
  ) -> (loss: Double, accuracy: Double) {
    let logScale = read(logScale)
    precondition(a.shape == b.shape, "contrastiveLoss: \(a.shape) and \(b.shape)")
    let (n, d) = (a.rows, a.columns)
    let (u, v) = (normalizedRows(a), normalizedRows(b))
    let scale = exp(logScale.value.item)
    // Similarities, then their gradient; both sides' softmax.
    let cosines = Tensor(uninitialized: [n, n])
    let dCosines = Tensor(uninitialized: [n, n])
    var (loss, right) = (0.0, 0.0)
    timed("contrastive") {
      guard n > 0 else { return }
      let (pc, pg) = (cosines.pointer, dCosines.pointer)
      engine.product(false, true, n, n, d, u.rows.pointer, d, v.rows.pointer, d, pc, n)
      let side = Tensor(uninitialized: [n, n])
      let targets = (0..<n).map(Int32.init)
      var losses = [Float](repeating: 0, count: n)
      var ranks = [Int32](repeating: 0, count: n)
      for isTransposed in [false, true] {
        for i in 0..<n {
          for j in 0..<n { side.pointer[i * n + j] = scale * (isTransposed ? pc[j * n + i] : pc[i * n + j]) }
        }
        mmoe_cross_entropy(side.pointer, targets, &losses, &ranks, weight / Float(2 * n), 0, n, n)
        loss += losses.reduce(0.0) { $0 + Double($1) } / Double(2 * n)
        right += ranks.contains(.max) ? .nan : Double(ranks.count { $0 == 0 })
        for i in 0..<n {
          for j in 0..<n {
            if isTransposed {
              pg[j * n + i] += side.pointer[i * n + j]
            } else {
              pg[i * n + j] = side.pointer[i * n + j]
            }
          }
        }
      }
    }
    recordLoss("contrastive", value: loss, weight: weight) { [self] in
      let pg = dCosines.pointer
      if let dScale = logScale.gradientTarget() {
        let own = Float(engine.dot(dCosines, cosines)) * scale
        dScale.pointer[0] = (dScale.beta == 0 ? 0 : dScale.pointer[0]) + own
      }
      mmoe_scale(pg, pg, scale, n * n)
      for (isTransposed, x, own, other) in [(false, a, u, v), (true, b, v, u)] where x.needsGradient {
        let gradient = Tensor(uninitialized: [n, d])
        guard n > 0 else {
          accumulate(gradient, into: x)
          continue
        }
        engine.product(isTransposed, false, n, d, n, pg, n, other.rows.pointer, d, gradient.pointer, d)
        // Through y = x / |x|: dx = (dy − y (y · dy)) / |x|.
        for row in 0..<n {
          let (g, y) = (gradient.pointer + row * d, own.rows.pointer + row * d)
          mmoe_axpy(g, y, -dot(g, y, d), d)
          mmoe_scale(g, g, 1 / own.norms[row], d)
        }
        accumulate(gradient, into: x)
      }
    }
    return (loss, right / Double(max(2 * n, 1)))
  }

  private func normalizedRows(_ x: Tensor) -> (rows: Tensor, norms: [Float]) {
    let d = x.columns
    let rows = Tensor(uninitialized: x.shape)
    let norms = (0..<x.rows).map { row -> Float in
      let norm = max(dot(x.pointer + row * d, x.pointer + row * d, d).squareRoot(), 1e-12)
      mmoe_scale(rows.pointer + row * d, x.pointer + row * d, 1 / norm, d)
      return norm
    }
    return (rows, norms)
  }
}
