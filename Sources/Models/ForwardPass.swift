import MMoETensor

/// What one call of a model needs beside its input, and what it reports beside its output.
public final class ForwardPass {
  public let tape: Tape
  /// Training: capacity factor, gate noise and stochastic depth apply.
  public let isTraining: Bool
  /// Of the run; random decisions of this call are functions of (seed, step, layer, index).
  public let seed: UInt64
  public let step: Int
  /// Factor on auxiliary losses: 1 / accumulation steps.
  public let lossWeight: Float
  /// What every route did, in the order of the network; loads are those of all ranks.
  public internal(set) var routings: [RoutingReport] = []
  /// The modality of every token, set by models of several before their blocks run; nil = of one only.
  public var modalities: TokenModalities?
  /// The task of every token, a `FusionConfig.Task`; nil = the gates are told none.
  public var tasks: [Int32]?
  /// The step that this pass is one of several micro-batches of; nil = it is the whole batch.
  public let stepRouting: StepRouting?
  /// The ranks that compute this pass together; nil = this process alone.
  public let coordinator: (any PassCoordinator)?
  /// Who looks on; nil = nobody.
  public let observer: (any PassObserver)?

  public init(
    _ tape: Tape, training: Bool, seed: UInt64 = 0, step: Int = 0, lossWeight: Float = 1,
    stepRouting: StepRouting? = nil, coordinator: (any PassCoordinator)? = nil, observer: (any PassObserver)? = nil
  ) {
    self.tape = tape
    isTraining = training
    self.seed = seed
    self.step = step
    self.lossWeight = lossWeight
    self.stepRouting = stepRouting
    self.coordinator = coordinator
    self.observer = observer
  }

  /// Which equal part of the global batch this pass has.
  var shard: (index: Int, count: Int) { coordinator?.shard ?? (0, 1) }

  /// Equal parts of the step's batch, of which this pass has one: over them gradients are averaged.
  var parts: Int { shard.count * (stepRouting?.microBatches ?? 1) }

  func schedule(block: Int, route: Int) -> RouteSchedule {
    coordinator?.schedule(block: block, route: route) ?? .late
  }

  /// Adds vectors over all ranks; alone, at once.
  func sum(_ values: [Double], then: @escaping ([Double]) -> Void) {
    if let coordinator { coordinator.sum(values, then: then) } else { then(values) }
  }
}

/// One route's routing of one batch.
public struct RoutingReport: Sendable {
  public let block: Int
  public let route: Int
  /// Choices of each expert before drops.
  public let load: [Int]
  /// Share of choices dropped by the capacity.
  public let dropped: Double
  /// Mean entropy of the gate's distribution over experts, in nats.
  public let entropy: Double
  /// Unweighted auxiliary losses by name: balance, z_loss.
  public let auxiliary: [String: Float]
  /// Choices of each expert by the tokens of each modality, in the order of the model's modalities; empty where there is
  /// one only.
  public let modalityLoad: [[Int]]

  /// Largest load over the mean one.
  public var imbalance: Double {
    Double(load.max() ?? 0) * Double(load.count) / Double(max(load.reduce(0, +), 1))
  }
  /// Experts without a token.
  public var dead: Int { load.filter { $0 == 0 }.count }
}
