import MMoETensor

/// One part of a route's rows on their way, to the experts or back to the tokens. Rows of this rank's own experts stay
/// and are copied at the end.
///
/// A token's side holds rows in the plan's order, which is rank by rank; an expert's side is sorted by expert. In
/// float32 the token's side is sent from and received into as it stands; the expert's side is packed and unpacked.
final class RowExchange {
  enum Direction {
    case toExperts, toTokens
  }

  let name: String
  let scope: String
  let direction: Direction
  private let layout: RouteLayout
  private let partIndex: Int
  private let wire: WireFormat
  private let engine: Engine
  private let source: Tensor
  /// Where rows that come back go: the token's side; nil towards the experts.
  private let target: Tensor?
  private let width: Int
  private var sendBuffer: Storage?
  private var receiveBuffer: Storage?
  /// The operation to wait for, once posted.
  private(set) var pending: PendingOperation?
  let started = monotonicSeconds()
  private(set) var isDone = false
  private(set) var bytes = 0

  /// - Parameters:
  ///   - source: `[rows, d]`, the token's side in the plan's order, or the expert's side of this part.
  ///   - target: `[rows, d]` of the token's side, for `toTokens`.
  init(
    _ name: String, scope: String, _ direction: Direction, _ layout: RouteLayout, partIndex: Int,
    wire: WireFormat, from source: Tensor, into target: Tensor?, engine: Engine
  ) {
    self.name = name
    self.scope = scope
    self.direction = direction
    self.layout = layout
    self.partIndex = partIndex
    self.wire = wire
    self.engine = engine
    self.source = source
    self.target = target
    width = source.columns
    pack()
  }

  var isPosted: Bool { pending != nil }

  /// Whether it can be posted: towards the experts, the counts must have arrived.
  var isReady: Bool { direction == .toTokens || !layout.received.isEmpty }

  private var sentCounts: [Int] {
    let plan = layout.plan.offsets[partIndex]
    return (0..<layout.ranks).map { plan[($0 + 1) * layout.experts] - plan[$0 * layout.experts] }
  }

  /// Brings what is sent into the form in which it is sent.
  private func pack() {
    let rowBytes = wire.rowBytes(width)
    switch direction {
    case .toExperts:
      guard wire != .float32 else { return }
      let counts = sentCounts
      let start = layout.plan.offsets[partIndex][0]
      let total = counts.reduce(0, +)
      let buffer = Storage(count: (total * rowBytes + 3) / 4)
      sendBuffer = buffer
      let (px, out) = (source.pointer, UnsafeMutableRawPointer(buffer.pointer))
      engine.forRowTiles(total, target: 256) { r, _, _ in
        wire.encode(
          px + (start + r.lowerBound) * width, count: r.count, width: width,
          to: out + r.lowerBound * rowBytes)
      }
    case .toTokens:
      let part = layout.part(partIndex)
      let buffer = Storage(count: (part.foreignRows * rowBytes + 3) / 4)
      sendBuffer = buffer
      let (px, out) = (source.pointer, UnsafeMutableRawPointer(buffer.pointer))
      forTiles(of: part.runs.filter { $0.rank != layout.rank }) { run, rows in
        wire.encode(
          px + (run.target + rows.lowerBound) * width, count: rows.count, width: width,
          to: out + (run.source + rows.lowerBound) * rowBytes)
      }
    }
  }

  /// What one side sends or receives: rows of each rank of the group, and where they begin.
  private struct Side {
    let memory: UnsafeMutableRawPointer
    let counts: [Int]
    let starts: [Int]
    let owner: AnyObject
  }

