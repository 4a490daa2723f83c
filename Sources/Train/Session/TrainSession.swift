import Foundation
import MMoEFiles
import MMoEModels
import MMoEParallel
import MMoETensor

/// `mmoe train`: from the command line's words to a trained model and a report.
public struct TrainSession {
  /// What the command line said; nil where it said nothing.
  public struct Options: Sendable {
    public var task = ImageClassification.taskName
    public var preset: String?
    public var data: String?
    public var out: String?
    /// A checkpoint, a run's folder or a folder of Hugging Face's layout whose weights and shape a new run starts from.
    public var initFrom: [String] = []
    /// Which of those weights go where; see `TransferRules`.
    public var map: [String] = []
    /// Settings in order: the flags that stand for keys first, then `--set`.
    public var settings: [String] = []
    /// Empty: the run in `out`, which begins where it has no checkpoint yet; without `out` the task's latest run.
    public var resume: String?
    public var isDryRun = false
    /// Where a timeline of some steps goes.
    public var trace: String?
    public var printsJSON = false
    public init() {}
  }

  /// Where runs go without `--out`.
  public static let runsFolder = "checkpoints"

  private let options: Options
  private let output: any TextSink
  /// Human text: beside `--json` it leaves standard output to the JSON line.
  private let human: any TextSink

  public init(
    _ options: Options, output: any TextSink = StandardStream.output,
    errors: any TextSink = StandardStream.error
  ) {
    self.options = options
    self.output = output
    human = options.printsJSON ? errors : output
  }

  /// Trains and reports.
  ///
  /// - Returns: the process's exit status: 0, or 130 when a signal stopped the run after it was saved.
  /// - Throws: the first thing that is wrong, one line each.
  public func run() throws -> Int32 {
    guard ParallelProcess.isLaunched else {
      try ParallelProcess.requireRanks()
      return try train(in: Communicator.single())
    }
    let world = try Communicator.world(timeout: ParallelConfig().timeout)
    let status: Int32
    do {
      // One rank speaks; each says only what is wrong with itself.
      let session =
        world.rank == 0
        ? self : TrainSession(options, output: DiscardedText(), errors: DiscardedText())
      status = try session.train(in: world)
    } catch {
      ParallelProcess.stop(for: error)
    }
    ParallelProcess.finish()
    return status
  }

  private func train(in world: Communicator) throws -> Int32 {
    let began = monotonicSeconds()
    let task = try TaskKind(named: options.task)
    let (checkpoint, passedOver) = try checkpointToResume(task, world)
    let initial = try checkpoint == nil && !options.initFrom.isEmpty ? InitialWeights(options.initFrom) : nil
    let preset = checkpoint?.info.preset ?? options.preset ?? initial?.preset(for: task) ?? task.defaultPreset
    var config = try checkpoint.map(resumedConfig) ?? newConfig(task, preset, initial)
    // What is known from the configuration alone is said before data is looked for.
    try config.validate()
    try task.requireModel(config, preset: preset)
    let inherited = try checkpoint?.info.config ?? inheritedConfig(task, initial)
    try config.requireUsed(task, beyond: inherited) { place(of: $0, preset: preset) }
    try config.requirePlaces()
    if options.isDryRun {
      try report(DryRun(task: task, preset: preset, config: config))
      return 0
    }
    try DryRun.requireMemory(for: config)
    let engine = try config.tensor.makeEngine(threads: world.size > 1 ? world.coreShare() : nil)
    world.timeout = config.parallel.timeout
    // The first rank makes what is missing, the others find it.
    if world.rank > 0 { world.barrier(patiently: true) }
    let data = try task.openData(
      options.data, config, checkpoint: checkpoint, attachments: initial?.attachments(options.settings), human)
    if world.rank == 0 { world.barrier(patiently: true) }
    if checkpoint == nil { data.adapt(&config, human) }

    let trace = options.trace.map { TraceRecorder(file: $0, engine: engine, world: world) }
    let team =
      world.size > 1
      ? try RankTeam(world, config.parallel.options(), model: config.model, engine: engine) : nil
    let job = try data.makeJob(config, training: true, filled: checkpoint != nil, engine: engine, team: team)
    try initial?.fill(
      job, config, map: options.map, alone: team == nil, data: data, engine: engine, human)
    team?.requireSame("configuration", RunConfig.table.yaml(config))
    team?.requireSame("data", TrainSession.describe(job))
    let folder =
      world.rank == 0 ? try runFolder(preset, config, resuming: checkpoint, passedOver: passedOver) : nil
    if let team {
      human.line(
        "\(world.size) ranks, experts over \(team.grid.expertGroup.size), \(config.parallel.overlap) overlap, \(config.parallel.wire.rawValue) rows, \(ParallelProcess.library)"
      )
    }
    human.line(
      "\(task.rawValue): \(preset), \(config.model.moe.variant), \(HumanFormat.count(try ModelCosts(config.model).parameters)) parameters, data \(data.path), \(engine.threads) threads, \(engine.backendDescription), \(engine.dtype.rawValue) products"
    )
    if let folder { human.line("run folder \(folder.path)") }
    if let checkpoint { human.line("resuming after step \(checkpoint.info.step)") }

    Interrupt.install()
    let trainer = try Trainer(
      job, preset: preset, config: config, engine: engine, folder: folder, resuming: checkpoint,
      team: team, trace: trace, sink: human)
    let outcome = try trainer.run()
    if let trace {
      let title = "\(preset) \(config.model.moe.variant) \(config.parallel.overlap)"
      try trace.write(title: title, notes: team?.overlapReport ?? [])
      human.line("trace       \(trace.file)")
    }
    let plot = folder.flatMap { drawPlot($0, "\(preset) \(config.model.moe.variant)") }
    report(
      outcome, job, config: config, preset: preset, plot: plot,
      began: began, engine: engine)
    return outcome.isInterrupted ? 130 : 0
  }

