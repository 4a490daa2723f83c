import ArgumentParser
import MMoEModels
import MMoEReport
import MMoEStudy
import MMoETrain

struct AnalyzeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "analyze",
    abstract:
      "What the layers of trained models do: \(AnalysisSession.Kind.allCases.map(\.rawValue).joined(separator: ", ")).",
    discussion: """
      Models are checkpoints, or folders of runs, whose checkpoints then are points over training (train with \
      checkpoint.keep high enough). Several are compared. Tables go to --out as CSV, pictures as PNG.
      """,
    subcommands: [Routing.self, Similarity.self, Gradients.self, Sharing.self])

  struct AnalysisOptions: ParsableArguments {
    @Argument(
      help: "Checkpoints, or folders of runs; by default the latest run that can be analyzed.", completion: .file())
    var models: [String] = []
    @Option(help: "Where tables and pictures go.") var out: OutputPath
    @Option(
      help:
        "The data; - for the embedded data, by default what a model was trained on. Once for all models, or once per model."
    )
    var data: [String] = []
    @Option(help: "Images or windows of text, evenly spread over the set.") var samples = 256
    @OptionGroup var compute: ThreadsOption
    @OptionGroup var team: TeamOption
    @OptionGroup var format: JSONOption

    func validate() throws {
      if samples < 1 { throw ValidationError("--samples is \(samples); at least 1 is needed") }
    }

    func run(_ kind: AnalysisSession.Kind) throws {
      var options = AnalysisSession.Options()
      options.kind = kind
      options.models = models
      options.data = data
      options.samples = samples
      options.out = try out.folder("--out")
      try team.start.launch()
      options.threads = compute.threads
      options.expertParallel = team.expertParallel ?? 0
      options.printsJSON = format.json
      try AnalysisSession(options).run()
    }
  }

  struct Routing: RunsOnRanks {
    static let configuration = CommandConfiguration(
      abstract: "Load, entropy, gate scores, what experts specialize in, stability, and what two calls agree in.")
    @OptionGroup var options: AnalysisOptions
    func run() throws { try options.run(.routing) }
  }

  struct Similarity: RunsOnRanks {
    static let configuration = CommandConfiguration(
      abstract: "Cosines between the states of the residual stream, and what attention and MLP or MoE change.")
    @OptionGroup var options: AnalysisOptions
    func run() throws { try options.run(.similarity) }
  }

  struct Gradients: RunsOnRanks {
    static let configuration = CommandConfiguration(
      abstract: "Norms of the loss's gradient in every state, and along every path that reads it.")
    @OptionGroup var options: AnalysisOptions
    func run() throws { try options.run(.gradients) }
  }

  struct Sharing: RunsOnRanks {
    static let configuration = CommandConfiguration(
      abstract:
        "What models gain and lose that share a bank of experts or read several sources, beside those that do not.")
    @OptionGroup var options: AnalysisOptions
    func run() throws { try options.run(.sharing) }
  }
}
