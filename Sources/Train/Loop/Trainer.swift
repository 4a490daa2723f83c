import Foundation
import MMoEConfig
import MMoEFiles
import MMoEHDF5
import MMoEModels
import MMoEParallel
import MMoEReport
import MMoETensor

/// The training loop: batch → forward → backward → clip → step → record → evaluate → save.
///
/// Everything a step computes is a function of the configuration and the step's number, so a resumed run goes on with
/// the same bits as an uninterrupted one.
public final class Trainer {
  private let task: any TrainingTask
  private let preset: String
  private let origin: RunOrigin
  private let config: RunConfig
  private let engine: Engine
  private let team: RankTeam?
  /// Folder and records of the first rank; others have none.
  private let files: (folder: RunFolder, recorder: Recorder)?
  private let sink: any TextSink
  private let optimizer: AdamW
  private let trace: TraceRecorder?
  private let totalSteps: Int
  private let firstStep: Int
  private var best: (value: Double, step: Int)?
  /// The checkpoint that is being written meanwhile.
  private var saving: BackgroundSave<Void>?
  /// This rank's part of one, and what writes the file that the parts belong to; on all ranks or on none.
  private var savingPart: (part: BackgroundSave<[CheckpointPart]>, owner: @Sendable ([CheckpointPart]) throws -> Void)?
  private var hasReportedOverlap = false
  /// Whether some parameters keep their values.
  private let hasFrozen: Bool
  private let costs: ModelCosts
  /// Floating-point operations of the current step, and of all of this process's steps.
  private var stepFLOPs = 0.0
  private var totalFLOPs = 0.0

  /// - Parameters:
  ///   - origin: what the run's checkpoints say of data and initial weights.
  ///   - folder: nil on ranks that write nothing.
  ///   - checkpoint: where to go on from; nil for a new run.
  ///   - team: the ranks that train together; nil = this process alone.
  ///   - trace: receives a timeline of some steps.
  ///   - sink: where progress goes.
  /// - Throws: `TrainError`, `HDF5Error` or `RecorderError`.
  public init(
    _ task: any TrainingTask, preset: String, config: RunConfig, origin: RunOrigin = RunOrigin(), engine: Engine,
    folder: RunFolder?, resuming checkpoint: LoadedCheckpoint? = nil, team: RankTeam? = nil,
    trace: TraceRecorder? = nil, sink: any TextSink
  ) throws {
    self.task = task
    self.preset = preset
    self.origin = origin
    self.config = config
    self.engine = engine
    self.team = team
    self.trace = trace
    self.sink = sink
    let parameters = task.model.parameters
    let plan = try UpdatePlan(config, task.model)
    for (parameter, parts) in zip(parameters, plan.parts) { parameter.isFrozen = parts.isEmpty }
    hasFrozen = plan.freezes(parameters)
    if hasFrozen {
      let all = parameters.reduce(0) { $0 + $1.count }
      sink.line(
        "training \(HumanFormat.count(plan.trained)) of \(HumanFormat.count(all)) parameters, the others are frozen")
      for line in plan.unreachedLines { sink.line(line) }
    }
    let slices = config.parallel.zero > 0 ? team.map { parameters.map($0.ownSlice) } : nil
    optimizer = AdamW(parameters, config: config.optimizer, engine: engine, plan: plan, slices: slices)
    if let checkpoint {
      try checkpoint.restore(task.model)
      try checkpoint.restore(optimizer, of: task.model)
    }
    try UpdatePlan.requireEffect(parameters)
    firstStep = checkpoint?.info.step ?? 0
    best = checkpoint?.info.best
    totalSteps = config.totalSteps(perEpoch: task.stepsPerEpoch)
    if let note = config.schedule.note(total: totalSteps) { sink.line(note) }
    costs = try ModelCosts(config.model)
    if let checkpoint {
      let change = ResumedSettings(
        from: checkpoint.info.config, to: config, step: firstStep, stepsPerEpoch: task.stepsPerEpoch)
      if change.comparesOtherLosses { best = nil }
      for note in change.notes { sink.line("note: \(note)") }
    }
    team?.attach(task.model.parameters)
    guard let folder else {
      files = nil
      return
    }
    let recorder = try Recorder(
      directory: folder.path, resumingAfter: checkpoint.map { $0.info.step },
      evaluationDue: config.isEvaluationDue(firstStep, of: totalSteps, perEpoch: task.stepsPerEpoch))
    files = (folder, recorder)
    if let note = recorder.note { sink.line(note) }
  }

