import ArgumentParser
import MMoEBench
import MMoEReport
import MMoERuns
import MMoETrain

/// Benchmarks of several ranks: run them under mpirun, or with `--ranks`.
extension BenchCommand {
  struct Exchange: RunsOnRanks {
    static let configuration = CommandConfiguration(
      abstract: "Bandwidth, latency and cost of exchanges between ranks, over message sizes.")
    @OptionGroup var start: RanksOption
    @Option(help: "Exchanges of each size.") var repetitions = 7
    @Option(help: "Largest bytes that a rank sends.") var largest = 16 << 20
    @OptionGroup var format: JSONOption

    func validate() throws {
      guard largest >= 64, repetitions >= 1 else {
        throw ValidationError("--largest \(largest), --repetitions \(repetitions): expected at least 64 and 1")
      }
    }

    func run() throws {
      try start.launch()
      try RankBenchmarks.exchange(largest: largest, repetitions: repetitions, printsJSON: format.json)
    }
  }

  struct Overlap: RunsOnRanks {
    static let configuration = CommandConfiguration(
      abstract: "A pair of blocks under overlap strategies, over the link that the ranks have.")
    @OptionGroup var start: RanksOption
    @Option(help: HelpText.width) var width = 1024
    @Option(help: "Tokens of a rank.") var tokens = 512
    @Option(help: "Routed experts of all ranks.") var experts = 4
    @Option(help: "Rounds; each runs every case once.") var rounds = 5
    @Option(help: "Only these cases, separated by commas: a label, or a word that is part of labels.") var only: String?
    @Option(help: "A folder for a trace of each case.") var traces: OutputPath?
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
      try start.launch()
      var options = OverlapBenchmark.Options()
      (options.width, options.tokens, options.experts) = (width, tokens, experts)
      (options.rounds, options.training) = (rounds, train)
      options.traces = folder
      try RankBenchmarks.overlap(options, only: only, printsJSON: format.json)
    }
  }
}
