import MMoETensor

/// Moves token rows to the experts and their outputs back. The router decides, the experts compute; a dispatcher only
/// moves.
public protocol Dispatcher {
  /// The experts of a bank of `count` that live in this process.
  func localExperts(of count: Int) -> Range<Int>
  /// Starts moving `x`'s rows `[T, d]` to the experts of `plan`.
  func beginDispatch(_ x: Tensor, _ plan: DispatchPlan, _ tape: Tape) -> any RouteFlight
  /// The dispatcher of one bank of experts, named by its path; for dispatchers that treat banks alike, itself.
  func dispatcher(forBank bank: String) -> any Dispatcher
}

extension Dispatcher {
  public func dispatcher(forBank bank: String) -> any Dispatcher { self }
}

/// The rows of one route under way, in `plan.parts.count` parts. Each movement has a begin and an end half: what stands
/// between the halves hides the exchange.
public protocol RouteFlight: AnyObject {
  var plan: DispatchPlan { get }
  /// Waits for a part's rows of the experts that live here. Parts end in ascending order.
  func endDispatch(_ partIndex: Int, _ tape: Tape) -> ExpertRows
  /// Starts moving the experts' outputs of a part back.
  func beginCombine(_ outputs: ExpertRows, _ partIndex: Int, _ tape: Tape)
  /// Waits for all parts: the experts' outputs in the plan's order of rows.
  func endCombine(_ tape: Tape) -> Tensor
}

/// Rows sorted by expert: the `e`-th expert of this process has `offsets[e]..<offsets[e + 1]`.
public struct ExpertRows {
  public let rows: Tensor
  public let offsets: [Int]

  public init(rows: Tensor, offsets: [Int]) {
    self.rows = rows
    self.offsets = offsets
  }
}

/// All experts in this process: moving is a permutation.
public struct LocalDispatcher: Dispatcher {
  public init() {}

  public func localExperts(of count: Int) -> Range<Int> { 0..<count }

  public func beginDispatch(_ x: Tensor, _ plan: DispatchPlan, _ tape: Tape) -> any RouteFlight {
    if plan.parts.count != 1 {
      tape.fail(
        ModelError(
          field: "the dispatcher of a model on ranks", found: "that of one process", expected: "the ranks' own",
          remedy: "give the model RankTeam.dispatcher"))
    }
    return LocalFlight(plan, tape.permuteRows(x, plan))
  }
}

extension Tape {
  /// `x`'s rows in the plan's order. The buffer is sized for the most rows there can be, so that it comes from the pool at
  /// every step.
  public func permuteRows(_ x: Tensor, _ plan: DispatchPlan) -> Tensor {
    permuteRows(
      x, source: plan.source, position: plan.position, k: plan.k, capacity: plan.mostRows)
  }
}

private final class LocalFlight: RouteFlight {
  let plan: DispatchPlan
  private var rows: Tensor

  init(_ plan: DispatchPlan, _ rows: Tensor) {
    self.plan = plan
    self.rows = rows
  }

  func endDispatch(_ partIndex: Int, _ tape: Tape) -> ExpertRows {
    ExpertRows(rows: rows, offsets: plan.offsets[0])
  }

  func beginCombine(_ outputs: ExpertRows, _ partIndex: Int, _ tape: Tape) { rows = outputs.rows }

  func endCombine(_ tape: Tape) -> Tensor { rows }
}
