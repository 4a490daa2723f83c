import MMoETensor

/// Moves token rows to the experts and their outputs back, each in a begin and an end half: what stands between
/// the halves hides the exchange. The router decides, the experts compute; a dispatcher only moves.
public protocol Dispatcher {
  /// Starts moving `x`'s rows `[T, d]` to the experts of `plan`.
  func beginDispatch(_ x: Tensor, _ plan: DispatchPlan, _ tape: Tape) -> DispatchInFlight
  /// Waits for the rows of the experts that live here.
  func endDispatch(_ flight: DispatchInFlight, _ tape: Tape) -> ExpertRows
  /// Starts moving the experts' outputs back.
  func beginCombine(_ outputs: ExpertRows, _ tape: Tape) -> CombineInFlight
  /// Waits, weights each row by its gate and adds it to its token: `base + Σ_j gates[t, j] · row`.
  func endCombine(
    _ flight: CombineInFlight, gates: Tensor, base: Tensor?, _ tape: Tape
  ) -> Tensor
}

/// Rows on their way to the experts.
public struct DispatchInFlight {
  public let rows: Tensor
  public let plan: DispatchPlan
}

/// Rows sorted by expert: expert `e` of this rank has `offsets[e]..<offsets[e + 1]`.
public struct ExpertRows {
  public let rows: Tensor
  public let offsets: [Int]
  public let plan: DispatchPlan
}

/// Expert outputs on their way back.
public struct CombineInFlight {
  public let rows: Tensor
  public let plan: DispatchPlan
}

/// All experts in this process: moving is a permutation.
public struct LocalDispatcher: Dispatcher {
  public init() {}

  public func beginDispatch(
    _ x: Tensor, _ plan: DispatchPlan, _ tape: Tape
  ) -> DispatchInFlight {
    // Buffers are sized for the worst case, dropless, so that they come from the pool at every step.
    let rows = tape.permuteRows(
      x, source: plan.source, position: plan.position, k: plan.k, capacity: plan.tokens * plan.k)
    return DispatchInFlight(rows: rows, plan: plan)
  }

  public func endDispatch(_ flight: DispatchInFlight, _ tape: Tape) -> ExpertRows {
    ExpertRows(rows: flight.rows, offsets: flight.plan.offsets, plan: flight.plan)
  }

  public func beginCombine(_ outputs: ExpertRows, _ tape: Tape) -> CombineInFlight {
    CombineInFlight(rows: outputs.rows, plan: outputs.plan)
  }

  public func endCombine(
    _ flight: CombineInFlight, gates: Tensor, base: Tensor?, _ tape: Tape
  ) -> Tensor {
    tape.combineRows(flight.rows, gates: gates, position: flight.plan.position, base: base)
  }
}
