import ArgumentParser
import MMoEReport
import MMoERuns
import MMoETrain

struct TraceCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "trace", abstract: "Read timelines that `mmoe train --trace` wrote.",
    subcommands: [Summary.self, Plot.self])

  struct Summary: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Computation, exchange and what of it was hidden, block by block.")
    @Argument(help: "A file that --trace wrote.") var file: String

    func run() throws { StandardStream.output.write(try TraceSession.summary(file)) }
  }

  struct Plot: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Draw one pair of blocks of each trace, one under the other, as a PNG.")
    @Argument(help: "Files that --trace wrote.") var files: [String]
    @Option(help: "The PNG file to write.") var out: OutputPath
    @Flag(help: "The backward pass instead of the forward one.") var backward = false

    func run() throws {
      let file = try out.file("--out")
      try TraceSession.plot(files, backward: backward, to: file)
      StandardStream.output.line(file)
    }
  }
}