  /// Trains to the last step, or until a signal arrives.
  ///
  /// - Throws: `TrainError` when a value is not finite, and what reading data and writing files throw. The latest
  ///   checkpoint stays good.
  public func run() throws -> Outcome {
    let accumulation = config.train.accumulation
    try task.startTraining(atMicroBatch: firstStep * accumulation)
    let progress = ProgressLine(
      "train", total: totalSteps, start: firstStep, unit: task.unit, sink: sink)
    var evaluation: Evaluation?
    var checkpoint = ""
    var trainLoss = Double.nan
    var stepSeconds = 0.0
    var step = firstStep
    let start = monotonicSeconds()
    var isPending = try repeatEvaluation(&evaluation, &checkpoint, progress)
    let beginsUnsaved = files.map { RunFolder.steps(in: $0.folder.path).isEmpty } ?? false
    do {
      while step < totalSteps, !isPending {
        let began = monotonicSeconds()
        trainLoss = try trainStep(step)
        let seconds = monotonicSeconds() - began
        stepSeconds += seconds
        step += 1
        recordSpeed(seconds)
        show(progress, step: step, loss: trainLoss)
        let stepped = monotonicSeconds()
        // A run that dies before its first checkpoint has lost everything.
        let isUnsaved =
          beginsUnsaved && checkpoint.isEmpty && config.checkpoint.firstAfter > 0
          && monotonicSeconds() - start >= config.checkpoint.firstAfter
        let wishes = team?.any([Interrupt.isRequested, isUnsaved]) ?? [Interrupt.isRequested, isUnsaved]
        if config.isEvaluationDue(step, of: totalSteps, perEpoch: task.stepsPerEpoch) {
          evaluation = try evaluate(step, progress)
          isPending = evaluation == nil
        }
        let isLast = step == totalSteps || wishes[0] || isPending
        // Every rank makes the sample, since experts live on several; one shows it.
        if config.train.sampleEvery > 0, step % config.train.sampleEvery == 0, let text = try task.sample() {
          progress.note("step \(step)  sample: \(text)")
        }
        try files?.recorder.flush(step: step)
        try finishSaving(waits: false)
        if isLast || wishes[1] || best?.step == step || isDue(step, every: config.checkpoint.every) {
          checkpoint = try save(step)
        }
        if isLast { try finishSaving(waits: true) }
        progress.exclude(seconds: monotonicSeconds() - stepped)
        if isLast { break }
      }
    } catch {
      progress.finish()
      // What went wrong first is what is said; the last good checkpoint still gets its name.
      // Parts need the other ranks, which may not come.
      if savingPart == nil { try? finishSaving(waits: true) }
      throw error
    }
    progress.finish()
    if step == firstStep, step > 0 {
      checkpoint = files?.folder.checkpointFile(step: step) ?? ""
      // A branch has none of its own, nor has a run that goes on from its best one.
      let isMissing = files != nil && !FileManager.default.fileExists(atPath: checkpoint)
      if team?.any(isMissing) ?? isMissing {
        checkpoint = try save(step)
        try finishSaving(waits: true)
      }
      if evaluation == nil, !isPending {
        do { evaluation = try task.evaluate(progress: nil) } catch is EvaluationInterrupted { isPending = true }
        if evaluation?.loss.isFinite == false { throw failure(step - 1, "validation loss") }
      }
    }
    return Outcome(
      steps: step, began: start, seconds: monotonicSeconds() - start, trainLoss: trainLoss,
      evaluation: evaluation, best: best, checkpoint: checkpoint,
      isInterrupted: step < totalSteps || isPending,
      unitsPerSecond: Double((step - firstStep) * task.unitsPerStep) / max(stepSeconds, 1e-9),
      waitShare: task.waitSeconds / max(stepSeconds, 1e-9),
      flopsPerStep: step > firstStep ? totalFLOPs / Double(step - firstStep) : task.flopsPerStep)
  }

