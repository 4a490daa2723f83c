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
