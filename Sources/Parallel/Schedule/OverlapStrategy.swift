/// How exchange and computation share the time. Strategies change when something runs, never what is computed; more
/// parts than a rank has experts sum their gradients part by part, all others in the same order.
public enum OverlapStrategy: Sendable, Equatable, CustomStringConvertible {
  /// Every exchange is awaited where it starts.
  case sequential
  /// A route's rows in parts: exchange and experts of different parts overlap (Tutel).
  case pipelined(Int)
  /// A route starts when its source exists and is awaited at the end of its block; its experts run in the slot that
  /// measured times choose.
  case shortcut
  case shortcutPipelined(Int)
  /// The parts and the slot that the cost model finds fastest from the measured times, among those that leave every
  /// expert's rows together: measured times must not change sums.
  case auto

  /// `sequential`, `pipelined:N`, `shortcut`, `shortcut+pipelined:N` or `auto`; nil for other words.
  public init?(_ text: String) {
    func parts(_ prefix: String) -> Int? {
      guard text.hasPrefix(prefix), let n = Int(text.dropFirst(prefix.count)), (2...64).contains(n) else {
        return nil
      }
      return n
    }
    switch text {
    case "sequential": self = .sequential
    case "shortcut": self = .shortcut
    case "auto": self = .auto
    default:
      if let n = parts("pipelined:") {
        self = .pipelined(n)
      } else if let n = parts("shortcut+pipelined:") {
        self = .shortcutPipelined(n)
      } else {
        return nil
      }
    }
  }

  package static let forms = "sequential, pipelined:N, shortcut, shortcut+pipelined:N (N from 2 to 64), auto"

  public var description: String {
    switch self {
    case .sequential: "sequential"
    case .pipelined(let n): "pipelined:\(n)"
    case .shortcut: "shortcut"
    case .shortcutPipelined(let n): "shortcut+pipelined:\(n)"
    case .auto: "auto"
    }
  }

  /// Parts of a route, and whether it overlaps the backbone. `auto` is one of the others once it has measured.
  var form: (parts: Int, usesWindow: Bool) {
    switch self {
    case .sequential: (1, false)
    case .pipelined(let n): (n, false)
    case .shortcut, .auto: (1, true)
    case .shortcutPipelined(let n): (n, true)
    }
  }
}
