import Foundation
import MMoETensor
import Synchronization

/// Ends this process when the main thread does not come back from the library: a wait that tests ends itself, but a call
/// into MPI that never returns would keep the whole job. The launcher then ends the other ranks.
final class Watchdog: Sendable {
  static let shared = Watchdog()
  /// What a wait that is late is given beyond its own time-out.
  private static let grace = 3.0

  private struct Wait {
    let what: String
    let deadline: Double
  }

  /// The innermost last; nested where a wait advances others.
  private let waits = Mutex<[Wait]>([])
  private let isStarted = Atomic<Bool>(false)

  /// The main thread waits for something until a deadline on the monotonic clock.
  func expect(_ what: String, before deadline: Double) {
    waits.withLock { $0.append(Wait(what: what, deadline: deadline)) }
    guard !isStarted.exchange(true, ordering: .relaxed) else { return }
    let thread = Thread { [self] in watch() }
    thread.name = "watchdog"
    thread.stackSize = 1 << 18
    thread.start()
  }

  /// The wait is over.
  func rest() { waits.withLock { _ = $0.popLast() } }

  private func watch() {
    while true {
      Thread.sleep(forTimeInterval: 0.5)
      let now = monotonicSeconds()
      guard let late = waits.withLock({ $0.first { now > $0.deadline + Watchdog.grace } }) else { continue }
      ParallelProcess.leave(
        "\(late.what): the message library does not come back; a rank or a link stands still, the last checkpoint is good"
      )
    }
  }
}
