import Foundation
import Synchronization

/// A checkpoint that is being written beside the training: the loop pauses for the copy in memory alone.
final class BackgroundSave: Sendable {
  let step: Int
  private let outcome = Mutex<Result<Void, any Error>?>(nil)
  private let done = DispatchSemaphore(value: 0)

  /// - Parameter write: runs on a thread of its own.
  init(step: Int, _ write: @escaping @Sendable () throws -> Void) {
    self.step = step
    let thread = Thread { [self] in
      let result = Result { try write() }
      outcome.withLock { $0 = result }
      done.signal()
    }
    thread.name = "save"
    thread.start()
  }

  var isDone: Bool { outcome.withLock { $0 != nil } }

  /// Waits for the end; called once.
  ///
  /// - Throws: what writing threw.
  func wait() throws {
    done.wait()
    try outcome.withLock { $0 }?.get()
  }
}
