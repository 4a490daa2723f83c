import ArgumentParser
import MMoETrain

/// The command line: one file a subcommand, words in, library calls out.
@main struct MMoE: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "mmoe",
    abstract: "Train, evaluate and explain mixture-of-experts transformers.",
    subcommands: [
      TrainCommand.self, EvalCommand.self, CheckpointCommand.self, GenerateCommand.self, CaptionCommand.self,
      RetrieveCommand.self, ModelCommand.self, PresetsCommand.self,
      ConfigCommand.self, DataCommand.self, BenchCommand.self, TraceCommand.self, SimulateCommand.self,
      ParityCommand.self, TokenizerCommand.self, StudyCommand.self, AnalyzeCommand.self, NotebookCommand.self,
    ])

  static func main() {
    do {
      try ProcessLimits.require()
    } catch {
      exit(withError: error)
    }
    main(nil)
  }
}
