/// What happened when: operators in their order, and what other modules add, such as exchanges in flight. Append-only;
/// traces, overlap figures and schedules are all read from it.
public final class Timeline {
  public enum Kind: String, Sendable, Codable {
    /// An operator's forward or backward part.
    case forward, backward
    /// From the start of a transfer to the moment at which its end was seen.
    case exchange
    /// The computing thread waited for a transfer.
    case wait
    /// A look at what is in flight, between tiles and operators.
    case poll
    /// A whole training step or forward pass.
    case step
  }

  public struct Event: Sendable {
    public let name: String
    /// Where in the network, such as `blocks.3`.
    public let scope: String
    public let kind: Kind
    /// Seconds on the monotonic clock.
    public let start, end: Double
    /// Bytes that left this process; 0 for computation.
    public let bytes: Int

    public var seconds: Double { end - start }
  }

  public private(set) var events: [Event] = []

  public init() {}

  public func append(
    _ name: String, scope: String, _ kind: Kind, from start: Double, to end: Double, bytes: Int = 0
  ) {
    events.append(
      Event(name: name, scope: scope, kind: kind, start: start, end: end, bytes: bytes))
  }
}

/// Time per operation, forward and backward apart, in the order of first use.
public struct OperationProfile {
  public struct Entry {
    /// Backward parts end in ′.
    public let name: String
    public var calls = 0
    public var seconds = 0.0
  }

  public private(set) var entries: [Entry] = []

  /// Adds up a timeline's operators.
  public init(_ timeline: Timeline) {
    var index: [String: Int] = [:]
    for event in timeline.events where event.kind == .forward || event.kind == .backward {
      let name = event.kind == .backward ? event.name + " ′" : event.name
      let at = index[name] ?? entries.count
      if at == entries.count {
        index[name] = at
        entries.append(Entry(name: name))
      }
      entries[at].calls += 1
      entries[at].seconds += event.seconds
    }
  }
}
