import ArgumentParser
import MMoEReport
import MMoERuns

extension DataCommand {
  struct Fetch: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Download a well-known public data set; without a name, list them.",
      discussion: """
        Files are fetched with curl, and have their names only when size and checksum are those that a public source states. After a \
        cut or an interruption the same command goes on where it was.
        """)

    @Argument(help: "Its name, such as cifar-10.") var name: String?
    @Option(help: "The folder for the files; by default datasets/external/NAME.") var out: OutputPath?
    @Option(
      help:
        "A mirror: http(s) address of a folder with the files, or of the file where there is one. What comes is checked all the same."
    ) var address: String?

    func validate() throws {
      if name == nil, out != nil || address != nil {
        throw ValidationError("--out and --address are for a set; give its name, too")
      }
      guard let address else { return }
      let scheme = address.lowercased()
      guard scheme.hasPrefix("http://") || scheme.hasPrefix("https://"), !address.contains(where: \.isWhitespace) else {
        throw ValidationError("--address is '\(address)', expected one that begins with http:// or https://")
      }
    }

    func run() throws {
      var options = FetchSession.Options()
      (options.name, options.out, options.address) = (name, try out?.folder("--out"), address)
      try FetchSession(options).run()
    }
  }
}
