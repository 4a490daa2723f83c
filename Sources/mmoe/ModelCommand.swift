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

    @Argument(help: "A preset's name or a YAML file.") var preset: String
    @Option(help: "The MoE variant.") var moe: String?
    @Option(name: .customLong("set"), help: "key=value of the configuration; repeatable.")
    var settings: [String] = []
    @Option(help: "Draw one block pair's data flow into this SVG file (Graphviz).") var svg: OutputPath?

    func run() throws {
      let drawing = try svg?.file("--svg")
      let description = try ModelDescription(
        preset: preset, settings: (moe.map { ["moe.variant=\($0)"] } ?? []) + settings)
      StandardStream.output.write(try description.text())
      if let drawing { try description.drawPair(to: drawing) }
    }
  }
}
