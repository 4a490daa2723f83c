import MMoEModels
import MMoETensor

/// Brings experts to the rows instead of rows to the experts: dispatch is a permutation whose begin half also starts
/// reading the chosen experts, and whose end half awaits them. So a route's window hides the reading as it hides an
/// exchange, whatever the variant.
final class OffloadDispatcher: Dispatcher {
  /// Set once the model, whose parameters the cache fills, exists.
  var cache: ExpertCache?

  func localExperts(of count: Int) -> Range<Int> { 0..<count }

  func beginDispatch(_ x: Tensor, _ plan: DispatchPlan, _ tape: Tape) -> any RouteFlight {
    preconditionFailure("a bank's dispatcher dispatches")
  }

  func dispatcher(forBank bank: String) -> any Dispatcher { BankDispatcher(owner: self, bank: bank) }
}

private struct BankDispatcher: Dispatcher {
  let owner: OffloadDispatcher
  let bank: String

  func localExperts(of count: Int) -> Range<Int> { owner.localExperts(of: count) }

  func beginDispatch(_ x: Tensor, _ plan: DispatchPlan, _ tape: Tape) -> any RouteFlight {
    precondition(!tape.isRecording, "experts that stay in a file are not trained")
    guard let cache = owner.cache else { preconditionFailure("no cache") }
    let chosen = plan.kept.indices.filter { plan.kept[$0] > 0 }
    let request = cache.begin(bank, chosen)
    return OffloadFlight(LocalDispatcher().beginDispatch(x, plan, tape), cache, request)
  }
}

private final class OffloadFlight: RouteFlight {
  private let flight: any RouteFlight
  private let cache: ExpertCache
  private let request: ExpertCache.Request

  init(_ flight: any RouteFlight, _ cache: ExpertCache, _ request: ExpertCache.Request) {
    self.flight = flight
    self.cache = cache
    self.request = request
  }

  var plan: DispatchPlan { flight.plan }

  func endDispatch(_ partIndex: Int, _ tape: Tape) -> ExpertRows {
    tape.timed("expert loading", .wait) { cache.end(request) }
    return flight.endDispatch(partIndex, tape)
  }

  func beginCombine(_ outputs: ExpertRows, _ partIndex: Int, _ tape: Tape) {
    cache.release(request)
    flight.beginCombine(outputs, partIndex, tape)
  }

  func endCombine(_ tape: Tape) -> Tensor { flight.endCombine(tape) }
}
