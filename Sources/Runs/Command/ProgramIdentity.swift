import Foundation
import MMoEData
import MMoEFiles
import MMoEReport

/// The program as a run's record names it.
enum ProgramIdentity {
  static let version = "0.1"

  /// The version and the digest of the program's file, which tells builds apart.
  static let name: String = {
    guard let digest = try? FileContent.digest(of: "/proc/self/exe") else { return "mmoe \(version)" }
    return "mmoe \(version) (\(digest.prefix(16)))"
  }()

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
