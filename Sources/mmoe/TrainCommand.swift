import ArgumentParser
import MMoEConfig
import MMoEData
import MMoEParallel
import MMoEReport
import MMoERuns
import MMoETrain

struct TrainCommand: RunsOnRanks {
  static let configuration = CommandConfiguration(
    commandName: "train", abstract: "Train a model, or go on with a run.",
    discussion: """
      Without --data a new run uses the task's embedded data set, a resumed one its own. Exit status: 0, 1 failure, 64 usage, 130 interrupted and \
      saved.
      """)

  @OptionGroup var work: TaskOption
  @Option(help: HelpText.preset, completion: HelpText.presets) var preset: String?
  @OptionGroup var set: DataOption
  @Option(help: "The run's folder.") var out: OutputPath?
  @Option(help: "The run's name, for the folder \(RunFolder.home)/NAME.") var name: String?
  @Option(
    help:
      "Start from a checkpoint, a run's folder, or one with config.json and model.safetensors (GPT-2, Llama, CLIP, …); vision=PATH and language=PATH for a model of both.",
    completion: .file())
  var initFrom: [String] = []
  @Option(help: "With --init-from: 'TARGET = SOURCE' (patterns of parameter paths), or a file of them; repeatable.")
  var map: [String] = []
  @Option(help: "Keep these parameters: a pattern, or \(FineTuneConfig.words); repeatable.")
  var freeze: [String] = []
  @Option(help: "Train only these parameters, named as above (head = linear probe); repeatable.")
  var trainOnly: [String] = []
  @OptionGroup var variant: VariantOption
  @OptionGroup var daily: DailyOptions
  @Option(help: "Optimizer steps.") var steps: Int?
  @Option(help: "Passes over the data.") var epochs: Int?
  @Option(help: "Seed of everything random.") var seed: Int?
  @OptionGroup var compute: ThreadsOption
  @OptionGroup var team: TeamOption
  @Option(help: "How the exchange between ranks overlaps: \(OverlapStrategy.forms).") var overlap: String?
  @Option(help: "Write a timeline of some steps, of all ranks, for Perfetto or chrome://tracing.") var trace:
    OutputPath?
  @Option(
    help: "At an unreadable image: \(alternatives(BadImagePolicy.allCases.map(\.rawValue))).",
    completion: .list(BadImagePolicy.allCases.map(\.rawValue)))
  var onBadImage: String?
  @Option(
    defaultAsFlag: "",
    help:
      "Go on with a run's folder or checkpoint; without a value with --out, which begins where it has no checkpoint yet, else with the latest run.",
    completion: .file())
  var resume: String?
  @OptionGroup var overrides: SettingsOption
  @Flag(help: "Print parameters, memory, FLOPs and what --data holds; train nothing.") var dryRun = false
  @OptionGroup var format: JSONOption
  @Flag(help: "Write a JSON line on standard output for every evaluation, every checkpoint and the end.")
  var jsonEvents = false

  func validate() throws {
    if let name {
      if out != nil { throw ValidationError("--name and --out both say where the run goes; give one of them") }
      if name.isEmpty || name.contains("/") || name.hasPrefix(".") {
        throw ValidationError(
          "--name is '\(name)', expected a name without / and not beginning with a dot; --out takes paths")
      }
    }
    _ = try settings
  }

  /// What options and --set make of the configuration.
  private var settings: [String] {
    get throws {
      try overrides.following(
        daily.keys + [
          KeyOption("--moe", "moe.variant", variant.moe), KeyOption("--threads", "tensor.threads", compute.threads),
          KeyOption("--expert-parallel", "parallel.expert", team.expertParallel),
          KeyOption("--steps", "train.steps", steps),
          KeyOption("--epochs", "train.steps", epochs.map { _ in "none" }),
          KeyOption("--epochs", "train.epochs", epochs),
          KeyOption("--seed", "seed", seed), KeyOption("--on-bad-image", "data.on_bad_image", onBadImage),
          KeyOption("--freeze", "finetune.freeze", freeze.isEmpty ? nil : freeze.joined(separator: ",")),
          KeyOption("--train-only", "finetune.train_only", trainOnly.isEmpty ? nil : trainOnly.joined(separator: ",")),
          KeyOption("--overlap", "parallel.overlap", overlap),
        ])
    }
  }

  func run() throws {
    if steps != nil && epochs != nil {
      throw ValidationError("give either --steps or --epochs")
    }
    // An unset variable of a shell must not be taken for the option without a value.
    let words = CommandLine.arguments
    if words.contains("--resume=") || zip(words, words.dropFirst()).contains(where: { $0 == "--resume" && $1.isEmpty })
    {
      throw ValidationError("--resume is given an empty name; name a run, or give no value for the latest one")
    }
    // With --out the run begins from those weights where it has no checkpoint yet.
    if let resume, !initFrom.isEmpty, !resume.isEmpty || (out == nil && name == nil) {
      throw ValidationError("give either --resume or --init-from: a resumed run has its weights")
    }
    if work.task == nil, preset == nil, resume == nil, initFrom.isEmpty {
      throw ValidationError("nothing says what to train; give --task \(TaskOption.names)")
    }
    if jsonEvents && (format.json || dryRun) {
      throw ValidationError("--json-events ends with the line of --json, and has none with --dry-run; give one of them")
    }
    if initFrom.isEmpty && !map.isEmpty {
      throw ValidationError("--map says what to take from a source; give --init-from too")
    }
    if !dryRun { OutputLoss.outlive() }
    let place = out ?? name.map { OutputPath(RunFolder.home + "/" + $0) }
    let (outFolder, traceFile) = (try place?.folder(name == nil ? "--out" : "--name"), try trace?.file("--trace"))
    try team.start.launch()
    var options = TrainSession.Options()
    options.trace = traceFile
    options.task = work.task
    options.preset = preset
    options.data = set.data
    options.out = outFolder
    options.initFrom = initFrom
    options.map = map
    options.resume = resume
    options.isDryRun = dryRun
    options.printsJSON = format.json
    options.printsEvents = jsonEvents
    options.settings = try settings
    let status = try TrainSession(options).run()
    if status != 0 { throw ExitCode(status) }
  }
}
