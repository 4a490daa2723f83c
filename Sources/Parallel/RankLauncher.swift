import Foundation
import Synchronization

/// mpirun's process, for the signal handler.
private let launched = Atomic<pid_t>(0)
private let signalsSeen = Atomic<Int>(0)

/// Starts a program as several ranks.
public enum RankLauncher {
  /// The arguments of mpirun that run `program` with `arguments` as `ranks` ranks.
  static func command(
    ranks: Int, cores: Int, isRoot: Bool, program: String, arguments: [String]
  ) -> [String] {
    var command = ["-n", "\(ranks)", "--bind-to", "none"]
    // Ranks say themselves why they stop; mpirun's own words of it have been seen to hang it (4.1.4).
    command += ["--quiet", "--mca", "orte_base_help_aggregate", "0"]
    if isRoot { command.append("--allow-run-as-root") }
    if ranks > cores { command += ["--oversubscribe", "--mca", "mpi_yield_when_idle", "1"] }
    return command + [program] + arguments
  }

  /// Runs this program as several ranks under mpirun and waits for their end.
  ///
  /// The first Ctrl-C or SIGTERM reaches the ranks as SIGUSR1, which mpirun passes on and a run takes as the wish to save
  /// and stop: mpirun's own way to end ranks leaves them one second.
  ///
  /// - Returns: mpirun's exit status.
  /// - Throws: `ParallelError` when mpirun is not installed or cannot be started.
  public static func launch(ranks: Int, arguments: [String]) throws -> Int32 {
    let program =
      (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe"))
      ?? CommandLine.arguments[0]
    let path = ProcessInfo.processInfo.environment["PATH"] ?? ""
    guard
      let mpirun = path.split(separator: ":").map({ "\($0)/mpirun" })
        .first(where: FileManager.default.isExecutableFile(atPath:))
    else {
      throw ParallelError(
        "mpirun: not found on the PATH; install openmpi-bin, or start the ranks with your launcher and without --ranks")
    }
    let process = Process()
    process.executableURL = URL(fileURLWithPath: mpirun)
    process.arguments = command(
      ranks: ranks, cores: ProcessInfo.processInfo.activeProcessorCount, isRoot: geteuid() == 0,
      program: program, arguments: arguments)
    process.standardInput = FileHandle.nullDevice
    do {
      try process.run()
    } catch {
      throw ParallelError("\(mpirun): cannot be started (\(error.localizedDescription)); check the installation")
    }
    launched.store(process.processIdentifier, ordering: .relaxed)
    for number in [SIGINT, SIGTERM] {
      signal(number) { _ in
        // Only what is safe in a signal handler.
        let seen = signalsSeen.add(1, ordering: .relaxed).newValue
        kill(launched.load(ordering: .relaxed), seen == 1 ? SIGUSR1 : SIGTERM)
      }
    }
    process.waitUntilExit()
    return process.terminationReason == .exit
      ? process.terminationStatus : 128 + process.terminationStatus
  }
}
