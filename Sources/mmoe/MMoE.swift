import ArgumentParser
import Foundation
import MMoEConfig
import MMoEReport
import MMoERuns
import MMoETrain

/// The command line: one file a subcommand, words in, library calls out.
@main struct MMoE: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "mmoe",
    abstract: "Train, evaluate and explain mixture-of-experts transformers.",
    // All of it takes a look at the checkout and at every library.
    version: CommandLine.arguments.contains("--version") ? ProgramIdentity.text() : ProgramIdentity.version,
    subcommands: [
      TrainCommand.self, EvalCommand.self, PredictCommand.self, RunsCommand.self,
      CheckpointCommand.self, GenerateCommand.self,
      CaptionCommand.self,
      RetrieveCommand.self, ModelCommand.self, PresetsCommand.self,
      ConfigCommand.self, DataCommand.self, BenchCommand.self, TraceCommand.self, SimulateCommand.self,
      ParityCommand.self, TokenizerCommand.self, StudyCommand.self, AnalyzeCommand.self, NotebookCommand.self,
      DoctorCommand.self,
    ])

  static func main() {
    Interrupt.begin()
    OutputLoss.watch()
    var status: Int32 = 0
    do {
      try ProcessLimits.require()
      var command = try parseAsRoot()
      // Help, which is a command of the parser's own, is for everybody.
      let isOurs = !String(reflecting: type(of: command)).hasPrefix("ArgumentParser.")
      if isOurs, !(command is any RunsOnRanks) { try RankRefusal.requireOneProcess() }
      try command.run()
    } catch let refusal as RankRefusal {
      status = ExitCode.validationFailure.rawValue
      if !refusal.description.isEmpty { StandardStream.error.line(refusal.description) }
    } catch {
      status = exitCode(for: error).rawValue
      // Help is an error of status 0.
      let (text, stream) = (hinted(fullMessage(for: error)), status == 0 ? StandardStream.output : .error)
      if !text.isEmpty { stream.line(text) }
    }
    Foundation.exit(OutputLoss.end(status))
  }
}

extension MMoE {
  /// The parser's message; where it does not know an option that other programs have for a key, also with that key.
  private static func hinted(_ message: String) -> String {
    guard let option = message.firstMatch(of: /Unknown option '--([\w.-]+)'/),
      let key = RunConfig.table.key(meantBy: String(option.1))
    else { return message }
    return message.replacing(option.0, with: "\(option.0); did you mean --set \(key)=VALUE?", maxReplacements: 1)
  }
}

extension OutputPath: ExpressibleByArgument {
  public init(argument: String) { self.init(argument) }
  public var defaultValueDescription: String { unchecked }
  public static var defaultCompletionKind: CompletionKind { .file() }
}

/// A command that several ranks run together; any other refuses to be started by mpirun or srun.
protocol RunsOnRanks: ParsableCommand {}
