import Foundation
import MMoEFiles
import MMoEParallel
import Synchronization

/// That standard output cannot be written any more, and what follows from it.
///
/// A command ends at once: with one line and status 1 where the disk is full or the descriptor closed, and as any program of
/// a pipe does, without a word and with the status of SIGPIPE, where the reader has gone (`| head -1`). A training run goes
/// on instead (`outlive`): what it saves counts more than what it says. It ends with the same status, after its last
/// checkpoint.
package enum OutputLoss {
  /// The system's reason; 0 = none.
  private static let reason = Atomic<Int32>(0)
  private static let outlives = Atomic<Bool>(false)

  /// The status that a shell sees of a program that SIGPIPE ended.
  static let closedPipeStatus = 128 + SIGPIPE

  /// Whether standard output was lost.
  package static var isKnown: Bool { reason.load(ordering: .relaxed) != 0 }

  /// Lets this process go on without standard output, to its own end.
  package static func outlive() { outlives.store(true, ordering: .relaxed) }

  /// To be called where a write to standard output has failed. Does not return in a command that has nothing to save.
  package static func note(_ code: Int32) {
    guard !isKnown else { return }
    reason.store(code, ordering: .relaxed)
    if outlives.load(ordering: .relaxed) {
      StandardStream.error.line("\(message(code)); the run goes on without it and saves its checkpoints")
    } else if ParallelProcess.isRunning {
      ParallelProcess.stop(message(code))
    } else {
      exit(end(0))
    }
  }

  /// Closes standard output, which is when some file systems (NFS, quotas) first say that they took nothing. Nothing can be
  /// written after it.
  ///
  /// - Parameter status: how the command ended.
  /// - Returns: the exit status: the command's own where it failed, else that of the lost output.
  package static func end(_ status: Int32) -> Int32 {
    if !isKnown, isOpen(STDOUT_FILENO), close(STDOUT_FILENO) != 0 { reason.store(errno, ordering: .relaxed) }
    let code = reason.load(ordering: .relaxed)
    guard code != 0, status == 0 else { return status }
    if code == EPIPE { return closedPipeStatus }
    if !outlives.load(ordering: .relaxed) { StandardStream.error.line(message(code)) }
    return 1
  }

  private static func isOpen(_ descriptor: Int32) -> Bool { fcntl(descriptor, F_GETFD) != -1 }

  private static func message(_ code: Int32) -> String {
    code == EPIPE
      ? "standard output: its reader has gone"
      : "standard output: cannot be written (\(systemReason(code))); free space, or send it elsewhere"
  }

  /// Prepares the process: a lost reader is an error of the write that meets it, and standard streams that the caller has
  /// closed are no numbers for files to come.
  package static func watch() {
    // A handler rather than "ignore", which child programs would inherit.
    signal(SIGPIPE) { _ in }
    for descriptor in [STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO] where !isOpen(descriptor) {
      // The lowest free number is this one. Opened the wrong way round: to use it is an error, as of a closed one.
      _ = open("/dev/null", descriptor == STDIN_FILENO ? O_WRONLY : O_RDONLY)
    }
  }
}
