import Foundation
import MMoEParallel

/// Standard output or standard error, unbuffered.
///
/// Color only on a terminal, and not where `NO_COLOR` is set (https://no-color.org). A terminal with
/// `TERM=dumb` cannot redraw a line and counts as redirected. What cannot be written to standard output is a failure of
/// the command (`OutputLoss`); a message that standard error does not take is lost.
public struct StandardStream: TextSink {
  public static let output = StandardStream(
    STDOUT_FILENO, launcher: ParallelProcess.isLaunched ? LauncherTerminal.inherited : nil)
  public static let error = StandardStream(STDERR_FILENO)

  private let descriptor: Int32
  private let launcher: LauncherTerminal?
  public let isTerminal: Bool
  public let showsColor: Bool

  /// - Parameter launcher: the terminal behind the launcher of a rank, which itself writes to a pseudo-terminal of mpirun's.
  private init(_ descriptor: Int32, launcher: LauncherTerminal? = nil) {
    let environment = ProcessInfo.processInfo.environment
    self.descriptor = descriptor
    self.launcher = launcher
    isTerminal = (launcher.map { $0.columns > 0 } ?? (isatty(descriptor) == 1)) && environment["TERM"] != "dumb"
    showsColor = isTerminal && environment["NO_COLOR", default: ""].isEmpty
  }

  public var width: Int? {
    if let launcher { return launcher.columns > 0 ? launcher.columns : nil }
    var size = winsize()
    guard ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0 else { return nil }
    // A serial line knows no size; the user's shell may.
    return size.ws_col > 0 ? Int(size.ws_col) : ProcessInfo.processInfo.environment["COLUMNS"].flatMap { Int($0) }
  }

  public func write(_ text: String) { write(bytes: Array(text.utf8)) }

  /// Writes bytes that need not be text.
  package func write(bytes: [UInt8]) {
    guard descriptor != STDOUT_FILENO || !OutputLoss.isKnown else { return }
    // Not through `FileHandle`, which stops the process where the reader has gone.
    var rest = bytes[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { Foundation.write(descriptor, $0.baseAddress, $0.count) }
      if count < 0, errno == EINTR { continue }
      if count < 0, errno == EAGAIN {
        // A parent has made the pipe or terminal non-blocking.
        var ready = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        poll(&ready, 1, -1)
        continue
      }
      guard count > 0 else {
        if descriptor == STDOUT_FILENO { OutputLoss.note(errno) }
        return
      }
      rest = rest.dropFirst(count)
    }
  }
}

/// What a launcher tells its ranks of the terminal that their output goes to in the end: they write to a pseudo-terminal of
/// mpirun's, whatever is behind it.
package struct LauncherTerminal {
  package static let variable = "MMOE_TERMINAL"
  /// 0 = no terminal, so that lines cannot be redrawn.
  package let columns: Int

  /// What this rank was told; no terminal where another launcher said nothing.
  package static var inherited: LauncherTerminal {
    LauncherTerminal(columns: ProcessInfo.processInfo.environment[variable].flatMap { Int($0) } ?? 0)
  }

  /// That of a stream of the launcher.
  package static func of(_ stream: StandardStream) -> LauncherTerminal {
    LauncherTerminal(columns: stream.isTerminal ? stream.width ?? 80 : 0)
  }
}
