import MMoEModels
import MMoETensor

/// Experts shared out among the ranks of a group: each holds a range of global numbers, and rows travel by non-blocking
/// all-to-all.
///
/// Start and wait are two operations and each other's adjoints: reversing the tape turns the wait for rows into the start
/// of their gradients' way back, and so the backward pass overlaps as the forward pass does.
package final class ExpertParallelDispatcher: Dispatcher {
  private let queue: ExchangeQueue
  private let engine: Engine
  private let wire: WireFormat

  /// - Parameter group: the ranks that share out the experts.
  package convenience init(_ group: Communicator, wire: WireFormat, engine: Engine) {
    let queue = ExchangeQueue(group, engine: engine)
    self.init(queue, wire: wire, engine: engine)
    engine.progress = { queue.poll() }
  }

  init(_ queue: ExchangeQueue, wire: WireFormat, engine: Engine) {
    self.queue = queue
    self.wire = wire
    self.engine = engine
  }

  package func localExperts(of count: Int) -> Range<Int> {
    let (rank, ranks) = (queue.group.rank, queue.group.size)
    // Not a trap: a network outside of the package may have any number.
    guard count % ranks == 0 else {
      ParallelProcess.stop("moe.experts is \(count), which \(ranks) ranks do not divide; choose a multiple of \(ranks)")
    }
    let share = count / ranks
    return rank * share..<(rank + 1) * share
  }

  package func beginDispatch(_ x: Tensor, _ plan: DispatchPlan, _ tape: Tape) -> any RouteFlight {
    let rows = tape.permuteRows(x, plan)
    let flight = ExpertParallelFlight(
      RouteLayout(plan, rank: queue.group.rank, ranks: queue.group.size), rows, queue, wire, engine)
    flight.begin(tape)
    return flight
  }
}

private final class ExpertParallelFlight: RouteFlight {
  private enum Move: String {
    case dispatch, combine
  }

  var plan: DispatchPlan { layout.plan }
  private let layout: RouteLayout
  private let queue: ExchangeQueue
  private let wire: WireFormat
  private let engine: Engine
  /// The token's side: rows in the plan's order, and what comes back for them.
  private var rows: Tensor?
  private var outputs: Tensor?
  /// The gradient of `rows`, filled part by part in the backward pass.
  private var rowGradients: Tensor?
  private let width: Int
  private var flying: [String: RowExchange] = [:]

  init(
    _ layout: RouteLayout, _ rows: Tensor, _ queue: ExchangeQueue, _ wire: WireFormat,
    _ engine: Engine
  ) {
    self.layout = layout
    self.rows = rows
    self.queue = queue
    self.wire = wire
    self.engine = engine
    width = rows.columns
  }

  /// Starts all parts.
  func begin(_ tape: Tape) {
    guard let rows else { preconditionFailure("begun twice") }
    tape.timed("dispatch start") {
      queue.startCounts(layout)
      for partIndex in 0..<plan.parts.count { start(.dispatch, partIndex, .toExperts, from: rows, into: nil, tape) }
    }
    // The tape keeps the rows for this adjoint; the flight need not.
    self.rows = nil
    tape.recordPassage("dispatch start") { [self] in
      guard let gradient = rowGradients else { preconditionFailure("no gradient was sent back") }
      for partIndex in 0..<plan.parts.count { arrive(.dispatch, partIndex).unpackForTokens() }
      rowGradients = nil
      tape.accumulate(gradient, into: rows)
    }
  }

  func endDispatch(_ partIndex: Int, _ tape: Tape) -> ExpertRows {
    let arrived = tape.timed("dispatch wait") { arrive(.dispatch, partIndex).unpackForExperts() }
    tape.record("dispatch wait", arrived.rows, definedRows: arrived.offsets.last) { [self] dY in
      let target = rowGradients ?? tokenSide()
      rowGradients = target
      start(.dispatch, partIndex, .toTokens, from: dY, into: target, tape)
    }
    return ExpertRows(rows: arrived.rows, offsets: arrived.offsets)
  }

  func beginCombine(_ expertOutputs: ExpertRows, _ partIndex: Int, _ tape: Tape) {
    let target = outputs ?? tokenSide()
    outputs = target
    tape.timed("combine start") {
      start(.combine, partIndex, .toTokens, from: expertOutputs.rows, into: target, tape)
    }
    tape.recordPassage("combine start") { [self] in
      tape.accumulate(arrive(.combine, partIndex).unpackForExperts().rows, into: expertOutputs.rows)
    }
  }

  func endCombine(_ tape: Tape) -> Tensor {
    guard let result = outputs else { preconditionFailure("no part was sent back") }
    outputs = nil
    tape.timed("combine wait") {
      for partIndex in 0..<plan.parts.count { arrive(.combine, partIndex).unpackForTokens() }
    }
    tape.record("combine wait", result, definedRows: plan.rows) { [self] dY in
      for partIndex in (0..<plan.parts.count).reversed() {
        start(.combine, partIndex, .toExperts, from: dY, into: nil, tape)
      }
    }
    return result
  }

  /// Room for all rows of the token's side, sized as the plan's worst case.
  private func tokenSide() -> Tensor { Tensor(uninitialized: [plan.mostRows, width]) }

  private func start(
    _ move: Move, _ partIndex: Int, _ direction: RowExchange.Direction, from source: Tensor,
    into target: Tensor?, _ tape: Tape
  ) {
    // Forward, dispatch goes to the experts and combine back; backward, the other way round.
    let isForward = (move == .dispatch) == (direction == .toExperts)
    queue.beforeStart()
    let exchange = RowExchange(
      move.rawValue + (isForward ? "" : " ′"), scope: tape.scope, direction, layout, partIndex: partIndex,
      wire: wire, from: source, into: target, engine: engine)
    flying["\(move) \(partIndex)"] = exchange
    queue.start(exchange)
  }

  /// Waits for a part and takes it out of the air.
  private func arrive(_ move: Move, _ partIndex: Int) -> RowExchange {
    guard let exchange = flying.removeValue(forKey: "\(move) \(partIndex)") else {
      preconditionFailure("\(move.rawValue) \(partIndex) awaited before it was started")
    }
    queue.wait(exchange)
    return exchange
  }
}
