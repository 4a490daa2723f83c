import MMoEConfig
import MMoEModels
import MMoEParallel
import MMoEReport
import MMoETensor

/// One optimizer step: the micro-batches forward and backward, then the update, and what the metrics say of both.
final class TrainingStep {
  /// A value that must be finite is not; every rank finds it together.
  struct NotFinite: Error, @unchecked Sendable {
    /// In words, such as "loss".
    let what: String
    /// The forward pass that it came from, to be computed once more.
    let replay: (Tape) throws -> Void
  }

  private let task: any TrainingTask
  private let config: RunConfig
  private let engine: Engine
  private let team: RankTeam?
  private let optimizer: Updater
  private let trace: TraceRecorder?
  private let recorder: Recorder?
  private let totalSteps: Int
  /// Whether some parameters keep their values.
  private let hasFrozen: Bool
  private let costs: ModelCosts
  private var accumulation: Int { config.train.accumulation }
  /// The forward pass of the latest micro-batch, to be computed once more where something is not finite.
  private var replay: (Tape) throws -> Void = { _ in }
  /// Floating-point operations of the latest step, by what was routed.
  private(set) var flops = 0.0

  /// - Parameters:
  ///   - recorder: of the first rank; others have none.
  ///   - totalSteps: of the run, for the schedule.
  /// - Throws: `ModelError` for a model that cannot be counted.
  init(
    _ task: any TrainingTask, config: RunConfig, engine: Engine, team: RankTeam?, optimizer: Updater, hasFrozen: Bool,
    trace: TraceRecorder?, recorder: Recorder?, totalSteps: Int
  ) throws {
    (self.task, self.config, self.engine, self.team) = (task, config, engine, team)
    (self.optimizer, self.hasFrozen) = (optimizer, hasFrozen)
    (self.trace, self.recorder, self.totalSteps) = (trace, recorder, totalSteps)
    costs = try ModelCosts(config.model)
  }

  /// Takes a step.
  ///
  /// - Returns: the task's loss, mean over the micro-batches.
  /// - Throws: `NotFinite`; `TrainError` for a parameter that nothing reaches; what reading data throws.
  func callAsFunction(_ step: Int) throws -> Double {
    let (began, waited) = (monotonicSeconds(), task.waitSeconds)
    let allocated = BufferPool.shared.statistics.systemAllocations
    for parameter in task.model.parameters { parameter.clearGradient() }
    trace?.beginStep(hasDecided: team?.hasDecidedOverlap ?? true)
    let (kept, routing) = try lookAhead(step)
    team?.beginStep()
    let (loss, routings) = try computeGradients(step, kept, routing)
    team?.finishGradientSync()
    recorder?.record(routings)
    flops = task.flopsPerStep - 3 * costs.savedFLOPs(routings)
    try update(step)
    team?.endStep(passes: accumulation)
    trace?.endStep()
    // It holds the batch.
    replay = { _ in }
    recorder?.record("data_wait_share", (task.waitSeconds - waited) / (monotonicSeconds() - began))
    recorder?.record(
      "system_allocations", Double(BufferPool.shared.statistics.systemAllocations - allocated))
    return loss
  }

  /// Fetches all micro-batches where one of them depends on the others, and counts what their gates choose.
  ///
  /// - Returns: the micro-batches, none where they are fetched one by one; what their gates chose, where losses need it.
  private func lookAhead(_ step: Int) throws -> (kept: [MicroBatch], routing: StepRouting?) {
    guard accumulation > 1 else { return ([], nil) }
    let judges = config.model.judgesWholeBatches(unevenParts: task.targetsVary)
    guard judges || task.targetsVary else { return ([], nil) }
    let kept = try (0..<accumulation).map { _ in try task.nextMicroBatch(kept: true) }
    guard judges else { return (kept, nil) }
    let routing = StepRouting(microBatches: accumulation)
    for (micro, batch) in kept.enumerated() {
      let tape = Tape(engine, recording: false)
      tape.repeatsRecorded = true
      try batch.route(pass(tape, step, micro, routing))
    }
    routing.finishCounting()
    return (kept, routing)
  }