  /// What all ranks must find the same.
  private static func describe(_ job: any TrainingTask) -> String {
    (["steps an epoch: \(job.stepsPerEpoch)"]
      + job.vocabulary.sorted { $0.key < $1.key }.map { "\($0.key): \($0.value.joined(separator: " "))" })
      .joined(separator: "\n")
  }

  /// Runs this command as several ranks under mpirun.
  ///
  /// - Returns: the exit status; nil where this process is a rank already.
  /// - Throws: `ParallelError` when mpirun cannot be started.
  public static func launch(ranks: Int) throws -> Int32? {
    guard !ParallelProcess.isLaunched else { return nil }
    var words = Array(CommandLine.arguments.dropFirst())
    if let at = words.firstIndex(of: "--ranks") { words.removeSubrange(at...min(at + 1, words.count - 1)) }
    words.removeAll { $0.hasPrefix("--ranks=") }
    return try RankLauncher.launch(ranks: ranks, arguments: words)
  }

  // MARK: Configuration

  private func newConfig(_ task: TaskKind, _ preset: String, _ initial: InitialWeights?) throws -> RunConfig {
    var config = RunConfig()
    // A run that starts from a checkpoint takes its configuration from there, whether or not its preset is at hand.
    if options.preset != nil || initial?.preset(for: task) == nil {
      try RunConfig.table.apply(ProjectHome.presets.preset(preset), to: &config)
    }
    try initial?.apply(to: &config, task: task, hasPreset: options.preset != nil)
    try RunConfig.table.set(options.settings, in: &config)
    return config
  }

  /// What a new run has from the weights that it starts from.
  private func inheritedConfig(_ task: TaskKind, _ initial: InitialWeights?) throws -> RunConfig {
    var config = RunConfig()
    try initial?.apply(to: &config, task: task, hasPreset: options.preset != nil)
    return config
  }

  /// Where a key of the configuration was set.
  private func place(of key: String, preset: String) -> String {
    if options.settings.contains(where: { $0.hasPrefix(key + "=") }) { return "--set" }
    for document in (try? ProjectHome.presets.preset(preset))?.documents.reversed() ?? [] {
      if let setting = document.settings.last(where: { $0.key == key }) { return "\(document.file):\(setting.line)" }
    }
    return "preset \(preset)"
  }

  /// - Returns: nil for a run that begins, also with `--resume` where `--out` has no checkpoint yet; and the later files that
  ///   cannot be loaded, on the first rank.
  private func checkpointToResume(
    _ task: TaskKind, _ world: Communicator
  ) throws -> (checkpoint: LoadedCheckpoint?, passedOver: [String]) {
    guard let run = options.resume else { return (nil, []) }
    var chosen: Resumption?
    if world.rank == 0 {
      // One command for the first start and for every one after it.
      if run.isEmpty, let out = options.out {
        chosen = RunFolder.content(of: out) == .checkpoints ? try RunFolder.latest(in: out, option: "--resume") : nil
      } else {
        chosen = try RunFolder.resumption(run, task: task.rawValue, under: TrainSession.runsFolder)
      }
      for problem in chosen?.passedOver ?? [] { human.line("passed over \(problem.reason)") }
    }
    let own = Array((chosen?.file ?? "").utf8)
    let file = String(decoding: world.broadcast(own, patiently: true), as: UTF8.self)
    guard !file.isEmpty else { return (nil, []) }
    let checkpoint = try LoadedCheckpoint(file)
    guard checkpoint.info.task == task.rawValue else {
      throw TrainError(
        "\(file): a checkpoint of the task \(checkpoint.info.task), expected \(task.rawValue); give --task \(checkpoint.info.task)"
      )
    }
    return (checkpoint, chosen?.passedOver.map(\.file) ?? [])
  }

