import Foundation
import MMoEConfig
import MMoEData
import MMoEFiles
import MMoEReport

/// The program as `mmoe --version` and a run's record name it.
package enum ProgramIdentity {
  package static let version = "0.1"

  /// The program's file, links followed.
  static let file = FilePath.resolved("/proc/self/exe")

  /// Which tells builds apart; nil where the program's file cannot be read.
  static let digest = (try? FileContent.digest(of: "/proc/self/exe")).map { String($0.prefix(16)) }

  /// The commit of the checkout that the program stands in.
  static let commit = CheckoutCommit(of: file, project: ProjectHome.checkout)

  /// Version, commit and the digest of the program's file.
  package static let name: String = {
    let details = [commit.map { "commit \($0.short)" }, digest].compactMap { $0 }
    return "mmoe \(version)" + (details.isEmpty ? "" : " (\(details.joined(separator: ", ")))")
  }()

  /// What `mmoe --version` prints.
  package static func text() -> String {
    let commit = commit?.long ?? "not known: the program stands in no checkout with a .git folder"
    let libraries = LibraryVersions.all
    let width = libraries.map(\.name.count).max() ?? 0
    return
      (["mmoe \(version)", "commit   \(commit)", "program  \(file)\(digest.map { ", digest \($0)" } ?? "")"]
      + libraries.map { $0.name.padding(toLength: width, withPad: " ", startingAt: 0) + "  \($0.version)" })
      .joined(separator: "\n")
  }

  /// The computer: `AMD EPYC-Genoa, 2 cores, 25.2 GB, host node1`.
  static var machine: String {
    let process = ProcessInfo.processInfo
    let memory = HumanFormat.bytes(Int(process.physicalMemory))
    return "\(processor), \(process.activeProcessorCount) cores, \(memory), host \(process.hostName)"
  }

  /// The processor's name as it gives it itself.
  private static var processor: String {
    let lines = String(decoding: FileManager.default.contents(atPath: "/proc/cpuinfo") ?? Data(), as: UTF8.self)
      .split(separator: "\n")
    let name = lines.first { $0.hasPrefix("model name") }?.split(separator: ":", maxSplits: 1).last
    return name.map { $0.trimmingCharacters(in: .whitespaces) } ?? "unknown processor"
  }

  /// The command that runs now, as a user may type it again.
  ///
  /// - Parameter ranks: that it runs as.
  static func command(ranks: Int) -> String {
    let words = CommandLine.arguments.dropFirst().map(ShellWord.quoted)
    return (["mmoe"] + words + (ranks > 1 ? ["--ranks", "\(ranks)"] : [])).joined(separator: " ")
  }
}
