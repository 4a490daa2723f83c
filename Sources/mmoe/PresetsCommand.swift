import ArgumentParser
import MMoEConfig
import MMoEReport
import MMoERuns
import MMoETrain

struct PresetsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "presets", abstract: "List the presets with what was measured with them.")

  func run() throws {
    StandardStream.output.write(try PresetListing(ProjectHome.presets).text())
  }
}

struct ConfigCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "config", abstract: "List every key of the configuration, or a preset's values.")

  @Option(help: "Show this preset's values instead of the defaults.") var preset: String?

  func run() throws {
    var config = RunConfig()
    if let preset { try RunConfig.table.apply(ProjectHome.presets.preset(preset), to: &config) }
    let output = StandardStream.output
    output.write(RunConfig.table.help(defaults: config, width: output.width))
  }
}
