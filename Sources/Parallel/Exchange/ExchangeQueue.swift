import MMoETensor

/// The exchanges in flight on one rank, in the order in which they were started. All ranks start the same ones in the
/// same order; each is posted as soon as its counts are known and those before it are posted.
///
/// Nothing moves while nobody looks: `poll` is the engine's progress hook.
final class ExchangeQueue {
  let group: Communicator
  private let countStream: Communicator
  private let rowStream: Communicator
  /// The engine's hook holds the queue, not the other way round.
  private unowned let engine: Engine
  private var counts: [CountExchange] = []
  private var flights: [RowExchange] = []
  private var isPolling = false
  /// Whether ranks wait for each other before rows leave, so that an exchange's time is its own: neither that of waiting
  /// for a late rank, nor none because the others' rows were there already.
  var startsTogether = false
  /// Others that a poll advances, such as gradients on their way.
  var alsoAdvance: (() -> Void)?

  init(_ group: Communicator, engine: Engine) {
    self.group = group
    self.engine = engine
    countStream = group.duplicate()
    rowStream = group.duplicate()
    for stream in [countStream, rowStream] {
      stream.whileWaiting = { [unowned self] in advance() }
    }
  }

  /// Starts the exchange of a route's counts.
  func startCounts(_ layout: RouteLayout) {
    counts.append(CountExchange(layout, countStream))
    advance()
  }

  /// To be called before an exchange is made.
  func beforeStart() {
    if startsTogether { group.barrier() }
  }

  func start(_ exchange: RowExchange) {
    flights.append(exchange)
    advance()
  }

  /// Waits for one exchange.
  func wait(_ exchange: RowExchange) {
    guard !exchange.isDone else { return }
    let began = monotonicSeconds()
    while !exchange.isDone {
      if !exchange.isPosted {
        // Its counts, or those of one before it.
        guard let first = counts.first else { preconditionFailure("an exchange without counts") }
        countStream.wait(first.operation)
      } else if let pending = exchange.pending {
        rowStream.wait(pending)
      }
      advance()
    }
    engine.timeline?.append(
      exchange.name, scope: exchange.scope, .wait, from: began, to: monotonicSeconds())
  }

  /// The engine's progress hook: returns at once when nothing is in flight.
  func poll() {
    guard !isPolling, !flights.isEmpty || !counts.isEmpty || alsoAdvance != nil else { return }
    guard let timeline = engine.timeline else { return advance() }
    let began = monotonicSeconds()
    let looked = !flights.isEmpty || !counts.isEmpty
    advance()
    if looked { timeline.append("poll", scope: "", .poll, from: began, to: monotonicSeconds()) }
  }

  private func advance() {
    guard !isPolling else { return }
    isPolling = true
    defer { isPolling = false }
    while let first = counts.first, first.advance() { counts.removeFirst() }
    for flight in flights {
      if !flight.isPosted {
        guard flight.isReady else { break }
        flight.post(rowStream)
      }
      if flight.advance() {
        engine.timeline?.append(
          flight.name, scope: flight.scope, .exchange, from: flight.started, to: monotonicSeconds(),
          bytes: flight.bytes)
      }
    }
    flights.removeAll { $0.isDone }
    alsoAdvance?()
  }
}
