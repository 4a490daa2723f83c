import Foundation
import MMoEFiles
import MMoEReport

/// A script in a shell of its own: with a time limit, and with everything that it started ended at its end.
struct ShellCommand {
  enum End: Equatable {
    case status(Int32)
    case timeLimit
    /// More output than anyone reads.
    case outputLimit
    case interrupted
  }

  let script: String
  let folder: String
  let environment: [String: String]
  /// Where standard output and standard error go, together.
  let outputFile: String

  static let outputLimit = 256 << 10
  /// Between asking a group of processes to end and ending it.
  private static let grace = 3.0

  /// Runs the script and waits for its end.
  ///
  /// - Parameter limit: in seconds.
  /// - Throws: `NotebookError` when no shell can be started.
  func run(limit: Double) throws -> End {
    let process = try start()
    let began = DispatchTime.now().uptimeNanoseconds
    var end: End?
    while end == nil {
      var status: Int32 = 0
      if waitpid(process, &status, WNOHANG) == process {
        // What it left running in the background goes too.
        kill(-process, SIGKILL)
        return .status(status & 0x7F == 0 ? status >> 8 & 0xFF : 128 + status & 0x7F)
      }
      var information = stat()
      if Interrupt.isRequested {
        end = .interrupted
      } else if Double(DispatchTime.now().uptimeNanoseconds - began) / 1e9 > limit {
        end = .timeLimit
      } else if stat(outputFile, &information) == 0, information.st_size > ShellCommand.outputLimit {
        end = .outputLimit
      } else {
        usleep(5000)
      }
    }
    stop(process)
    return end!
  }

  /// Ends the group, kindly first.
  private func stop(_ process: pid_t) {
    kill(-process, SIGTERM)
    var status: Int32 = 0
    let asked = DispatchTime.now().uptimeNanoseconds
    while waitpid(process, &status, WNOHANG) != process {
      if Double(DispatchTime.now().uptimeNanoseconds - asked) / 1e9 > ShellCommand.grace {
        kill(-process, SIGKILL)
        waitpid(process, &status, 0)
        break
      }
      usleep(5000)
    }
    kill(-process, SIGKILL)
  }

  private func start() throws -> pid_t {
    var actions = posix_spawn_file_actions_t()
    var attributes = posix_spawnattr_t()
    posix_spawn_file_actions_init(&actions)
    posix_spawnattr_init(&attributes)
    defer {
      posix_spawn_file_actions_destroy(&actions)
      posix_spawnattr_destroy(&attributes)
    }
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
    posix_spawn_file_actions_addopen(
      &actions, STDOUT_FILENO, outputFile, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0o644)
    posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO)
    // A group of its own, so that children of children can be ended; signals as a fresh process has them.
    var signals = sigset_t()
    sigemptyset(&signals)
    posix_spawnattr_setsigmask(&attributes, &signals)
    for number in [SIGINT, SIGTERM, SIGUSR1, SIGPIPE] { sigaddset(&signals, number) }
    posix_spawnattr_setsigdefault(&attributes, &signals)
    posix_spawnattr_setpgroup(&attributes, 0)
    posix_spawnattr_setflags(
      &attributes, Int16(POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))

    let words = ["bash", "-euo", "pipefail", "-c", "cd \"$0\"; eval \"$1\"", folder, script]
    var arguments = words.map { strdup($0) } + [nil]
    var variables = environment.map { strdup("\($0.key)=\($0.value)") } + [nil]
    defer { for pointer in arguments + variables { free(pointer) } }
    var process: pid_t = 0
    let failure = posix_spawn(&process, "/bin/bash", &actions, &attributes, &arguments, &variables)
    guard failure == 0 else {
      throw NotebookError("/bin/bash: cannot be started (\(systemReason(failure))); install bash")
    }
    return process
  }
}
