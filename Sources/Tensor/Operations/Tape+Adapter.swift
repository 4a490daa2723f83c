extension Parameter {
  /// Adds the adapter's change to the weight and takes the adapter away: the same products, to rounding.
  package func mergeAdapter(_ engine: Engine) {
    guard let adapter else { return }
    let (rank, inner, out) = (adapter.rank, shape[shape.count - 1], shape[shape.count - 2])
    let (a, b, w) = (adapter.a.value.pointer, adapter.b.value.pointer, value.pointer)
    engine.pool.run(count / (out * inner)) { e, _ in
      engine.product(
        false, false, out, inner, rank, alpha: adapter.scale, b + e * out * rank, rank, a + e * rank * inner, inner,
        beta: 1, w + e * out * inner, inner)
    }
    self.adapter = nil
  }
}

/// One product with an adapter in one pass. Operations call it where they have a tile's rows in the cache: it costs
/// 2 · rank · (in + out) operations a row and never forms B · A.
struct AdapterPass {
  private let engine: Engine
  private let scale: Float
  private let taped: (a: TapedParameter, b: TapedParameter)
  private let a, b: Operand
  /// x · Aᵀ, and as the next product reads it.
  private let low: LowRows
  private let (rank, inner, out): (Int, Int, Int)

  /// `[rows, rank]` in float32, and rounded where products read bfloat16.
  private struct LowRows {
    let values: Tensor
    let operand: Operand

    init(_ rows: Int, _ rank: Int, _ engine: Engine) {
      values = Tensor(uninitialized: [rows, rank])
      operand = engine.dtype == .bf16 ? Operand(uninitialized: rows * rank, .bf16) : Operand(values)
    }
  }

  /// Nil where the weight has none.
  init?(_ weight: TapedParameter, rows: Int, _ tape: Tape) {
    guard let adapter = weight.adapter else { return nil }
    (engine, scale, rank) = (tape.engine, adapter.scale, adapter.rank)
    taped = (tape.read(adapter.a), tape.read(adapter.b))
    inner = weight.shape[weight.shape.count - 1]
    out = weight.shape[weight.shape.count - 2]
    (a, b) = (taped.a.operand(engine), taped.b.operand(engine))
    low = LowRows(rows, rank, engine)
  }

  /// `y += scale · (x · Aᵀ) · Bᵀ` on the calling thread.
  ///
  /// - Parameters:
  ///   - group: whose adapter; rows: of the whole input.
  ///   - x, y: the first of these rows.
  func forward(
    _ group: Int, _ rows: Range<Int>, _ x: Operand.Elements, _ y: UnsafeMutablePointer<Float>
  ) {
    let t = low.values.pointer + rows.lowerBound * rank
    engine.product(
      false, true, rows.count, rank, inner, x, inner, a.pointer + group * rank * inner, inner, t, rank)
    engine.product(
      false, true, rows.count, out, rank, alpha: scale, rounded(low, rows), rank,
      b.pointer + group * out * rank, rank, beta: 1, y, out)
  }

  private func rounded(_ low: LowRows, _ rows: Range<Int>) -> Operand.Elements {
    let elements = low.operand.pointer + rows.lowerBound * rank
    if case .bf16(let p) = elements {
      engine.round(low.values.pointer + rows.lowerBound * rank, to: p, count: rows.count * rank)
    }
    return elements
  }

  /// The way back of the same product.
  struct Adjoint {
    private let pass: AdapterPass
    /// scale · dY · B.
    private let low: LowRows

    init(_ pass: AdapterPass) {
      self.pass = pass
      low = LowRows(pass.low.values.rows, pass.rank, pass.engine)
    }

    /// `dX += scale · (dY · B) · A` on the calling thread; `weights` afterwards needs it for all rows.
    ///
    /// - Parameters: dY, dX: the first of these rows; no dX where no gradient of the input is wanted.
    func rows(
      _ group: Int, _ rows: Range<Int>, _ dY: Operand.Elements, _ dX: UnsafeMutablePointer<Float>?
    ) {
      let (rank, inner, out) = (pass.rank, pass.inner, pass.out)
      let u = low.values.pointer + rows.lowerBound * rank
      pass.engine.product(
        false, false, rows.count, rank, out, alpha: pass.scale, dY, out,
        pass.b.pointer + group * out * rank, rank, u, rank)
      let elements = pass.rounded(low, rows)
      guard let dX else { return }
      pass.engine.product(
        false, false, rows.count, inner, rank, elements, rank, pass.a.pointer + group * rank * inner, inner,
        beta: 1, dX, inner)
    }

    /// Gradients of A and B.
    ///
    /// - Parameters:
    ///   - offsets: group `e` has rows `offsets[e]..<offsets[e + 1]`.
    ///   - x, dY: all rows.
    func weights(_ offsets: [Int], _ x: Operand.Elements, _ dY: Operand.Elements) {
      let (rank, inner, out) = (pass.rank, pass.inner, pass.out)
      let (dA, dB) = (pass.taped.a.gradientTarget(), pass.taped.b.gradientTarget())
      let (t, u) = (pass.low.operand.pointer, low.operand.pointer)
      pass.engine.pool.run(2 * (offsets.count - 1)) { task, _ in
        let (e, first) = (task / 2, offsets[task / 2])
        let count = offsets[e + 1] - first
        if task % 2 == 0, let dA {
          pass.engine.product(
            true, false, rank, inner, count, u + first * rank, rank, x + first * inner, inner, beta: dA.beta,
            dA.pointer + e * rank * inner, inner)
        } else if task % 2 == 1, let dB {
          pass.engine.product(
            true, false, out, rank, count, alpha: pass.scale, dY + first * out, out, t + first * rank, rank,
            beta: dB.beta, dB.pointer + e * out * rank, rank)
        }
      }
    }
  }
}
