import Foundation
import MMoEFiles
import Synchronization

/// A checkpoint, or this rank's part of one, that is being written beside the training: the loop pauses for the copy in
/// memory alone.
final class BackgroundSave<Written: Sendable>: Sendable {
  let step: Int
  private let outcome = Mutex<Result<Written, any Error>?>(nil)
  private let done = DispatchSemaphore(value: 0)

  /// - Parameter write: runs on a thread of its own.
  init(step: Int, _ write: @escaping @Sendable () throws -> Written) {
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
  /// - Returns: what was written.
  /// - Throws: what writing threw.
  func wait() throws -> Written {
    done.wait()
    guard let result = outcome.withLock({ $0 }) else { fatalError("a save ended without an outcome") }
    return try result.get()
  }
}
