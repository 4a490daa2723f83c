import Foundation
import MMoEModels
import MMoETensor

/// The training loop: batch → forward → backward → clip → step → record → evaluate → save.
///
/// Everything a step computes is a function of the configuration and the step's number, so a resumed run goes on with
/// the same bits as an uninterrupted one.
public final class Trainer {
  /// How a run ended.
  public struct Outcome {
    public let steps: Int
    public let seconds: Double
    public let trainLoss: Double
    public let evaluation: Evaluation?
    public let best: (value: Double, step: Int)?
    public let checkpoint: String
    /// Whether a signal ended it before its last step.
    public let isInterrupted: Bool
    /// Throughput over all steps of this process, in units a second, evaluations and checkpoints left out.
    public let unitsPerSecond: Double
    /// Share of the time in steps that was spent waiting for data.
    public let waitShare: Double
  }

  private let task: any TrainingTask
  private let preset: String
  private let config: RunConfig
  private let engine: Engine
  private let folder: RunFolder
  private let sink: any TextSink
  private let optimizer: AdamW
  private let recorder: Recorder
  private let totalSteps: Int
  private let firstStep: Int
  private var best: (value: Double, step: Int)?
  /// The hardware limit that MFU is measured against, in FLOP/s.
  private let peak: Double

  /// - Parameters:
  ///   - checkpoint: where to go on from; nil for a new run.
  ///   - sink: where progress goes.
  /// - Throws: `TrainError`, `HDF5Error` or `RecorderError`.
  public init(
    _ task: any TrainingTask, preset: String, config: RunConfig, engine: Engine,
    folder: RunFolder, resuming checkpoint: LoadedCheckpoint? = nil, sink: any TextSink
  ) throws {
    self.task = task
    self.preset = preset
    self.config = config
    self.engine = engine
    self.folder = folder
    self.sink = sink
    optimizer = AdamW(task.model.parameters, config: config.optimizer, engine: engine)
    if let checkpoint {
      try checkpoint.restore(task.model)
      try checkpoint.restore(optimizer, of: task.model)
    }
    firstStep = checkpoint?.info.step ?? 0
    best = checkpoint?.info.best
    totalSteps = config.train.steps ?? config.train.epochs * task.stepsPerEpoch
    recorder = try Recorder(
      directory: folder.path, resumingAfter: checkpoint.map { $0.info.step })
    let yaml = "# mmoe train --task \(task.name) --preset \(preset)\n" + RunConfig.table.yaml(config)
    do {
      try yaml.write(toFile: folder.configFile, atomically: true, encoding: .utf8)
    } catch {
      throw TrainError(
        "\(folder.configFile): cannot be written (\(systemReason(of: error))); free space or choose another --out"
      )
    }
    peak = try ProductBenchmark.peak(threads: engine.threads, seconds: 0.2) * 1e9
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
    do {
      while step < totalSteps {
        let began = monotonicSeconds()
        trainLoss = try trainStep(step)
        let seconds = monotonicSeconds() - began
        stepSeconds += seconds
        step += 1
        recordSpeed(seconds)
        show(progress, step: step)
        let stepped = monotonicSeconds()
        let isLast = step == totalSteps || Interrupt.isRequested
        // Also when a signal has arrived: a resumed run would otherwise miss this evaluation.
        if step == totalSteps || isDue(step, every: config.train.evalEvery) {
          evaluation = try evaluate(step, progress)
        }
        if config.train.sampleEvery > 0, step % config.train.sampleEvery == 0, let text = try task.sample() {
          progress.note("step \(step)  sample: \(text)")
        }
        try recorder.flush(step: step)
        if isLast || best?.step == step || isDue(step, every: config.checkpoint.every) {
          checkpoint = try save(step)
        }
        progress.exclude(seconds: monotonicSeconds() - stepped)
        if isLast { break }
      }
    } catch {
      progress.finish()
      throw error
    }
    progress.finish()
    if step == firstStep, step > 0 {
      checkpoint = folder.checkpointFile(step: step)
      evaluation = try task.evaluate(progress: nil)
    }
    return Outcome(
      steps: step, seconds: monotonicSeconds() - start, trainLoss: trainLoss,
      evaluation: evaluation, best: best, checkpoint: checkpoint,
      isInterrupted: step < totalSteps,
      unitsPerSecond: Double((step - firstStep) * task.unitsPerStep) / max(stepSeconds, 1e-9),
      waitShare: task.waitSeconds / max(stepSeconds, 1e-9))
  }

