import Foundation
import Synchronization

/// Outside the type, since a C handler cannot capture a metatype.
private let requested = Atomic<Bool>(false)
private let isInstalled = Atomic<Bool>(false)

/// Notes the first Ctrl-C or SIGTERM (or SIGUSR1, which mpirun passes on to its ranks), so that the loop can save and
/// stop; a second one ends the process at once.
///
/// The handler runs on a thread of its own. oneDNN's float32 product points the stack register into a buffer of the
/// heap while it packs more than 2,048 rows (`jit_avx512_common_gemm_f32.cpp`, label `buffer_in_ws`): a signal taken
/// by a thread in there writes its 3 kB frame over whatever lies below that buffer. Threads that multiply therefore
/// keep these signals blocked: the caller of `install`, and `WorkerPool`'s workers.
public enum Interrupt {
  private static let numbers = [SIGINT, SIGTERM, SIGUSR1]

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
  public static var isRequested: Bool { isSimulated || requested.load(ordering: .relaxed) }

  /// Takes the signals over; called by the main thread of a command that knows how to save. Once is enough: later calls, as
  /// of a study's later runs, do nothing.
  public static func install() {
    guard !isInstalled.exchange(true, ordering: .relaxed) else { return }
    for number in numbers {
      signal(number) { arrived in
        // Only what is safe in a signal handler: a flag, and the default action for the next one.
        requested.store(true, ordering: .relaxed)
        signal(arrived, SIG_DFL)
      }
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
