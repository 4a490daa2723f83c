import Foundation
import Synchronization

/// Where text for people goes: a terminal, a file, a pipe, or a test's memory.
public protocol TextSink: Sendable {
  /// Whether lines can be redrawn.
  var isTerminal: Bool { get }
  /// Whether escape codes for colour may be written.
  var showsColour: Bool { get }
  /// The terminal's width in columns now, where known.
  var width: Int? { get }
  /// Writes the text as it is, at once.
  func write(_ text: String)
}

extension TextSink {
  /// Writes a line.
  public func line(_ text: String = "") { write(text + "\n") }

  /// The text in a style, or as it is where colours are not shown.
  public func styled(_ text: String, _ style: TextStyle) -> String {
    showsColour ? "\u{1B}[\(style.rawValue)m\(text)\u{1B}[0m" : text
  }
}

/// How a text may stand out.
public enum TextStyle: Int, Sendable {
  case bold = 1
  case dim = 2
  case red = 31
  case green = 32
  case yellow = 33
  case cyan = 36
}

/// Standard output or standard error.
///
/// Colour only on a terminal, and not where `NO_COLOR` is set (https://no-color.org). A terminal with
/// `TERM=dumb` cannot redraw a line and counts as redirected.
public struct StandardStream: TextSink {
  public static let output = StandardStream(STDOUT_FILENO)
  public static let error = StandardStream(STDERR_FILENO)

  private let descriptor: Int32
  public let isTerminal: Bool
  public let showsColour: Bool

  private init(_ descriptor: Int32) {
    let environment = ProcessInfo.processInfo.environment
    self.descriptor = descriptor
    isTerminal = isatty(descriptor) == 1 && environment["TERM"] != "dumb"
    showsColour = isTerminal && environment["NO_COLOR", default: ""].isEmpty
  }

  public var width: Int? {
    var size = winsize()
    guard ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return nil }
    return Int(size.ws_col)
  }

  public func write(_ text: String) {
    // Not through `FileHandle`, which stops the process where the reader has gone.
    var rest = Array(text.utf8)[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { Foundation.write(descriptor, $0.baseAddress, $0.count) }
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { return }
      rest = rest.dropFirst(count)
    }
  }
}

/// Drops what is written: ranks that have nothing to say.
public struct DiscardedText: TextSink {
  public let isTerminal = false
  public let showsColour = false
  public let width: Int? = nil

  public init() {}

  public func write(_ text: String) {}
}

/// Keeps what is written, for tests and for output that is shown later.
public final class TextBuffer: TextSink {
  public let isTerminal: Bool
  public let showsColour: Bool
  public let width: Int?
  private let content = Mutex("")

  public init(isTerminal: Bool = false, showsColour: Bool = false, width: Int? = nil) {
    self.isTerminal = isTerminal
    self.showsColour = showsColour
    self.width = width
  }

  /// Everything written so far.
  public var text: String { content.withLock { $0 } }

  public func write(_ text: String) { content.withLock { $0 += text } }
}
