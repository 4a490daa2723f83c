import Foundation
import MMoEConfig
import MMoEData
import MMoEFiles
import MMoEModels
import MMoEParallel
import MMoEReport
import MMoETensor
import MMoETrain
import MMoEWeights

/// `mmoe train`: from the command line's words to a trained model and a report.
public struct TrainSession {
  /// What the command line said; nil where it said nothing.
  public struct Options: Sendable {
    /// Nil where a checkpoint, a preset or initial weights say it.
    public var task: String?
    public var preset: String?
    /// `-` for the data that comes with the project; nil for that too, and for a resumed run's own.
    public var data: String?
    public var out: String?
    /// A checkpoint, a run's folder or a folder of Hugging Face's layout whose weights and shape a new run starts from.
    public var initFrom: [String] = []
    /// Which of those weights go where; see `TransferRules`.
    package var map: [String] = []
    /// Settings in order: the flags that stand for keys first, then `--set`.
    public var settings: [String] = []
    /// Empty: the run in `out`, which begins where it has no checkpoint yet; without `out` the latest run, of the task if given.
    public var resume: String?
    package var isDryRun = false
    /// Where a timeline of some steps goes.
    package var trace: String?
    public var printsJSON = false
    /// Whether standard output has a JSON line for every evaluation, every checkpoint and the end; see `EventLines`.
    package var printsEvents = false
    /// What a study knows the run by, for the run's record.
    package var configuration: String?
    public init() {}
  }

  private let options: Options
  private let sinks: CommandSinks

  public init(_ options: Options, _ sinks: CommandSinks = .standard) { (self.options, self.sinks) = (options, sinks) }

  /// How a training ended.
  package struct Result {
    /// The process's exit status.
    package var status: Int32 = 0
    /// Nil where nothing was trained.
    package var outcome: Trainer.Outcome?
  }

  /// Trains and reports.
  ///
  /// - Returns: the process's exit status: 0, or 130 when a signal stopped the run after it was saved.
  /// - Throws: the first thing that is wrong, one line each.
  public func run() throws -> Int32 { try result().status }

  package func result() throws -> Result {
    try CommandRun.onRanks(sinks, printsJSON: options.printsJSON || options.printsEvents) { run in
      do { return try train(run) } catch {
        if options.printsEvents { EventLines(run.output, steps: nil).end(failure: error) }
        throw error
      }
    }
  }