  /// One optimiser step.
  ///
  /// - Returns: the task's loss, mean over the micro-batches.
  private func trainStep(_ step: Int) throws -> Double {
    let accumulation = config.train.accumulation
    let waitedBefore = task.waitSeconds
    let allocationsBefore = BufferPool.shared.statistics.systemAllocations
    let began = monotonicSeconds()
    let routing =
      accumulation > 1 && config.model.judgesWholeBatches(unevenParts: task.targetsVary)
      ? StepRouting(microBatches: accumulation) : nil
    func pass(_ tape: Tape, _ micro: Int) -> ForwardPass {
      ForwardPass(
        tape, training: true, seed: UInt64(config.seed), step: step, microBatch: (micro, accumulation),
        stepRouting: routing, coordinator: team)
    }
    for parameter in task.model.parameters { parameter.clearGradient() }
    trace?.beginStep(hasDecided: team?.hasDecidedOverlap ?? true)
    // What depends on the whole step must see its micro-batches before the first one is computed.
    var kept: [MicroBatch] = []
    if routing != nil || (accumulation > 1 && task.targetsVary) {
      for _ in 0..<accumulation { kept.append(try task.nextMicroBatch(kept: true)) }
    }
    if let routing {
      for (micro, batch) in kept.enumerated() {
        let tape = Tape(engine, recording: false)
        tape.repeatsRecorded = true
        batch.route(pass(tape, micro))
      }
      routing.finishCounting()
    }
    team?.beginStep()
    var replay: (Tape) -> Void = { _ in }
    var loss = 0.0
    var divisors: [Double] = []
    var routings: [RoutingReport] = []
    for micro in 0..<accumulation {
      let batch = try kept.isEmpty ? task.nextMicroBatch(kept: false) : kept[micro]
      if micro == 0 { divisors = meanTargets(kept.isEmpty ? [batch] : kept) }
      let tape = Tape(engine, recording: true, skipsFrozen: hasFrozen && team == nil)
      let current = pass(tape, micro)
      replay = { [divisors] in _ = batch.forward(pass($0, micro), divisors) }
      let metrics = batch.forward(current, divisors)
      // Of all ranks: what is not finite on one is so on all, and they stop together.
      let auxiliary = current.routings.map { $0.auxiliary.sorted { $0.key < $1.key } }
      var values = [tape.objective] + metrics.map(\.value) + auxiliary.joined().map(\.value)
      if let team { values = team.mean(values) }
      for (metric, value) in zip(metrics, values.dropFirst()) {
        files?.recorder.record(metric.name, value)
        if metric.name == MetricName.trainLoss { loss += value / Double(accumulation) }
      }
      record(current.routings, auxiliary: auxiliary.map { $0.map(\.key) }, values.dropFirst(1 + metrics.count))
      if micro == 0 { routings = current.routings }
      for index in routings.indices where micro > 0 { routings[index].add(current.routings[index]) }
      guard values[0].isFinite else { throw failure(step, "loss", replay) }
      if micro == accumulation - 1 { team?.armGradientSync() }
      tape.backward()
    }
    team?.finishGradientSync()
    files?.recorder.record(routings)
    stepFLOPs = task.flopsPerStep - 3 * costs.savedFLOPs(routings)
    try UpdatePlan.requireReached(task.model.parameters, step: step)
    let norm = optimizer.gradientNorm(team)
    guard norm.isFinite else { throw failure(step, "gradient norm", replay) }
    let rate = config.schedule.learningRate(
      peak: config.optimizer.lr, step: step, total: totalSteps)
    optimizer.step(lr: rate, gradientNorm: norm)
    if optimizer.isSharded { team?.shareSlices(task.model.parameters.filter { !$0.isFrozen }) }
    task.model.updateSelectionBiases()
    team?.endStep(passes: accumulation)
    trace?.endStep()
    guard let recorder = files?.recorder else { return loss }
    recorder.record("lr", rate)
    recorder.record("grad_norm", norm)
    recorder.record(
      "data_wait_share", (task.waitSeconds - waitedBefore) / (monotonicSeconds() - began))
    recorder.record(
      "system_allocations",
      Double(BufferPool.shared.statistics.systemAllocations - allocationsBefore))
    return loss
  }

