import MMoETensor

/// A gate's call whose losses and report wait for the sums over all ranks.
protocol PendingRouting {
  /// What is to be added up.
  var vector: [Double] { get }
  /// Adds the auxiliary losses and the report of the call to the pass.
  ///
  /// - Parameter totals: `vector`, added up over all ranks.
  func finish(_ totals: [Double], _ pass: ForwardPass)
}

/// What one call of a model needs beside its input, and what it reports beside its output.
public final class ForwardPass {
  public let tape: Tape
  /// Training: capacity factor, gate noise and stochastic depth apply.
  public let isTraining: Bool
  /// Of the run; random decisions of this call are functions of (seed, step, layer, place in the step's whole batch).
  public let seed: UInt64
  /// Number of the optimizer step.
  public let step: Int
  /// Which of the step's micro-batches this pass computes.
  public let microBatch: (index: Int, count: Int)
  /// What every route did, in the order of the network; loads are those of all ranks.
  public internal(set) var routings: [RoutingReport] = []
  /// The gates' calls whose sums over the ranks are under way, in the order of the network.
  private var pending: [any PendingRouting] = []
  /// The step that this pass is one of several micro-batches of; nil = it is the whole batch.
  public let stepRouting: StepRouting?
  /// The ranks that compute this pass together; nil = this process alone.
  public let coordinator: (any PassCoordinator)?
  /// Who looks on; nil = nobody.
  public let observer: (any PassObserver)?

  public init(
    _ tape: Tape, training: Bool, seed: UInt64 = 0, step: Int = 0, microBatch: (index: Int, count: Int) = (0, 1),
    stepRouting: StepRouting? = nil, coordinator: (any PassCoordinator)? = nil, observer: (any PassObserver)? = nil
  ) {
    self.tape = tape
    isTraining = training
    self.seed = seed
    self.step = step
    self.microBatch = microBatch
    self.stepRouting = stepRouting
    self.coordinator = coordinator
    self.observer = observer
  }

  /// Factor on this pass's losses: the step's objective is the mean over its micro-batches.
  public var lossWeight: Float { 1 / Float(microBatch.count) }

  private var shard: (index: Int, count: Int) { coordinator?.shard ?? (0, 1) }

  /// Which part of the step's whole batch this pass has: micro-batches one after the other, the ranks' shares within each.
  public var part: (index: Int, count: Int) {
    (microBatch.index * shard.count + shard.index, microBatch.count * shard.count)
  }

  /// Parts of the batch that sums over routing cover, of which this pass has one: over them gradients are averaged.
  var summedParts: Int { shard.count * (stepRouting?.microBatches ?? 1) }

  func schedule(block: Int, route: Int) -> RouteSchedule {
    coordinator?.schedule(block: block, route: route) ?? .late
  }

  /// Starts adding the sums of a gate's call over all ranks; `finishRouting` does the rest.
  func begin(_ call: any PendingRouting) {
    coordinator?.startSum(call.vector)
    pending.append(call)
  }

  /// Waits for the sums of all calls since the last time, and adds their auxiliary losses and reports in the order of the
  /// calls. To be called when the last block of a stack has run.
  package func finishRouting() {
    let calls = pending
    pending = []
    let totals = coordinator?.finishSums() ?? calls.map(\.vector)
    for (call, sums) in zip(calls, totals) { call.finish(sums, self) }
  }
}