  /// The checkpoint's configuration with those settings of the command line that a resumed run may change.
  private func resumedConfig(_ checkpoint: LoadedCheckpoint) throws -> RunConfig {
    var config = checkpoint.info.config
    if let preset = options.preset, preset != checkpoint.info.preset {
      throw TrainError(
        "--preset \(preset): \(checkpoint.file) was trained with \(checkpoint.info.preset); a resumed run keeps its preset"
      )
    }
    try RunConfig.table.set(options.settings, in: &config)
    // They followed the data when the run began, whatever its command says.
    config.model.vision.classes = checkpoint.info.config.model.vision.classes
    config.model.text.vocabulary = checkpoint.info.config.model.text.vocabulary
    let changes = RunConfig.table.differences(checkpoint.info.config, config)
    if let change = changes.first(where: { !RunConfig.changeableOnResume.contains($0.key) }) {
      throw TrainError(
        "\(change.key) is \(change.second), but \(change.first) in \(checkpoint.file); a resumed run cannot change it, start a new one"
      )
    }
    return config
  }

  private func runFolder(
    _ preset: String, _ config: RunConfig, resuming checkpoint: LoadedCheckpoint?, passedOver: [String]
  ) throws -> RunFolder {
    if let checkpoint {
      return try folder(goingOnFrom: checkpoint, passedOver: passedOver, config, name: folderName(preset, config))
    }
    guard let out = options.out else { return try RunFolder(numbered: folderName(preset, config)) }
    return try options.resume == nil ? RunFolder(creating: out) : RunFolder(beginningAnew: out)
  }

  /// The folder of the run that a checkpoint belongs to. A run that goes back to an older step is a branch, with a folder of
  /// its own, so that two histories are never mixed; so is one whose checkpoint lies alone, or that `--out` sends elsewhere.
  private func folder(
    goingOnFrom checkpoint: LoadedCheckpoint, passedOver: [String], _ config: RunConfig, name: String
  ) throws -> RunFolder {
    let (own, step) = (FilePath.folder(of: checkpoint.file), checkpoint.info.step)
    let isRun = RunFolder.content(of: own) == .checkpoints
    func later() -> [Int] {
      RunFolder.steps(in: own).filter {
        $0 > step && !passedOver.contains(RunFolder.checkpointFile(step: $0, in: own))
      }
    }
    noteParallel(config, own)
    if let out = options.out, !RunFolder.isSameFolder(out, own) {
      return try begin(RunFolder(beginningAnew: out), from: own, step: step)
    }
    // Its latest checkpoint was looked for unless one was named.
    let isNamed = options.resume == checkpoint.file
    guard isRun, later().isEmpty || !isNamed else {
      let branch = isRun ? "\(FilePath.named(own))-from-\(RunFolder.padded(step))" : name
      return try begin(RunFolder(numbered: branch), from: own, step: step)
    }
    let folder = try RunFolder(locking: own)
    if let newer = later().last {
      throw TrainError("\(own): another process has saved step \(newer) meanwhile; start again")
    }
    for file in folder.putAside(passedOver) { human.line("put aside as \(file)") }
    return folder
  }

  /// How ranks share the work is in no checkpoint; a run that had other settings of it is told so.
  private func noteParallel(_ config: RunConfig, _ folder: String) {
    var before = RunConfig()
    let file = FilePath.join(folder, RunFolder.configName)
    guard (try? RunConfig.table.apply(file: file, to: &before)) != nil else { return }
    for change in RunConfig.table.differences(before, config) where change.key.hasPrefix("parallel.") {
      human.line(
        "note: \(change.key) was \(change.first) in this run and is \(change.second) now; keep it with --set \(change.key)=\(change.first)"
      )
    }
  }

