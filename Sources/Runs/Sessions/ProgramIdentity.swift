import Foundation
import MMoEData
import MMoEFiles

/// The program as a run's record names it.
enum ProgramIdentity {
  static let version = "0.1"

  /// The version and the digest of the program's file, which tells builds apart.
  static let name: String = {
    guard let digest = try? FileContent.digest(of: "/proc/self/exe") else { return "mmoe \(version)" }
    return "mmoe \(version) (\(digest.prefix(16)))"
  }()

  /// The command that runs now, as a user may type it again.
  ///
  /// - Parameter ranks: that it runs as.
  static func command(ranks: Int) -> String {
    let words = CommandLine.arguments.dropFirst().map(ShellWord.quoted)
    return (["mmoe"] + words + (ranks > 1 ? ["--ranks", "\(ranks)"] : [])).joined(separator: " ")
  }
}
