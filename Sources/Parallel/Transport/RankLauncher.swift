import CMPI
import Foundation
import MMoEFiles
import Synchronization

/// mpirun's process, for the signal handler.
private let launched = Atomic<pid_t>(0)
private let signalsSeen = Atomic<Int>(0)
/// Whether the ranks take signals, whether one waits for that, and whether mpirun was told to end them.
private let isReady = Atomic<Bool>(false)
private let isWaiting = Atomic<Bool>(false)
private let isEnded = Atomic<Bool>(false)

/// Starts a program as several ranks.
public enum RankLauncher {
  /// Names the launcher's process to its ranks.
  private static let variable = "MMOE_LAUNCHER"

  /// The launcher of this rank, where it is this program; it then speaks for its ranks.
  package static var parent: pid_t? {
    ParallelProcess.isLaunched ? ProcessInfo.processInfo.environment[variable].flatMap { pid_t($0) } : nil
  }

  /// To be called by ranks once they take the signal that mpirun passes on.
  package static func noteReady() {
    guard let parent, !ParallelProcess.isFollower else { return }
    // On another host the number may be that of anybody.
    let program = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
    guard program != nil, program == (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(parent)/exe"))
    else { return }
    kill(parent, SIGUSR2)
  }

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
  /// The first Ctrl-C, SIGTERM or hang-up reaches the ranks as SIGUSR1, which mpirun passes on and a run takes as the wish to
  /// save and stop: mpirun's own way to end ranks leaves them one second. Before they run mpirun would pass it on to
  /// nobody, so it waits until then; the second signal ends mpirun. When this process dies, mpirun and its ranks end.
  ///
  /// - Parameters:
  ///   - environment: variables for the ranks beside this process's own.
  ///   - forward: takes what the ranks write to standard output, so that failing to write it is seen here.
  /// - Returns: mpirun's exit status; 130 where a signal ended it before ranks could take one.
  /// - Throws: `ParallelError` when mpirun is not installed or cannot be started, or for ranks below 1.
  public static func launch(
    ranks: Int, arguments: [String], environment: [String: String], forward: ([UInt8]) -> Void
  ) throws -> Int32 {
    guard ranks >= 1 else {
      throw ParallelError(field: "the number of ranks", found: "\(ranks)", expected: "at least 1")
    }
    let program =
      (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe"))
      ?? CommandLine.arguments[0]
    let path = ProcessInfo.processInfo.environment["PATH"] ?? ""
    guard
      let mpirun = path.split(separator: ":").map({ "\($0)/mpirun" })
        .first(where: FileManager.default.isExecutableFile(atPath:))
    else {
      throw ParallelError(
        "mpirun", found: "not found on the PATH",
        remedy: "install openmpi-bin, or start the ranks with your launcher and without --ranks")
    }
    let words =
      [mpirun]
      + command(
        ranks: ranks, cores: ProcessInfo.processInfo.activeProcessorCount, isRoot: geteuid() == 0,
        program: program, arguments: arguments)
    var variables = ProcessInfo.processInfo.environment.merging(environment) { _, own in own }
    variables[variable] = "\(getpid())"
    signal(SIGUSR2) { _ in isReady.store(true, ordering: .relaxed) }
    // A parent of several threads may have left it blocked.
    var ready = sigset_t()
    sigemptyset(&ready)
    sigaddset(&ready, SIGUSR2)
    pthread_sigmask(SIG_UNBLOCK, &ready, nil)
    var (process, output): (pid_t, Int32) = (0, -1)
    var pointers = words.map { strdup($0) } + [nil]
    var settings = variables.map { strdup("\($0.key)=\($0.value)") } + [nil]
    let code = mmoe_spawn_launcher(mpirun, &pointers, &settings, &process, &output)
    for pointer in pointers + settings { free(pointer) }
    guard code == 0 else {
      throw ParallelError(
        "\(mpirun)", found: "cannot be started (\(systemReason(code)))", remedy: "check the installation")
    }
    launched.store(process, ordering: .relaxed)
    for number in [SIGINT, SIGTERM, SIGHUP] {
      let before = signal(number) { arrived in
        // Only what is safe in a signal handler. A terminal that closes may send its signal twice.
        if arrived == SIGHUP, signalsSeen.load(ordering: .relaxed) > 0 { return }
        let isFirst = signalsSeen.add(1, ordering: .relaxed).newValue == 1
        if isFirst, !isReady.load(ordering: .relaxed) {
          isWaiting.store(true, ordering: .relaxed)
        } else {
          if !isFirst { isEnded.store(true, ordering: .relaxed) }
          kill(launched.load(ordering: .relaxed), isFirst ? SIGUSR1 : SIGTERM)
        }
      }
      // As nohup asks.
      if number == SIGHUP, isIgnored(before) { signal(number, SIG_IGN) }
    }
    return wait(for: process, output, forward)
  }

  private static func wait(for process: pid_t, _ output: Int32, _ forward: ([UInt8]) -> Void) -> Int32 {
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    /// - Returns: whether more may come.
    func read(for milliseconds: Int32) -> Bool {
      var ready = pollfd(fd: output, events: Int16(POLLIN), revents: 0)
      guard poll(&ready, 1, milliseconds) > 0 else { return milliseconds != 0 }
      let count = Foundation.read(output, &buffer, buffer.count)
      if count > 0 { forward(Array(buffer[..<count])) }
      return count > 0 || (count < 0 && errno == EINTR)
    }
    var (status, isOpen): (Int32, Bool) = (0, true)
    while waitpid(process, &status, isOpen ? WNOHANG : 0) != process {
      if isReady.load(ordering: .relaxed), isWaiting.exchange(false, ordering: .relaxed) { kill(process, SIGUSR1) }
      // Not to the end of the pipe alone: what outlives mpirun could hold it.
      if isOpen { isOpen = read(for: 200) }
    }
    while isOpen, read(for: 0) {}
    close(output)
    let isSignal = status & 0x7F != 0
    let code = isSignal ? 128 + status & 0x7F : status >> 8 & 0xFF
    // Ranks that have saved say so themselves.
    guard code != 0, code != ParallelProcess.interruptedStatus, signalsSeen.load(ordering: .relaxed) > 0,
      isEnded.load(ordering: .relaxed) || isSignal || code == ParallelProcess.unreadyStatus
    else { return code }
    ParallelProcess.sayInterrupted()
    return ParallelProcess.interruptedStatus
  }
}
