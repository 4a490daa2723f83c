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
  @Option(help: "\(TaskOption.names); by default that of the run, preset, checkpoint or initial weights that is named.")
  var task: String?

  static let names = alternatives(TaskKind.allCases.map(\.name))
}

struct DataOption: ParsableArguments {
  @Option(
    help: """
      For \(TaskKind.allCases.map { "\($0.name) \($0.dataForm)" }.joined(separator: "; for ")); - for the embedded data. By \
      default what the run, checkpoint or study names.
      """)
  var data: String?
}

struct VariantOption: ParsableArguments {
  @Option(help: "The MoE variant: \(MoEVariant.listing).") var moe: String?

  /// The same as a setting of the configuration.
  var settings: [String] { moe.map { ["moe.variant=\($0)"] } ?? [] }
}

/// A checkpoint to make another one of.
struct CheckpointArgument: ParsableArguments {
  @Argument(help: "A checkpoint or a run's folder.") var checkpoint: String
}

/// A checkpoint to look into, without which the latest is.
struct LatestCheckpointArgument: ParsableArguments {
  @Argument(help: "A checkpoint or a run's folder; by default the latest run.") var checkpoint: String?
}

/// A checkpoint to use.
struct CheckpointOption: ParsableArguments {
  @Option(help: "A checkpoint, or a run's folder (its best one); by default the latest run that the command can use.")
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
  static let width: ArgumentHelp = "Model width."
  static let newFolder: ArgumentHelp = "The folder to make."
  static let newCheckpoint: ArgumentHelp = "The checkpoint to write."
  static let newCheckpointOfWeights: ArgumentHelp = "The checkpoint to write; it has no optimizer state."
  static let tokenizer: ArgumentHelp = "A folder with vocab.json and merges.txt (GPT-2's files), or a tokenizer.json."
}