  /// Hands the transfer to MPI. All ranks post in the same order.
  func post(_ rows: Communicator) {
    let part = layout.part(partIndex)
    let rowBytes = wire.rowBytes(width)
    func withoutOwn(_ counts: [Int]) -> [Int] {
      counts.enumerated().map { $0.offset == layout.rank ? 0 : $0.element }
    }
    let tokenCounts = withoutOwn(part.sentCounts)
    let expertCounts = withoutOwn(part.receivedCounts)
    // The token's side in its own memory (rows counted from the first of all parts), or packed from 0.
    let first = wire == .float32 ? 0 : part.sentStarts[0]
    let tokenStarts = part.sentStarts.map { $0 - first }
    let (source, target): (Side, Side)
    switch direction {
    case .toExperts:
      bytes = tokenCounts.reduce(0, +) * rowBytes
      let buffer = Storage(count: (part.foreignRows * rowBytes + 3) / 4)
      receiveBuffer = buffer
      source = Side(
        memory: sendBuffer?.pointer ?? self.source.pointer, counts: tokenCounts, starts: tokenStarts,
        owner: sendBuffer ?? self.source)
      target = Side(
        memory: buffer.pointer, counts: expertCounts, starts: part.receivedStarts, owner: buffer)
    case .toTokens:
      bytes = part.foreignRows * rowBytes
      if wire != .float32 {
        receiveBuffer = Storage(count: (part.sentCounts.reduce(0, +) * rowBytes + 3) / 4)
      }
      guard let sendBuffer, let tokens = self.target else { preconditionFailure("not packed") }
      source = Side(
        memory: sendBuffer.pointer, counts: expertCounts, starts: part.receivedStarts, owner: sendBuffer)
      target = Side(
        memory: receiveBuffer?.pointer ?? tokens.pointer, counts: tokenCounts, starts: tokenStarts,
        owner: receiveBuffer ?? tokens)
    }
    pending = rows.startRows(
      source.memory, counts: source.counts, starts: source.starts, target.memory, receiveCounts: target.counts,
      receiveStarts: target.starts, rowBytes: rowBytes, keeping: [source.owner, target.owner], name)
  }

  /// Advances it; true at the call that saw its end.
  func advance() -> Bool {
    guard !isDone, let pending, pending.test() else { return false }
    isDone = true
    return true
  }

  /// The rows of the experts here, sorted by expert, once done.
  func unpackForExperts() -> ExpertRowsOfPart {
    let part = layout.part(partIndex)
    let y = Tensor(uninitialized: [part.offsets.last!, width])
    guard let receiveBuffer else { preconditionFailure("not posted") }
    let (py, px) = (y.pointer, source.pointer)
    let received = UnsafeRawPointer(receiveBuffer.pointer)
    let rowBytes = wire.rowBytes(width)
    forTiles(of: part.runs) { run, rows in
      let out = py + (run.target + rows.lowerBound) * width
      if run.rank == layout.rank {
        out.update(from: px + (run.source + rows.lowerBound) * width, count: rows.count * width)
      } else {
        wire.decode(
          received + (run.source + rows.lowerBound) * rowBytes, count: rows.count, width: width,
          to: out)
      }
    }
    return ExpertRowsOfPart(rows: y, offsets: part.offsets)
  }

  struct ExpertRowsOfPart {
    let rows: Tensor
    let offsets: [Int]
  }

  /// Completes this part of the token's side, once done.
  func unpackForTokens() {
    guard let target else { preconditionFailure("no target") }
    let part = layout.part(partIndex)
    let (py, px) = (target.pointer, source.pointer)
    forTiles(of: part.runs.filter { $0.rank == layout.rank }) { run, rows in
      (py + (run.source + rows.lowerBound) * width).update(
        from: px + (run.target + rows.lowerBound) * width, count: rows.count * width)
    }
    guard let receiveBuffer else { return }
    let received = UnsafeRawPointer(receiveBuffer.pointer)
    let rowBytes = wire.rowBytes(width)
    let (start, own) = (part.sentStarts[0], layout.rank)
    let total = part.sentCounts.reduce(0, +)
    let kept = part.sentStarts[own] - start..<part.sentStarts[own] - start + part.sentCounts[own]
    for rows in [0..<kept.lowerBound, kept.upperBound..<total] where !rows.isEmpty {
      engine.forRowTiles(rows.count, target: 256) { r, _, _ in
        let row = rows.lowerBound + r.lowerBound
        wire.decode(
          received + row * rowBytes, count: r.count, width: width, to: py + (start + row) * width)
      }
    }
  }

  /// Runs `body` over runs cut into tiles, so that threads share long ones.
  private func forTiles(
    of runs: [RouteLayout.Run], _ body: (_ run: RouteLayout.Run, _ rows: Range<Int>) -> Void
  ) {
    let step = 256
    let tiles = runs.flatMap { run in
      stride(from: 0, to: run.count, by: step).map { (run, $0..<min($0 + step, run.count)) }
    }
    engine.pool.run(tiles.count) { tile, _ in body(tiles[tile].0, tiles[tile].1) }
  }
}
