import ArgumentParser
import MMoEReport
import MMoERuns
import MMoETrain

struct ModelCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "model", abstract: "What variants there are, and what a model is made of.",
    subcommands: [List.self, Describe.self])

  struct List: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Every MoE variant: its routes, and what their exchange can hide behind.")

    func run() throws { StandardStream.output.write(ModelDescription.variants()) }
  }

  struct Describe: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Shapes, parameters, FLOPs and memory of a preset; a drawing of one block pair.")

    @Argument(help: HelpText.preset, completion: HelpText.presets) var preset: String
    @OptionGroup var variant: VariantOption
    @OptionGroup var overrides: SettingsOption
    @Option(help: "Draw one block pair's data flow into this SVG file (Graphviz).") var svg: OutputPath?

    func run() throws {
      let drawing = try svg?.file("--svg")
      let description = try ModelDescription(
        preset: preset, settings: variant.settings + overrides.settings)
      StandardStream.output.write(try description.text())
      if let drawing { try description.drawPair(to: drawing) }
    }
  }
}
