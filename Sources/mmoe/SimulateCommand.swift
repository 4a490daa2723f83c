import ArgumentParser
import MMoEBench
import MMoEReport
import MMoETrain

struct SimulateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "simulate",
    abstract: "Predict overlap on clusters: the schedules that run here, on given operator and link times.",
    discussion: """
      Without options: the three clusters of arXiv 2404.05019 from the shares given there, published (in notebooks-md/published-clusters.json) and \
      simulated side by side. With --scaling: one pair of blocks over numbers of ranks.
      """)

  @Option(help: "weak (tokens of a rank stay) or strong (tokens of all stay).") var scaling: String?
  @Option(help: HelpText.width) var width = 1024
  @Option(help: "Tokens: of a rank (weak), of all (strong).") var tokens = 4096
  @Option(help: "Experts of a rank: ScMoE's route may be cut into as many parts, up to four.") var expertsPerRank = 4
  @Option(help: "TFLOP/s that a rank computes.") var tflops = 100.0
  @Option(help: "Bytes of a value on the wire.") var valueBytes = 2
  @Option(help: "Ranks of a node.") var ranksPerNode = 8
  @Option(help: "GB/s of a rank inside a node.") var linkInside = 150.0
  @Option(help: "GB/s of a node to others.") var linkBetween = 25.0
  @Option(help: "Microseconds of each message.") var latency = 5.0
  @Option(help: "Largest number of ranks.") var largest = 4096
  @Option(help: "Also draw a PNG.") var plot: OutputPath?

  func run() throws {
    let output = StandardStream.output
    let picture = try plot?.file("--plot")
    guard let scaling else {
      output.write(try SimulationReport.publishedClusters())
      return
    }
    guard ["weak", "strong"].contains(scaling) else {
      throw ValidationError("--scaling is \(scaling), expected weak or strong")
    }
    guard
      width >= 1, tokens >= 1, expertsPerRank >= 1, tflops > 0, valueBytes >= 1, ranksPerNode >= 1, linkInside > 0,
      linkBetween > 0,
      latency >= 0, largest >= 1
    else { throw ValidationError("sizes and rates must be greater than 0") }
    var run = SimulationReport.Scaling()
    (run.width, run.tokens, run.flops, run.valueBytes) = (width, tokens, tflops * 1e12, valueBytes)
    (run.expertsOfRank, run.shape.ranksPerNode) = (expertsPerRank, ranksPerNode)
    (run.shape.linkInside, run.shape.linkBetween) = (linkInside * 1e9, linkBetween * 1e9)
    (run.shape.latency, run.isStrong, run.largestRanks) = (latency * 1e-6, scaling == "strong", largest)
    output.write(try run.report(plot: picture))
  }
}
