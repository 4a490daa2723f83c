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
package final class Trainer {
  private let task: any TrainingTask
  private let preset: String
  private let origin: RunOrigin
  private let config: RunConfig
  private let engine: Engine
  private let team: RankTeam?
  /// Folder and records of the first rank; others have none.
  private let files: (folder: RunFolder, recorder: Recorder)?
  private let takeStep: TrainingStep
  private let saver: CheckpointSaver
  private let progress: ProgressLine
  private let sink: any TextSink
  private let samples: RunSamples?
  private let follow: (TrainingEvent) -> Void
  /// When the loop began.
  private var start = monotonicSeconds()
  private let totalSteps: Int
  private let firstStep: Int
  /// Whether some parameters keep their values.
  private let hasFrozen: Bool

  /// Steps taken, those before this process too.
  private var step: Int
  private var best: (value: Double, step: Int)?
  private var trainLoss = Double.nan
  /// The latest evaluation; nil while none was needed, or where a signal has ended it.
  private var evaluation: Evaluation?
  /// Whether a signal has ended an evaluation, which a resumed run makes up for.
  private var lacksEvaluation = false
  private var checkpoint = ""
  private var hasReportedOverlap = false
  /// Seconds and floating-point operations of this process's steps.
  private var stepSeconds = 0.0
  private var totalFLOPs = 0.0

  /// - Parameters:
  ///   - origin: what the run's checkpoints say of data and initial weights.
  ///   - folder: nil on ranks that write nothing.
  ///   - checkpoint: where to go on from; nil for a new run.
  ///   - team: the ranks that train together; nil = this process alone.
  ///   - trace: receives a timeline of some steps.
  ///   - sink: where progress goes.
  ///   - follow: told what happens besides steps.
  /// - Throws: `TrainError`, `HDF5Error` or `ReportError`.
  package init(
    _ task: any TrainingTask, preset: String, config: RunConfig, origin: RunOrigin = RunOrigin(), engine: Engine,
    folder: RunFolder?, resuming checkpoint: LoadedCheckpoint? = nil, team: RankTeam? = nil,
    trace: TraceRecorder? = nil, sink: any TextSink, follow: @escaping (TrainingEvent) -> Void = { _ in }
  ) throws {
    self.follow = follow
    (self.task, self.preset, self.origin, self.config) = (task, preset, origin, config)
    (self.engine, self.team, self.sink) = (engine, team, sink)
    for (what, number) in [("steps of an epoch", task.stepsPerEpoch), ("units of a step", task.unitsPerStep)]
    where number < 1 {
      throw TrainError(field: "the \(what) of the task \(task.name)", found: "\(number)", expected: "at least 1")
    }
    let parameters = task.model.parameters
    let plan = try UpdatePlan(config, task.model)
    for (parameter, parts) in zip(parameters, plan.parts) { parameter.isFrozen = parts.isEmpty }
    hasFrozen = plan.freezes(parameters)
    for line in plan.lines(parameters) { sink.line(line) }
    let optimizer = Updater(
      parameters, config: config.optimizer, engine: engine, plan: plan,
      sharedBy: config.parallel.zero > 0 ? team : nil)
    if let checkpoint {
      try checkpoint.restore(task.model)
      try checkpoint.restore(optimizer, of: task.model)
    }
    try UpdatePlan.requireEffect(parameters)
    firstStep = checkpoint?.info.step ?? 0
    step = firstStep
    best = checkpoint?.info.best
    totalSteps = config.totalSteps(perEpoch: task.stepsPerEpoch)
    if let note = config.schedule.note(total: totalSteps) { sink.line("note: \(note)") }
    if let checkpoint {
      let change = ResumedSettings(
        from: checkpoint.info.config, to: config, step: firstStep, stepsPerEpoch: task.stepsPerEpoch)
      if change.comparesOtherLosses { best = nil }
      for note in change.notes { sink.line("note: \(note)") }
    }
    team?.attach(parameters)
    let isDue = config.isEvaluationDue(firstStep, of: totalSteps, perEpoch: task.stepsPerEpoch)
    files = try folder.map {
      let after = checkpoint.map { $0.info.step }
      return ($0, try Recorder(directory: $0.path, resumingAfter: after, evaluationDue: isDue))
    }
    samples = files.map { RunSamples($0.folder, $0.recorder) }
    if let note = files?.recorder.note { sink.line(note) }
    if let files {
      var settings = EventSummary()
      settings.add("settings", text: "```\n\(RunConfig.table.yaml(config))\n```")
      try files.recorder.show(settings, step: firstStep)
    }
    takeStep = try TrainingStep(
      task, config: config, engine: engine, team: team, optimizer: optimizer, hasFrozen: hasFrozen, trace: trace,
      recorder: files?.recorder, totalSteps: totalSteps)
    saver = CheckpointSaver(task.model, optimizer, config: config.checkpoint, folder: folder, team: team)
    progress = ProgressLine("train", total: totalSteps, start: firstStep, unit: task.metrics.unit, sink: sink)
  }

  // MARK: The loop

  /// Trains to the last step, or until a signal arrives.
  ///
  /// - Throws: `TrainError` when a value is not finite, and what reading data and writing files throw. The latest
  ///   checkpoint stays good.
  package func run() throws -> Outcome {
    start = monotonicSeconds()
    saver.whenComplete = { [follow, start] in follow(.saved(file: $1, step: $0, seconds: monotonicSeconds() - start)) }
    try task.startTraining(atMicroBatch: firstStep * config.train.accumulation)
    let beginsUnsaved = files.map { RunFolder.steps(in: $0.folder.path).isEmpty } ?? false
    do {
      try makeUpForEvaluation()
      while step < totalSteps, !lacksEvaluation {
        try train()
        let stepped = monotonicSeconds()
        // A run that dies before its first checkpoint has lost everything.
        let isUnsaved =
          beginsUnsaved && checkpoint.isEmpty && config.checkpoint.firstAfter > 0
          && monotonicSeconds() - start >= config.checkpoint.firstAfter
        let (stops, saves) = agree(Interrupt.isRequested, isUnsaved)
        if config.isEvaluationDue(step, of: totalSteps, perEpoch: task.stepsPerEpoch) { try evaluate() }
        // Every rank makes the sample, since experts live on several; one shows it.
        if config.train.sampleEvery > 0, step % config.train.sampleEvery == 0, let text = try task.sample() {
          progress.note("step \(step)  sample: \(text)")
          if let note = samples?.keep(text, step: step) { progress.note(note) }
        }
        try files?.recorder.flush(step: step)
        try saver.proceed()
        let isLast = step == totalSteps || stops || lacksEvaluation
        if isLast || saves || best?.step == step || isDue(step, every: config.checkpoint.every) { try save() }
        if isLast { try saver.finish() }
        progress.exclude(seconds: monotonicSeconds() - stepped)
        if isLast { break }
      }
    } catch {
      // What went wrong first is what is said; the last good checkpoint still gets its name.
      let reason = (error as? TrainingStep.NotFinite).map { failure($0.what, $0.replay) } ?? error
      progress.finish()
      saver.finishAlone()
      throw reason
    }
    progress.finish()
    if step == firstStep, step > 0 { try finishWithoutSteps() }
    return Outcome(
      steps: step, began: start, seconds: monotonicSeconds() - start, trainLoss: trainLoss,
      evaluation: evaluation, best: best, checkpoint: checkpoint, isInterrupted: step < totalSteps || lacksEvaluation,
      unitsPerSecond: Double((step - firstStep) * task.unitsPerStep) / max(stepSeconds, 1e-9),
      waitShare: task.waitSeconds / max(stepSeconds, 1e-9),
      flopsPerStep: step > firstStep ? totalFLOPs / Double(step - firstStep) : task.flopsPerStep)
  }

  /// Takes one step, and says how fast and how well.
  private func train() throws {
    let began = monotonicSeconds()
    trainLoss = try takeStep(step)
    let seconds = monotonicSeconds() - began
    step += 1
    (stepSeconds, totalFLOPs) = (stepSeconds + seconds, totalFLOPs + takeStep.flops)
    files?.recorder.record("\(task.metrics.unit)_per_s", Double(task.unitsPerStep) / seconds)
    // A step with frozen parameters has fewer operations than are counted.
    if !hasFrozen { files?.recorder.record("gflops", takeStep.flops / seconds / 1e9) }
    if !hasReportedOverlap, let team, !team.overlapReport.isEmpty {
      hasReportedOverlap = true
      let routes = team.overlapReport.count
      progress.note(
        "overlap: decided for \(routes) route\(routes == 1 ? "" : "s") by measured times; `mmoe trace summary FILE` of a run with --trace FILE says how"
      )
    }
    var fields = [(name: "loss", value: HumanFormat.fixed(trainLoss, 4))]
    for shown in task.metrics.progress {
      if let value = files?.recorder.current(shown.metric) { fields.append((shown.label, shown.text(value))) }
    }
    progress.update(step: step, items: task.unitsPerStep, fields)
  }

  /// Whether any rank wishes to stop, and whether any wishes to save.
  private func agree(_ stops: Bool, _ saves: Bool) -> (stops: Bool, saves: Bool) {
    let wishes = team?.any([stops, saves]) ?? [stops, saves]
    return (wishes[0], wishes[1])
  }

  /// Whether something is due after `step` steps: every so many, or at the end of an epoch.
  private func isDue(_ step: Int, every: Int) -> Bool {
    step % (every > 0 ? every : task.stepsPerEpoch) == 0
  }

  // MARK: Evaluations and checkpoints

  /// Makes up for an evaluation within which a signal ended the run before this one, as it would have been then.
  private func makeUpForEvaluation() throws {
    let isMissing = files?.recorder.lacksEvaluation ?? false
    guard team?.any(isMissing) ?? isMissing else { return }
    try evaluate()
    try files?.recorder.flush(step: step)
    checkpoint = files?.folder.checkpointFile(step: step) ?? ""
    if best?.step == step {
      try save()
      try saver.finish()
    }
  }

  /// Evaluates, unless a signal ends it; a resumed run makes up for it.
  private func evaluate() throws {
    do {
      evaluation = try showingProgress(task.evaluate)
    } catch is EvaluationInterrupted {
      (evaluation, lacksEvaluation) = (nil, true)
    }
    guard let evaluation else { return }
    files?.recorder.record(MetricName.validationLoss, evaluation.loss)
    for (name, value) in evaluation.metrics { files?.recorder.record("val_\(name)", value) }
    let shown = task.metrics.headlines.compactMap { headline in
      evaluation[headline.metric].map { "  \(headline.label) \(headline.text($0))" }
    }
    progress.note("step \(step)  val loss \(HumanFormat.fixed(evaluation.loss, 4))" + shown.joined())
    guard evaluation.loss.isFinite else {
      // The metrics say so too, as null.
      try files?.recorder.flush(step: step)
      throw failure("validation loss")
    }
    if let value = evaluation[task.metrics.best.name], value.isFinite {
      let isBetter =
        best.map { task.metrics.best.higherIsBetter ? value > $0.value : value < $0.value } ?? true
      if isBetter { best = (value, step) }
    }
    follow(
      .evaluated(
        evaluation, step: step, seconds: monotonicSeconds() - start, trainLoss: trainLoss, isBest: best?.step == step))
    if let note = samples?.keep(task.evaluationPicture, step: step) { progress.note(note) }
  }

  /// Evaluates below the progress line of the steps.
  private func showingProgress(
    _ evaluate: (_ progress: ((_ done: Int, _ total: Int) -> Void)?) throws -> Evaluation
  ) rethrows -> Evaluation {
    progress.clear()
    return try PhaseProgress.during("evaluating", sink) { try evaluate($0) }
  }

  private func save() throws {
    // A checkpoint that nothing can go on from would take the place of those that are removed for it.
    let isBad = NotFiniteSearch.badParameter(task.model) != nil
    if team?.any(isBad) ?? isBad { throw failure("model") }
    // Metrics first: a resumed run must find every step up to its checkpoint.
    try files?.recorder.synchronize()
    checkpoint = try saver.save(
      CheckpointInfo(
        task: task.name, preset: preset, config: config.portable, step: step, best: best,
        vocabulary: task.vocabulary, attachments: task.attachments, backend: engine.backendDescription,
        origin: origin))
  }

  /// A run that had all its steps already still says what it reached.
  private func finishWithoutSteps() throws {
    checkpoint = files?.folder.checkpointFile(step: step) ?? ""
    // A branch has none of its own, nor has a run that goes on from its best one.
    let isMissing = files != nil && !FileManager.default.fileExists(atPath: checkpoint)
    if team?.any(isMissing) ?? isMissing {
      try save()
      try saver.finish()
    }
    guard evaluation == nil, !lacksEvaluation else { return }
    do { evaluation = try showingProgress(task.evaluate) } catch is EvaluationInterrupted { lacksEvaluation = true }
    if evaluation?.loss.isFinite == false { throw failure("validation loss") }
  }

  /// - Parameters:
  ///   - what: is not finite.
  ///   - replay: the forward pass of the step that failed; nil where it was not a step.
  private func failure(_ what: String, _ replay: ((Tape) throws -> Void)? = nil) -> TrainError {
    let found = NotFiniteSearch.describe(model: task.model, engine: engine, replay: replay)
    // What is being written meanwhile counts too.
    saver.finishAlone()
    var saved = files.map { $0.folder.lastGoodCheckpoint(try? $0.recorder.history()) } ?? ""
    if let team { saved = String(decoding: team.world.broadcast(Array(saved.utf8), patiently: true), as: UTF8.self) }
    let error = TrainError(
      Fault(
        "step \(replay == nil ? step : step + 1): the \(what) is not finite; first bad tensor: \(found.place); \(saved); lower optimizer.lr or raise schedule.warmup"
      ), isDivergence: true)
    // The rank where it began speaks.
    team?.stopTogether(error.description, position: found.position)
    return error
  }
}
