import Synchronization

/// Where text for people goes: a terminal, a file, a pipe, or a test's memory.
public protocol TextSink: Sendable {
  /// Whether lines can be redrawn.
  var isTerminal: Bool { get }
  /// Whether escape codes for color may be written.
  var showsColor: Bool { get }
  /// The terminal's width in columns now, where known.
  var width: Int? { get }
  /// Writes the text as it is, at once.
  func write(_ text: String)
}

extension TextSink {
  /// Writes a line.
  public func line(_ text: String = "") { write(text + "\n") }

  /// The text in a style, or as it is where colors are not shown.
  package func styled(_ text: String, _ style: TextStyle) -> String {
    showsColor ? "\u{1B}[\(style.rawValue)m\(text)\u{1B}[0m" : text
  }
}

/// How a text may stand out.
package enum TextStyle: Int, Sendable {
  case bold = 1
  case dim = 2
  case red = 31
  case green = 32
  case yellow = 33
  case cyan = 36
}

/// Drops what is written: ranks that have nothing to say.
public struct DiscardedText: TextSink {
  public let isTerminal = false
  public let showsColor = false
  public let width: Int? = nil

  public init() {}

  public func write(_ text: String) {}
}

/// Keeps what is written, for tests and for output that is shown later.
public final class TextBuffer: TextSink {
  public let isTerminal: Bool
  public let showsColor: Bool
  public let width: Int?
  private let content = Mutex("")

  public init(isTerminal: Bool = false, showsColor: Bool = false, width: Int? = nil) {
    self.isTerminal = isTerminal
    self.showsColor = showsColor
    self.width = width
  }

  /// Everything written so far.
  public var text: String { content.withLock { $0 } }

  public func write(_ text: String) { content.withLock { $0 += text } }
}
