import ArgumentParser
import MMoEBench
import MMoEReport
import MMoETrain

struct ParityCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "parity",
    abstract: "Compare outputs and every gradient with float64 reference cases.",
    discussion: "Exit status 1 when a relative difference exceeds the tolerance.")

  @Argument(help: "HDF5 files made by Tests/Reference/make_cases.py.") var cases: [String]
  @Option(help: "Largest relative difference allowed.") var tolerance = 1e-4
  @OptionGroup var compute: ThreadsOption
  @Flag(help: "Print every compared array, not only the worst of each case.") var verbose = false

  func run() throws {
    let passed = try ParitySession(
      cases: cases, tolerance: tolerance, threads: compute.threads, isVerbose: verbose
    ).run(StandardStream.output)
    if !passed { throw ExitCode(1) }
  }
}