  private func train(_ run: CommandRun) throws -> Result {
    let (world, human) = (run.world, run.human)
    let began = monotonicSeconds()
    let (checkpoint, passedOver) = try checkpointToResume(run)
    let initial = try checkpoint == nil && !options.initFrom.isEmpty ? InitialWeights(options.initFrom) : nil
    let task = try task(checkpoint, initial)
    let named = try run.firstRankFirst { try options.data.map { try NamedImages.path($0, sink: human) } }
    let given = named == DataChoice.builtIn ? nil : named
    var presetName = checkpoint?.info.preset ?? options.preset ?? initial?.preset(for: task)
    let chosen = try presetName == nil ? given.flatMap(task.choosePreset) : nil
    presetName = presetName ?? chosen?.preset
    if let chosen { human.line(chosen.reason) }
    let preset = presetName ?? task.defaultPreset
    let choice = try checkpoint.map { try DataChoice(named, for: $0) }
    var config = try checkpoint.map(resumedConfig) ?? newConfig(task, preset, initial, chosen?.settings ?? [])
    try choice?.settle(&config)
    // What is known from the configuration alone is said before data is looked for.
    try config.validate()
    try run.requireRanks(for: config.parallel)
    try task.requireModel(config, preset: preset)
    let inherited = try checkpoint?.info.config ?? inheritedConfig(task, initial)
    try config.requireUsed(beyond: inherited) { place(of: $0, preset: preset) }
    try config.requirePlaces()
    let division = RunDivision(world)
    if options.isDryRun {
      try report(DryRun(task: task, preset: preset, config: config, division: division, data: given), run)
      return Result()
    }
    try MemoryBounds().require(config, division)
    let engine = try run.engine(config.tensor)
    world.timeout = config.parallel.timeout
    let path = choice.map(\.path) ?? given
    let data = try run.firstRankFirst { [config] in
      try task.openData(
        path, config, checkpoint: checkpoint, attachments: initial?.attachments(options.settings), training: true, human
      )
    }
    if checkpoint == nil { data.adapt(&config, human) }
    var origin = checkpoint?.info.origin ?? RunOrigin()
    origin.data = try data.parts(training: true)
    try choice?.requireSame(origin.data, data: data.path)
    // The first rank alone writes them down.
    let weights = try world.rank == 0 ? initial?.record(options.initFrom) ?? [] : []
    if checkpoint == nil { origin.initialWeights = weights.map(\.digest) }
    // Disks may keep some ranks waiting for others.
    if world.size > 1 { world.barrier(patiently: true) }

    let trace = options.trace.map { TraceRecorder(file: $0, engine: engine, world: world) }
    let team = try run.team(config.parallel, config.model, engine)
    let job = try data.makeJob(config, training: true, loadsWeights: checkpoint != nil, engine: engine, team: team)
    try initial?.fill(
      job, config, map: options.map, alone: team == nil, data: data, engine: engine, human)
    team?.requireSame("configuration", RunConfig.table.yaml(config))
    let name = TrainSession.name(ofPreset: preset)
    team?.requireSame("data", TrainSession.describe(job, origin))
    var folder: RunFolder?
    if world.rank == 0 {
      let placement = RunPlacement(
        out: options.out, resume: options.resume, name: RunPlacement.name(task: task.name, preset: name, config),
        sink: human)
      var branch: RunRecord.Branch?
      if let checkpoint {
        (folder, branch) = try placement.folder(goingOnFrom: checkpoint, passedOver: passedOver)
      } else {
        folder = try placement.begin()
      }
      let training = RunRecord.Training(
        task: task.name, preset: name, config: config, named: path, data: data.path, origin: origin, weights: weights,
        options: (options.data, options.initFrom, options.configuration))
      var record = try RunRecord(training, goingOnFrom: checkpoint, sink: human)
      if branch != nil { record.branch = branch }
      if let checkpoint {
        let notes = record.rankNotes(config, ranks: world.size, folder: FilePath.folder(of: checkpoint.file))
        for note in notes { human.line(note) }
      }
      record.commands.append(
        RunRecord.Command(
          command: ProgramIdentity.command(ranks: world.size), started: Date().ISO8601Format(),
          program: ProgramIdentity.name, firstStep: checkpoint?.info.step ?? 0, ranks: world.size,
          machine: ProgramIdentity.machine))
      try folder?.write(record, config)
    }
    if let team {
      human.line(
        "\(world.size) ranks, experts over \(team.grid.expertGroup.size), \(config.parallel.overlap) overlap, \(config.parallel.wire.rawValue) rows, \(ParallelProcess.library)"
      )
    }
    human.line(
      "\(task.name): \(name), \(config.model.moe.variant), \(HumanFormat.count(try ModelCosts(config.model).parameters)) parameters, data \(data.path), \(engine.threads) threads, \(engine.backendDescription), \(engine.dtype.rawValue) products"
    )
    if let folder { human.line("run folder \(folder.path)") }
    if let checkpoint { human.line("resuming after step \(checkpoint.info.step)") }

    Interrupt.install()
    let events =
      options.printsEvents ? EventLines(run.output, steps: config.totalSteps(perEpoch: job.stepsPerEpoch)) : nil
    let trainer = try Trainer(
      job, preset: name, config: config, origin: origin, engine: engine, folder: folder, resuming: checkpoint,
      team: team, trace: trace, sink: human, follow: { events?.write($0) })
    let outcome = try trainer.run()
    if let trace {
      let title = "\(name) \(config.model.moe.variant) \(config.parallel.overlap)"
      try trace.write(title: title, notes: team?.overlapReport ?? [])
      human.line("trace       \(trace.file)")
    }
    let plot = folder.flatMap { drawPlot($0, "\(name) \(config.model.moe.variant)", human) }
    let report = TrainReport(
      outcome: outcome, job: job, config: config, preset: name, data: data.path, plot: plot,
      page: folder.flatMap { writePage($0, human) },
      seconds: monotonicSeconds() - began, ready: outcome.began - began, engine: engine)
    report.write(to: human)
    if options.printsJSON { run.output.line(JSONValue.object(report.json).line) }
    events?.end(outcome, report.json)
    return Result(status: outcome.isInterrupted ? 130 : 0, outcome: outcome)
  }

  /// A preset without the place of its file.
  private static func name(ofPreset preset: String) -> String {
    preset.hasSuffix(".yaml") ? FilePath.stem(of: preset) : preset
  }

  /// What all ranks must find the same.
  private static func describe(_ job: any TrainingTask, _ origin: RunOrigin) -> String {
    (["steps per epoch: \(job.stepsPerEpoch)"]
      + DatasetSplit.allCases.map { "\($0.rawValue) part: \(origin.data[$0]?.summary ?? "none")" }
      + job.vocabulary.sorted { $0.key < $1.key }.map { "\($0.key): \($0.value.joined(separator: " "))" })
      .joined(separator: "\n")
  }

  // MARK: Configuration

  /// - Parameter chosen: what the choice of the preset has set.
  func newConfig(_ task: TaskKind, _ preset: String, _ initial: InitialWeights?, _ chosen: [String]) throws
    -> RunConfig
  {
    var config = RunConfig()
    // A run that starts from a checkpoint takes its configuration from there, whether or not its preset is at hand.
    if options.preset != nil || initial?.preset(for: task) == nil {
      try RunConfig.table.apply(ProjectHome.presets.preset(preset), to: &config)
    }
    try initial?.apply(to: &config, task: task, hasPreset: options.preset != nil)
    let before = config.optimizer
    try RunConfig.table.set(chosen + options.settings, in: &config)
    try config.forgetSettings(of: before)
    return config
  }

  /// What a new run has from the weights that it starts from.
  private func inheritedConfig(_ task: TaskKind, _ initial: InitialWeights?) throws -> RunConfig {
    var config = RunConfig()
    try initial?.apply(to: &config, task: task, hasPreset: options.preset != nil)
    return config
  }