  private func begin(_ branch: RunFolder, from run: String, step: Int) throws -> RunFolder {
    try branch.takeMetrics(from: run)
    human.line("a branch after step \(step) of \(run), which stays as it is")
    return branch
  }

  private func folderName(_ preset: String, _ config: RunConfig) -> String {
    let formatter = DateFormatter()
    formatter.locale = Locale(identifier: "en_US_POSIX")
    formatter.dateFormat = "yyyyMMdd-HHmmss"
    let name = preset.hasSuffix(".yaml") ? FilePath.stem(of: preset) : preset
    return
      "\(TrainSession.runsFolder)/\(options.task)-\(formatter.string(from: Date()))-\(name)-\(config.model.moe.variant)"
  }

  // MARK: Reports

  private func report(_ dryRun: DryRun) throws {
    human.write(try dryRun.text())
    if options.printsJSON { output.line(try dryRun.json().line) }
  }

  /// A plot is a help, not a result: without gnuplot the run still counts.
  private func drawPlot(_ folder: RunFolder, _ title: String) -> String? {
    do {
      let history = try MetricsHistory(file: folder.path + "/" + Recorder.fileNames.json)
      try TrainingPlot.write(history, title: title, to: folder.plotFile)
      return folder.plotFile
    } catch {
      human.line("no plot: \(error)")
      return nil
    }
  }

  private func report(
    _ outcome: Trainer.Outcome, _ job: any TrainingTask, config: RunConfig, preset: String,
    plot: String?, began: Double, engine: Engine
  ) {
    let seconds = monotonicSeconds() - began
    for note in job.notes { human.line("note: \(note)") }
    human.line()
    if outcome.isInterrupted {
      human.line("interrupted and saved after step \(outcome.steps)")
    }
    if let evaluation = outcome.evaluation {
      let shown = job.headlines.compactMap { headline in
        evaluation[headline.metric].map {
          "\(headline.label) "
            + (headline.isShare ? HumanFormat.percent($0) : HumanFormat.fixed($0, 3))
        }
      }
      human.line(
        human.styled("validation  ", .bold) + shown.joined(separator: "   ")
          + "   loss \(HumanFormat.fixed(evaluation.loss, 4))")
    }
    if let best = outcome.best, best.step != outcome.steps {
      let value =
        job.bestMetric.isShare ? HumanFormat.percent(best.value) : HumanFormat.fixed(best.value, 4)
      let file = FilePath.join(FilePath.folder(of: outcome.checkpoint), RunFolder.bestName)
      let place = FileManager.default.fileExists(atPath: file) ? " (\(RunFolder.bestName))" : ", before this branch"
      human.line("best        \(value) after step \(best.step)\(place)")
    }
    human.line(
      "speed       \(HumanFormat.grouped(Int(outcome.unitsPerSecond))) \(job.unit)/s, waiting for data \(HumanFormat.percent(outcome.waitShare)), in \(HumanFormat.duration(seconds))"
    )
    human.line("checkpoint  \(outcome.checkpoint)")
    if let plot { human.line("plot        \(plot)") }
    let next =
      outcome.isInterrupted
      ? "mmoe train --task \(job.name) --resume \(ShellWord.quoted(FilePath.folder(of: outcome.checkpoint)))"
      : "mmoe eval --task \(job.name) --checkpoint \(ShellWord.quoted(outcome.checkpoint))"
    human.line("next        \(next)\(options.data.map { " --data \(ShellWord.quoted($0))" } ?? "")")
    guard options.printsJSON else { return }
    var fields: [String: JSONValue] = [
      "task": .string(job.name), "preset": .string(preset),
      "variant": .string(config.model.moe.variant), "steps": .int(outcome.steps),
      "seconds": .double(seconds), "ready_s": .double(outcome.began - began), "train_loss": .double(outcome.trainLoss),
      "val_loss": outcome.evaluation.map { .double($0.loss) } ?? .null,
      "checkpoint": .string(outcome.checkpoint), "plot": plot.map { .string($0) } ?? .null,
      "interrupted": .bool(outcome.isInterrupted), "threads": .int(engine.threads),
      "backend": .string(engine.backendDescription),
      "\(job.unit)_per_s": .double(outcome.unitsPerSecond),
      "data_wait_share": .double(outcome.waitShare), "seed": .int(config.seed),
      "peak_rss_mb": .double(peakResidentMegabytes()), "flops_per_step": .double(outcome.flopsPerStep),
    ]
    for (name, value) in outcome.evaluation?.metrics ?? [] { fields[name] = .double(value) }
    output.line(JSONValue.object(fields).line)
  }
}