  /// The mean number of targets of the step's parts, from this rank's micro-batches of the step (or one of them, where all
  /// have as many).
  private func meanTargets(_ batches: [MicroBatch]) -> [Double] {
    var sums = batches[0].targets
    for batch in batches.dropFirst() { sums = zip(sums, batch.targets).map { $0 + $1 } }
    if task.targetsVary, let team { sums = team.mean(sums) }
    return sums.map { $0 / Double(batches.count) }
  }

  /// - Parameter replay: the step's forward pass; nil where another one failed.
  private func failure(_ step: Int, _ what: String, _ replay: ((Tape) -> Void)? = nil) -> TrainError {
    let found = NotFiniteSearch.describe(model: task.model, engine: engine, replay: replay)
    // What is being written meanwhile counts too. Parts need the other ranks, which may not come.
    if savingPart == nil { try? finishSaving(waits: true) }
    var saved = files.map { $0.folder.lastGoodCheckpoint(try? $0.recorder.history()) } ?? ""
    if let team { saved = String(decoding: team.world.broadcast(Array(saved.utf8), patiently: true), as: UTF8.self) }
    let error = TrainError(
      "step \(step + 1): the \(what) is not finite; first bad tensor: \(found.place); \(saved); lower optimizer.lr or raise schedule.warmup",
      isDivergence: true)
    // The rank where it began speaks.
    team?.stopTogether(error.description, position: found.position)
    return error
  }

  // MARK: Records

  /// Auxiliary losses of one micro-batch; the recorder takes the mean over a step's.
  ///
  /// - Parameters:
  ///   - auxiliary: their names, route by route.
  ///   - values: in the same order.
  private func record(_ routings: [RoutingReport], auxiliary: [[String]], _ values: ArraySlice<Double>) {
    var rest = values
    for (routing, names) in zip(routings, auxiliary) {
      for name in names { files?.recorder.record("aux_\(name)", rest.removeFirst(), layer: routing.block) }
    }
  }

  private func recordSpeed(_ seconds: Double) {
    files?.recorder.record("\(task.unit)_per_s", Double(task.unitsPerStep) / seconds)
    totalFLOPs += stepFLOPs
    // A step with frozen parameters has fewer operations than are counted.
    if !hasFrozen { files?.recorder.record("gflops", stepFLOPs / seconds / 1e9) }
  }

  private func show(_ progress: ProgressLine, step: Int, loss: Double) {
    if !hasReportedOverlap, let team, !team.overlapReport.isEmpty {
      hasReportedOverlap = true
      for line in team.overlapReport { progress.note("overlap: " + line) }
    }
    let loss = HumanFormat.fixed(loss, 4)
    if let accuracy = files?.recorder.current(MetricName.trainTop1) {
      progress.update(
        step: step, items: task.unitsPerStep,
        ["loss": loss, "top-1": HumanFormat.percent(accuracy)])
    } else {
      progress.update(step: step, items: task.unitsPerStep, ["loss": loss])
    }
  }

  // MARK: Evaluations and checkpoints

  /// Whether something is due after `step` steps: every so many, or at the end of an epoch.
  private func isDue(_ step: Int, every: Int) -> Bool {
    step % (every > 0 ? every : task.stepsPerEpoch) == 0
  }

  /// Makes up for an evaluation within which a signal ended the run before this one, as it would have been then.
  ///
  /// - Returns: whether a signal has ended it again.
  private func repeatEvaluation(
    _ evaluation: inout Evaluation?, _ checkpoint: inout String, _ progress: ProgressLine
  ) throws -> Bool {
    let isMissing = files?.recorder.lacksEvaluation ?? false
    guard team?.any(isMissing) ?? isMissing else { return false }
    evaluation = try evaluate(firstStep, progress)
    try files?.recorder.flush(step: firstStep)
    checkpoint = files?.folder.checkpointFile(step: firstStep) ?? ""
    if best?.step == firstStep {
      checkpoint = try save(firstStep)
      try finishSaving(waits: true)
    }
    return evaluation == nil
  }

