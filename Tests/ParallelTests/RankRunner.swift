import Foundation
import TestSupport
import Testing

/// Programs of this package as several ranks under mpirun, each run with a time-out.
enum RankRunner {
  struct Result {
    let status: Int32
    let output: String
    let errors: String
    let seconds: Double

    /// Lines that the program wrote to standard error, without mpirun's own.
    var lines: [String] {
      errors.split(separator: "\n").map(String.init).filter { $0.hasPrefix("rank ") }
    }
  }

  /// Whether mpirun is installed.
  fileprivate static let isAvailable = ["/usr/bin/mpirun", "/usr/local/bin/mpirun"].contains(
    where: FileManager.default.isExecutableFile(atPath:))

  /// - Parameters:
  ///   - program: the product's name.
  ///   - launcher: more arguments for mpirun.
  ///   - timeout: seconds after which all ranks are stopped, which fails the test by its status 124.
  static func run(
    _ program: String, _ arguments: [String], ranks: Int, timeout: Double = 240, launcher: [String] = []
  ) throws -> Result {
    let folder = ScratchFolder()
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments =
      [
        "timeout", "--kill-after=5", "\(timeout)", "mpirun", "--allow-run-as-root", "--oversubscribe", "--bind-to",
        "none",
        "--quiet", "--mca", "orte_base_help_aggregate", "0",
        "--mca", "mpi_yield_when_idle", "1", "-n", "\(ranks)",
      ] + launcher + [
        (ProgramRunner.program as NSString).deletingLastPathComponent + "/" + program
      ] + arguments
    for file in [folder("out"), folder("err")] { try Data().write(to: URL(fileURLWithPath: file)) }
    process.standardOutput = FileHandle(forWritingAtPath: folder("out"))
    process.standardError = FileHandle(forWritingAtPath: folder("err"))
    process.standardInput = FileHandle.nullDevice
    let began = Date()
    try process.run()
    process.waitUntilExit()
    let said = (try? String(contentsOfFile: folder("err"), encoding: .utf8)) ?? ""
    // Where /sys is not mounted, as in a chroot, Open MPI's library for the machine's shape complains once per process.
    let errors = said.split(separator: "\n", omittingEmptySubsequences: false).filter { !$0.hasPrefix("[hwloc/") }
    return Result(
      status: process.terminationStatus,
      output: (try? String(contentsOfFile: folder("out"), encoding: .utf8)) ?? "",
      errors: errors.joined(separator: "\n"),
      seconds: Date().timeIntervalSince(began))
  }
}

extension Trait where Self == ConditionTrait {
  /// Skips what runs as several ranks where mpirun is not installed.
  static var needsRanks: Self { .enabled(if: RankRunner.isAvailable, "mpirun is not installed (openmpi-bin)") }
}