  /// Where a key of the configuration was set.
  func place(of key: String, preset: String) -> String {
    let names = options.settings.map { RunConfig.table.presentName(of: String($0.prefix { $0 != "=" })) }
    if names.contains(key) { return "--set" }
    for document in (try? ProjectHome.presets.preset(preset))?.documents.reversed() ?? [] {
      if let setting = document.settings.last(where: { RunConfig.table.presentName(of: $0.key) == key }) {
        return "\(document.file):\(setting.line)"
      }
    }
    return "preset \(preset)"
  }

  /// The task that the command names, or what it trains from says.
  ///
  /// - Throws: `RunError` when nothing says it, or a resumed run has another.
  private func task(_ checkpoint: LoadedCheckpoint?, _ initial: InitialWeights?) throws -> TaskKind {
    if let name = options.task {
      let task = try TaskKind(named: name)
      try checkpoint?.require(task: task.name)
      return task
    }
    if let checkpoint { return try TaskKind(named: checkpoint.info.task) }
    if let preset = options.preset {
      var config = RunConfig()
      try RunConfig.table.apply(ProjectHome.presets.preset(preset), to: &config)
      return try TaskKind(training: config.model.kind)
    }
    if let initial { return try TaskKind(training: initial.source.model.kind) }
    throw RunError(
      "--task", found: "not given, and there is no checkpoint yet that says it",
      remedy: "give --task, one of \(alternatives(TaskKind.allCases.map(\.name)))")
  }

  /// - Returns: nil for a run that begins, also with `--resume` where `--out` has no checkpoint yet; and the later files that
  ///   cannot be loaded, on the first rank.
  private func checkpointToResume(
    _ run: CommandRun
  ) throws -> (checkpoint: LoadedCheckpoint?, passedOver: [String]) {
    guard let name = options.resume else { return (nil, []) }
    var chosen: Resumption?
    let file = try run.agreed {
      // One command for the first start and for every one after it.
      if name.isEmpty, let out = options.out {
        chosen = RunFolder.content(of: out) == .checkpoints ? try RunFolder.latest(in: out, option: "--resume") : nil
      } else {
        chosen = try RunFolder.resumption(name, task: options.task, under: RunFolder.home)
      }
      for problem in chosen?.passedOver ?? [] { run.human.line("passed over \(problem.reason)") }
      return chosen?.file ?? ""
    }
    guard !file.isEmpty else { return (nil, []) }
    return (try LoadedCheckpoint(file), chosen?.passedOver.map(\.file) ?? [])
  }

  /// The checkpoint's configuration with those settings of the command line that a resumed run may change.
  private func resumedConfig(_ checkpoint: LoadedCheckpoint) throws -> RunConfig {
    var config = checkpoint.info.config
    if let preset = options.preset,
      TrainSession.name(ofPreset: preset) != TrainSession.name(ofPreset: checkpoint.info.preset)
    {
      throw RunError(
        "--preset \(preset)", found: "\(checkpoint.file) was trained with \(checkpoint.info.preset)",
        remedy: "a resumed run keeps its preset")
    }
    try RunConfig.table.set(options.settings, in: &config)
    // They followed the data when the run began, whatever its command says.
    config.model.vision.classes = checkpoint.info.config.model.vision.classes
    config.model.text.vocabulary = checkpoint.info.config.model.text.vocabulary
    let changes = RunConfig.table.differences(checkpoint.info.config, config)
    var changeable = RunConfig.changeableOnResume
    // Content is compared instead, where it was recorded.
    if !checkpoint.info.origin.data.isEmpty { changeable.formUnion(RunConfig.dataPaths.map(\.name)) }
    if let path = config.tokenizer.path, changes.contains(where: { $0.key == "tokenizer.path" }),
      try [TokenizerFiles.load(path).fingerprint] == checkpoint.info.vocabulary["tokenizer"]
    {
      changeable.insert("tokenizer.path")
    }
    if let change = changes.first(where: { !changeable.contains($0.key) }) {
      throw RunError(
        field: "\(change.key)", found: "\(change.second), but \(change.first) in \(checkpoint.file)",
        remedy: "a resumed run cannot change it, start a new one")
    }
    return config
  }

  // MARK: Reports

  private func report(_ dryRun: DryRun, _ run: CommandRun) throws {
    run.human.write(try dryRun.text())
    if options.printsJSON { run.output.line(try dryRun.json().line) }
  }

  private func writePage(_ folder: RunFolder, _ human: any TextSink) -> String? {
    do {
      return try RunPage(folder.path).write()
    } catch {
      human.line("no report: \(error)")
      return nil
    }
  }

  /// A plot is a help, not a result: without gnuplot the run still counts.
  private func drawPlot(_ folder: RunFolder, _ title: String, _ human: any TextSink) -> String? {
    do {
      let history = try MetricsHistory(file: folder.path + "/" + Recorder.fileName)
      try TrainingPlot.write(history, title: title, to: folder.plotFile)
      return folder.plotFile
    } catch {
      human.line("no plot: \(error)")
      return nil
    }
  }
}
