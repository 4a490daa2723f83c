import ArgumentParser
import MMoEBench
import MMoEParallel
import MMoEReport
import MMoERuns
import MMoETrain

/// A link that is modeled in user space; it needs no rights, and two ranks where nothing else is said.
struct LinkOption: ParsableArguments {
  @Option(
    help: """
      Model a link of this rate between the ranks, such as 100mbit or 1gbit: what each rank sends is held back in user \
      space. Starts two ranks unless --ranks or a launcher says otherwise.
      """)
  var link: String?
  @Option(help: "With --link: how long a message is on its way, such as 1ms or 50us.") var latency: String?

  func validate() throws {
    if latency != nil, link == nil { throw ValidationError("--latency is only used with --link") }
    do { _ = try model() } catch let error as ParallelError { throw ValidationError(error.description) }
  }

  func model() throws -> LinkModel? { try link.map { try LinkModel(rate: $0, latency: latency) } }

  /// Starts the ranks of a benchmark.
  func launch(_ start: RanksOption) throws {
    var start = start
    if link != nil { start.ranks = start.ranks ?? 2 }
    try start.launch()
  }
}

/// Benchmarks of several ranks: run them under mpirun, or with `--ranks`.
extension BenchCommand {
  struct Exchange: RunsOnRanks {
    static let configuration = CommandConfiguration(
      abstract: "Bandwidth, latency and cost of exchanges between ranks, over message sizes.")
    @OptionGroup var start: RanksOption
    @OptionGroup var link: LinkOption
    @Option(help: "Exchanges of each size.") var repetitions = 7
    @Option(help: "Largest bytes that a rank sends.") var largest = 16 << 20
    @OptionGroup var format: JSONOption

    func validate() throws {
      guard largest >= 64, repetitions >= 1 else {
        throw ValidationError("--largest \(largest), --repetitions \(repetitions): expected at least 64 and 1")
      }
    }

    func run() throws {
      try link.launch(start)
      try RankBenchmarks.exchange(
        largest: largest, repetitions: repetitions, link: try link.model(), printsJSON: format.json)
    }
  }

  struct Overlap: RunsOnRanks {
    static let configuration = CommandConfiguration(
      abstract: "A pair of blocks under overlap strategies, over the link that the ranks have or a model of one.",
      discussion: """
        On one host rows are copied through its memory: there is next to nothing to hide, and ScMoE gains nothing from \
        overlap. `mmoe bench overlap --link 100mbit --plot overlap.png` shows within two minutes what a link between hosts \
        changes.
        """)
    @OptionGroup var start: RanksOption
    @OptionGroup var link: LinkOption
    @Option(help: HelpText.width) var width = 1024
    @Option(help: "Tokens of a rank.") var tokens = 256
    @Option(help: "Routed experts of all ranks.") var experts = 4
    @Option(help: "Rounds; each runs every case once.") var rounds = 5
    @Option(help: "Only these cases, separated by commas: a label, or a word that is part of labels.") var only: String?
    @Option(help: "A folder for a trace of each case.") var traces: OutputPath?
    @Option(help: "A PNG of the forward pass, case by case.") var plot: OutputPath?
    @Flag(help: "Forward and backward; forward alone without it.") var train = false
    @OptionGroup var format: JSONOption

    func validate() throws {
      guard width >= 64, tokens >= 1, experts >= 1, rounds >= 1 else {
        throw ValidationError(
          "--width \(width), --tokens \(tokens), --experts \(experts), --rounds \(rounds): expected at least 64, 1, 1 and 1"
        )
      }
    }

    func run() throws {
      let folder = try traces?.folder("--traces")
      let picture = try plot?.file("--plot")
      try link.launch(start)
      var options = OverlapBenchmark.Options()
      (options.width, options.tokens, options.experts) = (width, tokens, experts)
      (options.rounds, options.training) = (rounds, train)
      options.traces = folder
      try RankBenchmarks.overlap(options, only: only, link: try link.model(), plot: picture, printsJSON: format.json)
    }
  }
}
