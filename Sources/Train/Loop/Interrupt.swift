import Foundation
import Synchronization

/// Outside the type, since a C handler cannot capture a metatype.
private let requested = Atomic<Bool>(false)

/// Notes the first Ctrl-C or SIGTERM (or SIGUSR1, which mpirun passes on to its ranks), so that the loop can save and stop; a second one ends the process at once.
public enum Interrupt {
  /// Whether the loop should save and stop.
  public static var isRequested: Bool { requested.load(ordering: .relaxed) }

  /// Takes the signals over; called once by a command that knows how to save.
  public static func install() {
    // A parent may have blocked them, as the workers of concurrency runtimes do, and a child inherits that.
    var signals = sigset_t()
    sigemptyset(&signals)
    for number in [SIGINT, SIGTERM, SIGUSR1] { sigaddset(&signals, number) }
    pthread_sigmask(SIG_UNBLOCK, &signals, nil)
    for number in [SIGINT, SIGTERM, SIGUSR1] {
      signal(number) { arrived in
        // Only what is safe in a signal handler: a flag, and the default action for the next one.
        requested.store(true, ordering: .relaxed)
        signal(arrived, SIG_DFL)
      }
    }
  }

  /// For tests in one process.
  static func reset() { requested.store(false, ordering: .relaxed) }

  /// What a signal does, without one.
  static func request() { requested.store(true, ordering: .relaxed) }
}
