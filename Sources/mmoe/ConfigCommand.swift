import ArgumentParser
import MMoEConfig
import MMoEReport
import MMoERuns

struct ConfigCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "config", abstract: "List the keys of the configuration, for --set key=value and YAML files.")

  @Argument(
    help: "Only keys with this in their names, such as lr; with * for any characters the whole name, such as 'moe.*'.",
    completion: .list(RunConfig.table.entries.map(\.key)))
  var pattern: String?
  @Option(
    name: .customLong("task"), help: "Only the keys that this task uses, beside the values of its preset.",
    completion: TaskOption.completion)
  var user: String?
  @Option(help: "Also show this preset's values.", completion: HelpText.presets) var preset: String?

  func run() throws {
    var options = ConfigListing.Options()
    (options.pattern, options.task, options.preset) = (pattern, user, preset)
    StandardStream.output.write(try ConfigListing(options).text(for: StandardStream.output))
  }
}
