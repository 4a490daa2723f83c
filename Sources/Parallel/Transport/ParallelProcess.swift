import CMPI
import Foundation
import MMoEFiles
import MMoETensor
import Synchronization

/// Why ranks cannot start or go on.
public struct ParallelError: FaultError {
  public let fault: Fault
  public init(_ fault: Fault) { self.fault = fault }
}

/// This process's part in MPI: started only where a launcher has started several, and ended with all of them.
public enum ParallelProcess {
  /// −1: MPI is not running.
  private static let worldRank = Atomic<Int>(-1)

  /// Whether mpirun, srun or another launcher started this process as a rank.
  public static var isLaunched: Bool {
    let environment = ProcessInfo.processInfo.environment
    return environment["OMPI_COMM_WORLD_SIZE"] != nil || environment["PMI_RANK"] != nil
      || environment["PMIX_RANK"] != nil
  }

  /// This process's number among those that a launcher started, and how many they are, where it says so; before MPI runs.
  package static var place: (rank: Int, count: Int?)? { place(in: ProcessInfo.processInfo.environment) }

  static func place(in environment: [String: String]) -> (rank: Int, count: Int?)? {
    func number(_ names: [String]) -> Int? { names.lazy.compactMap { environment[$0].flatMap { Int($0) } }.first }
    let count = number(["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"])
    // A batch script of Slurm's has a number of its own and is no task of a step.
    let slurm = environment["SLURM_STEP_NUM_TASKS"] == nil ? [] : ["SLURM_PROCID"]
    guard let rank = number(["OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK"] + slurm) else { return nil }
    return (rank, count)
  }

  /// Whether a launcher started this process beside others, and it is not the first of them: it has nothing to say.
  package static var isFollower: Bool { (place?.rank ?? 0) > 0 }

  /// Refuses to work in several processes at once where one is enough: all would do the same, and write over each other.
  ///
  /// - Returns: what is wrong, in words; nil for a process that is alone.
  package static func refusal(_ environment: [String: String] = ProcessInfo.processInfo.environment) -> String? {
    guard let place = place(in: environment), place.count != 1 else { return nil }
    return
      "a launcher started \(place.count.map { "\($0) processes" } ?? "several processes"), but this command works in one alone; start it without mpirun or srun"
  }

  /// The exit status of a command that Ctrl-C ended.
  package static let interruptedStatus: Int32 = 130

  /// That of a rank before it can save; its launcher says so.
  package static let unreadyStatus: Int32 = 128 + SIGUSR1

  /// Says that Ctrl-C ended the command; also from a signal handler.
  package static func sayInterrupted() {
    let line: StaticString = "interrupted\n"
    write(STDERR_FILENO, line.utf8Start, line.utf8CodeUnitCount)
  }

  /// Refuses to be one of several tasks that know nothing of each other: each would train alone, into the same folder.
  ///
  /// - Throws: `ParallelError` where srun started several without MPI.
  package static func requireRanks() throws {
    guard let tasks = ProcessInfo.processInfo.environment["SLURM_STEP_NUM_TASKS"].flatMap({ Int($0) }), tasks > 1 else {
      return
    }
    throw ParallelError(
      "srun started \(tasks) tasks without MPI (SLURM_STEP_NUM_TASKS is \(tasks), no PMIX_RANK); use srun --mpi=pmix, or -n 1"
    )
  }

  /// Whether MPI runs.
  package static var isRunning: Bool { worldRank.load(ordering: .relaxed) >= 0 }

  /// Initializes MPI. The calling thread is from then on the only one that may communicate.
  ///
  /// - Throws: `ParallelError` when the library refuses.
  static func start() throws {
    guard !isRunning else { return }
    let code = mmoe_mpi_init()
    guard code == 0 else {
      throw ParallelError("MPI cannot be initialized (\(message(code))); check the installation of MPI on this host")
    }
    MemoryLimit.onStop { leave($0) }
  }

  static func noteRank(_ rank: Int) { worldRank.store(rank, ordering: .relaxed) }

  /// Ends MPI; every rank must call it. Without MPI nothing happens.
  public static func finish() {
    guard isRunning else { return }
    mmoe_mpi_finalize()
    worldRank.store(-1, ordering: .relaxed)
  }

  /// Ends every rank of the job with exit status 1 after one line that names this rank and the reason. A rank that goes
  /// on alone would leave the others waiting.
  package static func stop(_ reason: String) -> Never {
    let rank = worldRank.load(ordering: .relaxed)
    var line = Array((rank >= 0 ? "rank \(rank): \(reason)\n" : "\(reason)\n").utf8)
    write(STDERR_FILENO, &line, line.count)
    if rank >= 0 { mmoe_mpi_abort(1) }
    exit(1)
  }

  /// Ends this process alone, without the library, from any thread.
  static func leave(_ reason: String) -> Never {
    let rank = worldRank.load(ordering: .relaxed)
    var line = Array("rank \(rank): \(reason)\n".utf8)
    write(STDERR_FILENO, &line, line.count)
    _exit(1)
  }

  /// Lets another rank say why the job ends, and ends it if that one cannot.
  static func endSilently() -> Never {
    pause(5)
    stop("another rank was to end the job and did not")
  }

  /// Ends the job for an error that this rank has met. Where all have met it, only the first speaks.
  public static func stop(for error: any Error) -> Never {
    if worldRank.load(ordering: .relaxed) > 0 { pause(1) }
    stop("\(error)")
  }

  /// Sleeps through the signals with which a launcher ends a job: they would cut a single sleep short.
  private static func pause(_ seconds: UInt32) {
    var left = seconds
    while left > 0 { left = sleep(left) }
  }

  /// The library's words for an error code.
  static func message(_ code: Int32) -> String {
    var text = [CChar](repeating: 0, count: 512)
    mmoe_mpi_error(code, &text, text.count)
    return String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
  }

  /// Library and version, for logs.
  package static var library: String {
    var text = [CChar](repeating: 0, count: 512)
    mmoe_mpi_version(&text, text.count)
    return String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
  }
}
