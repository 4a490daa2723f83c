import ArgumentParser
import MMoEConfig
import MMoEData
import MMoEModels
import MMoERuns
import MMoETrain

// Options that several commands have: each is declared here, once. `ArchitectureTests` holds this.

struct ThreadsOption: ParsableArguments {
  @Option(help: "Computing threads; all cores by default.") var threads: Int?

  /// The same as a setting of the configuration.
  var settings: [String] { threads.map { ["tensor.threads=\($0)"] } ?? [] }
}

struct SettingsOption: ParsableArguments {
  @Option(name: .customLong("set"), help: "key=value of the configuration (`mmoe config`); repeatable.")
  var settings: [String] = []

  /// These settings after those of options that stand for keys.
  ///
  /// - Throws: `ValidationError` where a key is given both ways.
  func following(_ options: [KeyOption]) throws -> [String] {
    let keys = Set(settings.map { RunConfig.table.presentName(of: String($0.prefix { $0 != "=" })) })
    let given = options.filter { $0.value != nil }
    if let twice = given.first(where: { keys.contains($0.key) }) {
      throw ValidationError("\(twice.option) and --set \(twice.key) set the same; give one of them")
    }
    return given.map { "\($0.key)=\($0.value ?? "")" } + settings
  }
}

/// An option that stands for a key of the configuration.
struct KeyOption {
  let option, key: String
  /// What was given for it.
  let value: String?

  init(_ option: String, _ key: String, _ value: (some CustomStringConvertible)?) {
    (self.option, self.key, self.value) = (option, key, value.map { "\($0)" })
  }

  /// Help for such an option: what the key means, and its name.
  static func help(_ key: String) -> ArgumentHelp {
    let summary = RunConfig.table.entries.first { $0.key == key }?.summary ?? ""
    return ArgumentHelp("\(summary.prefix(1).uppercased() + summary.dropFirst()) (\(key)).")
  }
}

/// Short options for the keys that are set every day.
struct DailyOptions: ParsableArguments {
  @Option(help: KeyOption.help("optimizer.lr")) var lr: Double?
  @Option(help: KeyOption.help("data.batch")) var batch: Int?
  @Option(help: KeyOption.help("optimizer.weight_decay")) var wd: Double?

  var keys: [KeyOption] {
    [
      KeyOption("--lr", "optimizer.lr", lr), KeyOption("--batch", "data.batch", batch),
      KeyOption("--wd", "optimizer.weight_decay", wd),
    ]
  }
}

/// For commands whose text is followed by its figures.
struct JSONOption: ParsableArguments {
  @Flag(help: "End with one line of JSON on standard output.") var json = false
}

/// For commands that print either.
struct JSONOnlyOption: ParsableArguments {
  @Flag(help: "Print JSON instead of text: one line, or one for each input.") var json = false
}

struct TaskOption: ParsableArguments {
  @Option(
    help: "\(TaskOption.names); by default that of the run, preset, checkpoint or initial weights that is named.",
    completion: completion)
  var task: String?

  static let names = alternatives(TaskKind.allCases.map(\.name))
  static let completion = CompletionKind.list(TaskKind.allCases.map(\.name))
}

struct DataOption: ParsableArguments {
  @Option(
    help: """
      For \(TaskKind.allCases.map { "\($0.name) \($0.dataForm)" }.joined(separator: "; for ")); - for the embedded data. By \
      default what the run, checkpoint or study names.
      """, completion: .file())
  var data: String?
}

struct VariantOption: ParsableArguments {
  @Option(
    help: "The MoE variant: \(MoEVariant.listing).", completion: .list(["dense"] + MoEVariant.all.map(\.name)))
  var moe: String?

  /// The same as a setting of the configuration.
  var settings: [String] { moe.map { ["moe.variant=\($0)"] } ?? [] }
}

/// A checkpoint to make another one of.
struct CheckpointArgument: ParsableArguments {
  @Argument(help: "A checkpoint or a run's folder.", completion: .file()) var checkpoint: String
}

/// A checkpoint to look into, without which the latest is.
struct LatestCheckpointArgument: ParsableArguments {
  @Argument(help: "A checkpoint or a run's folder; by default the latest run.", completion: .file())
  var checkpoint: String?
}

/// A checkpoint to use.
struct CheckpointOption: ParsableArguments {
  @Option(
    help: "A checkpoint, or a run's folder (its best one); by default the latest run that the command can use.",
    completion: .file())
  var checkpoint: String?
}

struct RanksOption: ParsableArguments {
  @Option(help: "Start so many ranks under mpirun on this host.") var ranks: Int?

  func validate() throws {
    if let ranks, !(1...4096).contains(ranks) { throw ValidationError("--ranks is \(ranks), expected 1 to 4096") }
  }

  /// Where ranks are to be started, starts them and waits for their end.
  ///
  /// - Throws: their exit status, since this process is none of them.
  func launch() throws {
    if let ranks, let status = try CommandRun.launch(ranks: ranks) { throw ExitCode(status) }
  }
}

/// Ranks that share out a model's experts.
struct TeamOption: ParsableArguments {
  @OptionGroup var start: RanksOption
  @Option(help: "Ranks that share out the experts; by default as many as divide both.") var expertParallel: Int?

  /// The same as a setting of the configuration.
  var settings: [String] { expertParallel.map { ["parallel.expert=\($0)"] } ?? [] }

  func validate() throws {
    if let expertParallel, expertParallel < 1 {
      throw ValidationError("--expert-parallel is \(expertParallel); at least 1 is needed")
    }
  }
}

/// Words for arguments and options that commands declare with defaults of their own.
enum HelpText {
  static let preset: ArgumentHelp = "A preset's name (`mmoe presets`) or a YAML file."
  /// The names of presets.
  static let presets = CompletionKind.list(ProjectHome.presets.names)
  static let width: ArgumentHelp = "Model width."
  static let newFolder: ArgumentHelp = "The folder to make."
  static let newCheckpoint: ArgumentHelp = "The checkpoint to write."
  static let newCheckpointOfWeights: ArgumentHelp = "The checkpoint to write; it has no optimizer state."
  static let tokenizer: ArgumentHelp = "A folder with vocab.json and merges.txt (GPT-2's files), or a tokenizer.json."
}
