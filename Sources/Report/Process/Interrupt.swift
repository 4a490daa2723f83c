import Foundation
import MMoEParallel
import Synchronization

/// Outside the type, since a C handler cannot capture a metatype.
private let requested = Atomic<Bool>(false)
private let isInstalled = Atomic<Bool>(false)
/// How a signal ends the process before there is something to save.
private let earlyStatus = Atomic<Int32>(ParallelProcess.interruptedStatus)
private let isSilent = Atomic<Bool>(false)

/// Notes the first Ctrl-C or SIGTERM (or SIGHUP of a terminal that was closed, or SIGUSR1, which mpirun passes on to its
/// ranks), so that the loop can save and stop; a second one ends the process at once.
///
/// The handler runs on a thread of its own. oneDNN's float32 product points the stack register into a buffer of the
/// heap while it packs more than 2,048 rows (`jit_avx512_common_gemm_f32.cpp`, label `buffer_in_ws`): a signal taken
/// by a thread in there writes its 3 kB frame over whatever lies below that buffer. Threads that multiply therefore
/// keep these signals blocked: the caller of `install`, and `WorkerPool`'s workers.
package enum Interrupt {
  private static let numbers = [SIGINT, SIGTERM, SIGHUP, SIGUSR1]

  /// Lets Ctrl-C end the process with one line and status 130 until `install` is called, which is when there is something
  /// to save. To be called first of all.
  package static func begin() {
    let hasLauncher = RankLauncher.parent != nil
    if hasLauncher { earlyStatus.store(ParallelProcess.unreadyStatus, ordering: .relaxed) }
    isSilent.store(hasLauncher || ParallelProcess.isFollower, ordering: .relaxed)
    // A rank is told by SIGUSR1.
    for number in ParallelProcess.isLaunched ? [SIGINT, SIGUSR1] : [SIGINT] {
      let before = signal(number) { _ in
        if !isSilent.load(ordering: .relaxed) { ParallelProcess.sayInterrupted() }
        _exit(earlyStatus.load(ordering: .relaxed))
      }
      if isIgnored(before) { signal(number, SIG_IGN) }
    }
    // A parent of several threads may have left them blocked.
    mask(SIG_UNBLOCK)
    RankLauncher.noteReady()
  }

  /// Blocks the signals in the calling thread, or lets it take them.
  private static func mask(_ how: Int32) {
    var signals = sigset_t()
    sigemptyset(&signals)
    for number in numbers { sigaddset(&signals, number) }
    pthread_sigmask(how, &signals, nil)
  }

  /// A signal that a test says has arrived, in its own task alone.
  @TaskLocal static var isSimulated = false

  /// Whether the loop should save and stop.
  package static var isRequested: Bool { isSimulated || requested.load(ordering: .relaxed) }

  /// To be called between the batches of an evaluation, which may take long; by all ranks, which end it together.
  ///
  /// - Throws: `EvaluationInterrupted` where the loop should save and stop.
  package static func check(_ team: RankTeam?) throws(EvaluationInterrupted) {
    if team?.any(isRequested) ?? isRequested { throw EvaluationInterrupted() }
  }

  /// Takes the signals over; called by the main thread of a command that knows how to save. Once is enough: later calls, as
  /// of a study's later runs, do nothing.
  package static func install() {
    guard !isInstalled.exchange(true, ordering: .relaxed) else { return }
    for number in numbers {
      let before = signal(number) { arrived in
        // Only what is safe in a signal handler: a flag, a write, and the default action for the next one.
        requested.store(true, ordering: .relaxed)
        if arrived == SIGINT, !isSilent.load(ordering: .relaxed) {
          let words: StaticString =
            "\nstopping after this step, then saving; a second Ctrl-C ends at once and saves nothing\n"
          _ = write(STDERR_FILENO, words.utf8Start, words.utf8CodeUnitCount)
        }
        // A terminal that closes may send its signal twice: of the shell, and of the system.
        signal(arrived, arrived == SIGHUP ? SIG_IGN : SIG_DFL)
      }
      // As nohup asks.
      if number == SIGHUP, isIgnored(before) { signal(number, SIG_IGN) }
    }
    mask(SIG_BLOCK)
    let thread = Thread {
      // Blocked as in its creator, or by a parent.
      mask(SIG_UNBLOCK)
      while true { pause() }
    }
    thread.name = "mmoe-signals"
    thread.start()
  }
}

/// A signal arrived within an evaluation, which has no result.
package struct EvaluationInterrupted: Error {}