  /// - Returns: nil where a signal has ended it; a resumed run makes up for it.
  private func evaluate(_ step: Int, _ progress: ProgressLine) throws -> Evaluation? {
    let evaluation: Evaluation
    do { evaluation = try task.evaluate(progress: nil) } catch is EvaluationInterrupted { return nil }
    files?.recorder.record(MetricName.validationLoss, evaluation.loss)
    for (name, value) in evaluation.metrics { files?.recorder.record("val_\(name)", value) }
    var text = "step \(step)  val loss \(HumanFormat.fixed(evaluation.loss, 4))"
    for headline in task.headlines {
      guard let value = evaluation[headline.metric] else { continue }
      let shown = headline.isShare ? HumanFormat.percent(value) : HumanFormat.fixed(value, 3)
      text += "  \(headline.label) \(shown)"
    }
    progress.note(text)
    guard evaluation.loss.isFinite else {
      // The metrics say so too, as null.
      try files?.recorder.flush(step: step)
      throw failure(step - 1, "validation loss")
    }
    if let value = evaluation[task.bestMetric.name], value.isFinite {
      let isBetter =
        best.map { task.bestMetric.higherIsBetter ? value > $0.value : value < $0.value } ?? true
      if isBetter { best = (value, step) }
    }
    return evaluation
  }

  private func save(_ step: Int) throws -> String {
    // A checkpoint that nothing can go on from would take the place of those that are removed for it.
    let isBad = NotFiniteSearch.badParameter(task.model) != nil
    if team?.any(isBad) ?? isBad { throw failure(step - 1, "model") }
    let info = CheckpointInfo(
      task: task.name, preset: preset, config: config.portable, step: step, best: best,
      vocabulary: task.vocabulary, attachments: task.attachments, backend: engine.backendDescription,
      origin: origin)
    try finishSaving(waits: true)
    // Every rank may write a part beside it.
    let own = files?.folder.checkpointFile(step: step) ?? ""
    let file = team.map { String(decoding: $0.world.broadcast(Array(own.utf8), patiently: true), as: UTF8.self) } ?? own
    // Metrics first: a resumed run must find every step up to its checkpoint.
    try files?.recorder.synchronize()
    let state = TrainingState(task.model, optimizer)
    let parts = config.checkpoint.shards ? team?.expertRanks ?? 1 : 1
    if config.checkpoint.background, parts > 1 {
      let (copy, rank) = (state.detached(team), team?.world.rank)
      let part = BackgroundSave(step: step) {
        try TrainingCheckpoint.writeParts(copy, of: file, count: parts, rank: rank)
      }
      savingPart = (part, { try TrainingCheckpoint.writeOwner(info, copy, of: $0, to: file) })
      return file
    }
    if config.checkpoint.background {
      let copy = state.copied(team)
      if files != nil {
        saving = BackgroundSave(step: step) { try TrainingCheckpoint.save(info, copy, to: file) }
      }
      return file
    }
    try TrainingCheckpoint.save(info, state, to: file, team: team, parts: parts)
    try keepHouse(after: step)
    team?.world.barrier(patiently: true)
    return file
  }

  /// Goes on with the checkpoint that is being written: once the parts of all ranks are there, the first rank writes the
  /// file that they belong to; once that is there, it gets its name. Every rank must call.
  ///
  /// - Parameter waits: for the end; otherwise does what can be done now.
  /// - Throws: what writing it threw.
  private func finishSaving(waits: Bool) throws {
    if let (part, owner) = savingPart, waits || team?.any(!part.isDone) != true {
      savingPart = nil
      let parts = TrainingCheckpoint.gather(try part.wait(), team)
      if files != nil { saving = BackgroundSave(step: part.step) { try owner(parts) } }
    }
    guard let saving, waits || saving.isDone else { return }
    self.saving = nil
    try saving.wait()
    try keepHouse(after: saving.step)
  }

  /// Names the best checkpoint and removes old ones, once that of `step` is complete.
  private func keepHouse(after step: Int) throws {
    guard let folder = files?.folder else { return }
    if best?.step == step { try folder.markBest(step: step) }
    folder.prune(
      keeping: config.checkpoint.keep, every: config.checkpoint.keepEvery, written: step)
  }
}
