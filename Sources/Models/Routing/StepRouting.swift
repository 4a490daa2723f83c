/// What the gates chose in all micro-batches of a step.
///
/// Balance is meant of the whole batch: balance within every micro-batch hinders experts from specializing (Qiu et al.,
/// arXiv 2501.11873). But the gradient of such a loss in the first micro-batch depends on choices in the last. So the
/// blocks run twice: forward only through all micro-batches, which counts, then as usual, with the sums that were found.
/// The losses and gradients are then those of one pass over the whole batch.
public final class StepRouting {
  private struct Call: Hashable {
    let block: Int
    let route: Int
  }

  public let microBatches: Int
  /// Whether passes add to the sums; afterwards they read them.
  public private(set) var isCounting = true
  private var sums: [Call: RoutingSums] = [:]

  public init(microBatches: Int) {
    self.microBatches = microBatches
  }

  /// To be called when the forward-only passes are over.
  public func finishCounting() { isCounting = false }

  /// Adds one micro-batch's sums over all ranks.
  func add(_ pass: RoutingSums, block: Int, route: Int) {
    let gate = Call(block: block, route: route)
    var total = pass
    if let earlier = sums[gate] { total.vector = zip(earlier.vector, pass.vector).map { $0 + $1 } }
    sums[gate] = total
  }

  /// The sums of the whole step.
  func sums(block: Int, route: Int) -> RoutingSums? { sums[Call(block: block, route: route)] }
}