  /// One optimiser step.
  ///
  /// - Returns: the task's loss, mean over the micro-batches.
  private func trainStep(_ step: Int) throws -> Double {
    let accumulation = config.train.accumulation
    let waitedBefore = task.waitSeconds
    let allocationsBefore = BufferPool.shared.statistics.systemAllocations
    let began = monotonicSeconds()
    func pass(_ tape: Tape, _ micro: Int) -> ForwardPass {
      ForwardPass(
        tape, training: true, seed: UInt64(config.seed), step: step * accumulation + micro,
        lossWeight: 1 / Float(accumulation))
    }
    for parameter in task.model.parameters { parameter.clearGradient() }
    for micro in 0..<accumulation {
      try task.nextMicroBatch()
      let tape = Tape(engine, recording: true)
      let current = pass(tape, micro)
      for (name, value) in task.forward(current) { recorder.record(name, value) }
      record(current.routings)
      guard tape.objective.isFinite else { throw failure(step, "loss", pass, micro) }
      tape.backward()
    }
    let norm = optimizer.gradientNorm()
    guard norm.isFinite else { throw failure(step, "gradient norm", pass, accumulation - 1) }
    let rate = config.schedule.learningRate(
      peak: config.optimizer.lr, step: step, total: totalSteps)
    optimizer.step(lr: rate, gradientNorm: norm)
    task.model.updateSelectionBiases()
    recorder.record("lr", rate)
    recorder.record("grad_norm", norm)
    recorder.record(
      "data_wait_share", (task.waitSeconds - waitedBefore) / (monotonicSeconds() - began))
    recorder.record(
      "system_allocations",
      Double(BufferPool.shared.statistics.systemAllocations - allocationsBefore))
    return recorder.current(MetricName.trainLoss) ?? .nan
  }

  private func failure(
    _ step: Int, _ what: String, _ pass: (Tape, Int) -> ForwardPass, _ micro: Int
  ) -> TrainError {
    let found = NotFiniteSearch.describe(model: task.model, engine: engine) { tape in
      _ = task.forward(pass(tape, micro))
    }
    let saved = RunFolder.steps(in: folder.path).last.map { "the checkpoint of step \($0) is good" }
    return TrainError(
      "step \(step + 1): the \(what) is not finite; first bad tensor: \(found); \(saved ?? "no checkpoint was saved yet"); lower optimizer.lr or raise schedule.warmup"
    )
  }

  // MARK: Records

  private func record(_ routings: [RoutingReport]) {
    for routing in routings {
      let layer = routing.block
      let total = Double(max(routing.load.reduce(0, +), 1))
      recorder.record(MetricName.expertShare, routing.load.map { Double($0) / total }, layer: layer)
      recorder.record(MetricName.loadMaxOverMean, routing.imbalance, layer: layer)
      recorder.record("dead_experts", Double(routing.dead), layer: layer)
      recorder.record("drop_fraction", routing.dropped, layer: layer)
      recorder.record("router_entropy", routing.entropy, layer: layer)
      for (name, value) in routing.auxiliary.sorted(by: { $0.key < $1.key }) {
        recorder.record("aux_\(name)", Double(value), layer: layer)
      }
    }
  }

  private func recordSpeed(_ seconds: Double) {
    recorder.record("\(task.unit)_per_s", Double(task.unitsPerStep) / seconds)
    recorder.record("mfu", task.flopsPerStep / seconds / peak)
  }

  private func show(_ progress: ProgressLine, step: Int) {
    let loss = HumanFormat.fixed(recorder.current(MetricName.trainLoss) ?? .nan, 4)
    if let accuracy = recorder.current(MetricName.trainTop1) {
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

  private func evaluate(_ step: Int, _ progress: ProgressLine) throws -> Evaluation {
    let evaluation = try task.evaluate(progress: nil)
    recorder.record(MetricName.validationLoss, evaluation.loss)
    for (name, value) in evaluation.metrics { recorder.record("val_\(name)", value) }
    var text = "step \(step)  val loss \(HumanFormat.fixed(evaluation.loss, 4))"
    for headline in task.headlines {
      guard let value = evaluation[headline.metric] else { continue }
      let shown = headline.isShare ? HumanFormat.percent(value) : HumanFormat.fixed(value, 3)
      text += "  \(headline.label) \(shown)"
    }
    progress.note(text)
    if let value = evaluation[task.bestMetric.name], value.isFinite {
      let isBetter =
        best.map { task.bestMetric.higherIsBetter ? value > $0.value : value < $0.value } ?? true
      if isBetter { best = (value, step) }
    }
    return evaluation
  }

  private func save(_ step: Int) throws -> String {
    // Metrics first: a resumed run must find every step up to its checkpoint.
    try recorder.synchronize()
    let file = folder.checkpointFile(step: step)
    let info = CheckpointInfo(
      task: task.name, preset: preset, config: config, step: step, best: best,
      vocabulary: task.vocabulary, attachments: task.attachments, backend: engine.backendDescription)
    try TrainingCheckpoint.save(info, model: task.model, optimizer: optimizer, to: file)
    if best?.step == step { try folder.markBest(step: step) }
    folder.prune(keeping: config.checkpoint.keep)
    return file
  }
}