  private func pass(_ tape: Tape, _ step: Int, _ micro: Int, _ routing: StepRouting?) -> ForwardPass {
    ForwardPass(
      tape, training: true, seed: UInt64(config.seed), step: step, microBatch: (micro, accumulation),
      stepRouting: routing, coordinator: team)
  }

  /// Forward and backward through all micro-batches.
  ///
  /// - Returns: the task's loss, and what every route did in the whole step.
  private func computeGradients(
    _ step: Int, _ kept: [MicroBatch], _ routing: StepRouting?
  ) throws -> (loss: Double, routings: [RoutingReport]) {
    var loss = 0.0
    var divisors: [Double] = []
    var routings: [RoutingReport] = []
    for micro in 0..<accumulation {
      let batch = try kept.isEmpty ? task.nextMicroBatch(kept: false) : kept[micro]
      if micro == 0 { divisors = meanTargets(kept.isEmpty ? [batch] : kept) }
      let tape = Tape(engine, recording: true, skipsFrozen: hasFrozen && team == nil)
      let current = pass(tape, step, micro, routing)
      replay = { [self, divisors] in _ = try batch.forward(pass($0, step, micro, routing), divisors) }
      let metrics = try batch.forward(current, divisors)
      try tape.requireNoFailure()
      // Of all ranks: what is not finite on one is so on all, and they stop together.
      let auxiliary = current.routings.map { $0.auxiliary.sorted { $0.key < $1.key } }
      var values = [tape.objective] + metrics.map(\.value) + auxiliary.joined().map(\.value)
      if let team { values = team.mean(values) }
      for (metric, value) in zip(metrics, values.dropFirst()) {
        recorder?.record(metric.name, value)
        if metric.name == MetricName.trainLoss { loss += value / Double(accumulation) }
      }
      record(current.routings, auxiliary: auxiliary.map { $0.map(\.key) }, values.dropFirst(1 + metrics.count))
      if micro == 0 { routings = current.routings }
      for index in routings.indices where micro > 0 { routings[index].add(current.routings[index]) }
      guard values[0].isFinite else { throw NotFinite(what: "loss", replay: replay) }
      if micro == accumulation - 1 { team?.armGradientSync() }
      tape.backward()
    }
    return (loss, routings)
  }

  /// The mean number of targets of the step's parts, from this rank's micro-batches of the step (or one of them, where all
  /// have as many).
  private func meanTargets(_ batches: [MicroBatch]) -> [Double] {
    var sums = batches[0].targets
    for batch in batches.dropFirst() { sums = zip(sums, batch.targets).map { $0 + $1 } }
    if task.targetsVary, let team { sums = team.mean(sums) }
    return sums.map { $0 / Double(batches.count) }
  }

  /// Moves the parameters along their gradients.
  private func update(_ step: Int) throws {
    try UpdatePlan.requireReached(task.model.parameters, step: step)
    let norm = optimizer.gradientNorm(team)
    guard norm.isFinite else { throw NotFinite(what: "gradient norm", replay: replay) }
    let rate = config.schedule.learningRate(peak: config.optimizer.lr, step: step, total: totalSteps)
    optimizer.step(lr: rate, gradientNorm: norm)
    if optimizer.isSharded { team?.shareSlices(task.model.parameters.filter { !$0.isFrozen }) }
    task.model.afterStep()
    recorder?.record("lr", rate)
    recorder?.record("grad_norm", norm)
  }

  /// Records the auxiliary losses of one micro-batch; the recorder takes the mean over a step's.
  ///
  /// - Parameters:
  ///   - auxiliary: their names, route by route.
  ///   - values: in the same order.
  private func record(_ routings: [RoutingReport], auxiliary: [[String]], _ values: ArraySlice<Double>) {
    var rest = values
    for (routing, names) in zip(routings, auxiliary) {
      for name in names { recorder?.record("aux_\(name)", rest.removeFirst(), layer: routing.block) }
    }
  }
}
