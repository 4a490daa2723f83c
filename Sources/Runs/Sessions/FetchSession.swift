import Foundation
import MMoEConfig
import MMoEData
import MMoEFiles
import MMoEReport
import MMoETensor

/// `mmoe data fetch`: public data sets from the network.
package struct FetchSession {
  /// What the command line said.
  package struct Options: Sendable {
    /// Nil = list the sets.
    package var name: String?
    /// The folder for the files; nil = one of the set's name where those of others are.
    package var out: String?
    /// Where the files are instead of the set's own addresses.
    package var address: String?
    /// What takes the arguments of `curl`.
    package var program = "curl"
    package init() {}
  }

  private let options: Options
  private let sink: any TextSink

  package init(_ options: Options, _ sinks: CommandSinks = .standard) { (self.options, sink) = (options, sinks.output) }

  /// Lists the sets, or fetches the files of one that are missing.
  ///
  /// - Throws: the first thing that is wrong, in one line.
  package func run() throws {
    guard let name = options.name else { return list() }
    guard let set = PublicSet.registry[name] else {
      throw RunError(name, found: "no such public set", remedy: "valid are \(PublicSet.registry.listing)")
    }
    let folder = options.out ?? ProjectHome.external(set.name)
    let isNew = OutputPlace.kind(of: folder) == nil
    // Where nothing came, nothing stays.
    defer { if isNew { rmdir(folder) } }
    do {
      try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    } catch {
      throw RunError(
        folder, found: "cannot be created (\(systemReason(of: error)))", remedy: "choose another folder with --out")
    }
    sink.line("\(set.name): \(set.summary), \(HumanFormat.bytes(set.bytes))")
    sink.line("license     \(set.license)")
    sink.line("checked by  \(FetchSession.checksums(of: set)) of \(set.source)")
    if options.address == nil, !set.isTested {
      sink.line("note: no test has fetched \(set.files.count == 1 ? "this address" : "these addresses")")
    }
    for (file, address) in zip(set.files, set.addresses(at: options.address)) { try fetch(file, address, to: folder) }
    for (place, command) in set.commands(in: folder).enumerated() {
      sink.line((place == 0 ? "next        " : "            ") + command)
    }
  }

  private func fetch(_ file: PublicSet.File, _ address: String, to folder: String) throws {
    let path = FilePath.join(folder, file.name)
    let began = monotonicSeconds()
    var progress: ProgressLine?
    defer { progress?.finish() }
    var last = 0
    let outcome = try Download(file, from: address, to: folder, program: options.program).run { bytes in
      if progress == nil {
        sink.line("fetching \(oneLine(address))")
        // What an earlier transfer has left was not done in this time.
        progress = ProgressLine(
          "fetch", total: 100, start: bytes * 100 / max(file.bytes, 1), unit: "kB", sink: sink)
        last = bytes
        return
      }
      progress?.update(step: bytes * 100 / max(file.bytes, 1), items: (bytes - last) / 1000)
      last += (bytes - last) / 1000 * 1000
    }
    progress?.finish()
    progress = nil
    let right = "\(HumanFormat.bytes(file.bytes)), its \(file.checksum.name) is right"
    switch outcome {
    case .present: sink.line("\(oneLine(path)): there already, \(right)")
    case .fetched(let start):
      let continued = start > 0 ? ", went on after \(HumanFormat.bytes(start))" : ""
      sink.line(
        "\(oneLine(path)): \(right)\(continued), in \(HumanFormat.duration(monotonicSeconds() - began))")
    }
  }

  private func list() {
    for set in PublicSet.registry.values {
      let name = sink.styled(
        set.name.padding(toLength: max(18, set.name.count + 1), withPad: " ", startingAt: 0), .bold)
      let files = set.files.count == 1 ? "" : " in \(set.files.count) files"
      sink.line("\(name)\(set.summary)")
      let lines = [
        "\(HumanFormat.bytes(set.bytes))\(files), \(FetchSession.checksums(of: set)); license: \(set.license)",
        "\(set.files[0].address) (\(set.isTested ? "a test has fetched it" : "no test has fetched it"))",
      ]
      for line in lines { sink.line(String(repeating: " ", count: 18) + line) }
    }
  }

  private static func checksums(of set: PublicSet) -> String {
    Array(Set(set.files.map(\.checksum.name))).sorted().joined(separator: " and ")
  }
}
