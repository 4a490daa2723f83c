import MMoETensor

/// Rows of one exchange on their way between ranks: in one step, or in two.
final class RowTransfer {
  /// What one side sends or receives: rows of each rank of the group, and where they begin.
  struct Side {
    let memory: UnsafeMutableRawPointer
    let counts: [Int]
    let starts: [Int]
    let owner: AnyObject
  }

  private enum State {
    case first, second, done
  }

  private var operation: PendingOperation
  private var state: State
  /// Posts the second step; nil where there is one only.
  private var goOn: (() -> PendingOperation)?
  /// What is left to do with the rows when they have come.
  private var finish: (() -> Void)?

  /// What is to be waited for now.
  var pending: PendingOperation { operation }
  /// Whether all of its steps are posted. Transfers of one direction post their second steps in the order of the first, as
  /// all ranks must.
  var isWhollyPosted: Bool { state != .first }

  /// Advances it; true at the call that saw its end.
  ///
  /// - Parameter mayPost: whether those before it have posted their second step.
  func advance(mayPost: Bool) -> Bool {
    guard state != .done, operation.test() else { return false }
    if state == .first {
      guard mayPost, let post = goOn else { return false }
      goOn = nil
      operation = post()
      state = .second
      guard operation.test() else { return false }
    }
    state = .done
    finish?()
    finish = nil
    return true
  }

  /// In one step.
  init(_ rows: Communicator, from source: Side, to target: Side, rowBytes: Int, _ name: String) {
    state = .second
    operation = rows.startRows(
      source.memory, counts: source.counts, starts: source.starts, target.memory,
      receiveCounts: target.counts, receiveStarts: target.starts, rowBytes: rowBytes,
      keeping: [source.owner, target.owner], name)
  }

  /// In two steps: inside the host and then between hosts, or on the way back from the experts between hosts first.
  ///
  /// - Parameter through: rows that pass this rank, `[places][hosts]`: from each rank of this host to the rank with this
  ///   rank's place on each host, or the other way round.
  init(
    _ levels: HostLevels, _ direction: RowExchange.Direction, through: [[Int]], from source: Side, to target: Side,
    rowBytes: Int, _ name: String
  ) {
    state = .first
    let (hosts, places) = (levels.hosts, levels.places)
    /// Rows of every rank of a side as `[host][place]`.
    func grid(_ counts: [Int]) -> [[Int]] { (0..<hosts).map { Array(counts[$0 * places..<($0 + 1) * places]) } }
    func storage(_ rows: Int) -> Storage { Storage(count: (rows * rowBytes + 3) / 4) }
    let middle = BlockTransposition(through)
    switch direction {
    case .toExperts:
      let stream = levels.toExperts
      let leaving = BlockTransposition(grid(source.counts), from: source.starts)
      let (packed, passing, sorted) = (storage(leaving.rows), storage(middle.rows), storage(middle.rows))
      leaving.move(rowBytes, source.memory, packed.pointer)
      let arriving = through.map { $0.reduce(0, +) }
      operation = stream.inside.startRows(
        packed.pointer, counts: leaving.counts, starts: leaving.starts, passing.pointer, receiveCounts: arriving,
        receiveStarts: starts(arriving), rowBytes: rowBytes, keeping: [packed, passing], name + " inside the host")
      goOn = {
        middle.move(rowBytes, passing.pointer, sorted.pointer)
        let counts = grid(target.counts).map { $0.reduce(0, +) }
        return stream.between.startRows(
          sorted.pointer, counts: middle.counts, starts: middle.starts, target.memory, receiveCounts: counts,
          receiveStarts: starts(counts), rowBytes: rowBytes, keeping: [sorted, target.owner], name + " between hosts")
      }
    case .toTokens:
      let stream = levels.toTokens
      let (passing, sorted) = (storage(middle.rows), storage(middle.rows))
      let counts = grid(source.counts).map { $0.reduce(0, +) }
      operation = stream.between.startRows(
        source.memory, counts: counts, starts: starts(counts), sorted.pointer, receiveCounts: middle.counts,
        receiveStarts: middle.starts, rowBytes: rowBytes, keeping: [source.owner, sorted], name + " between hosts")
      let leaving = BlockTransposition(grid(target.counts), from: target.starts)
      let packed = storage(leaving.rows)
      goOn = {
        middle.move(rowBytes, passing.pointer, sorted.pointer, backwards: true)
        let counts = through.map { $0.reduce(0, +) }
        return stream.inside.startRows(
          passing.pointer, counts: counts, starts: starts(counts), packed.pointer, receiveCounts: leaving.counts,
          receiveStarts: leaving.starts, rowBytes: rowBytes, keeping: [passing, packed], name + " inside the host")
      }
      finish = { leaving.move(rowBytes, target.memory, packed.pointer, backwards: true) }
    }
  }
}

/// Where blocks begin that stand one after the other.
private func starts(_ counts: [Int]) -> [Int] {
  var row = 0
  return counts.map { count in
    defer { row += count }
    return row
  }
}

/// Blocks of rows that change their order: `[outer][inner]` becomes `[inner][outer]`, both without gaps.
struct BlockTransposition {
  /// Rows of each block and where they begin, before and after, in the order before.
  private(set) var moves: [(from: Int, to: Int, count: Int)] = []
  /// Rows of each of the inner groups after, and where they begin.
  private(set) var counts: [Int] = []
  private(set) var starts: [Int] = []

  /// - Parameters:
  ///   - blocks: rows, `[outer][inner]`.
  ///   - starts: where blocks begin before, in the same order; nil = one after the other.
  init(_ blocks: [[Int]], from starts: [Int]? = nil) {
    let inner = blocks.first?.count ?? 0
    var to = Array(repeating: Array(repeating: 0, count: inner), count: blocks.count)
    var row = 0
    for i in 0..<inner {
      self.starts.append(row)
      for o in blocks.indices {
        to[o][i] = row
        row += blocks[o][i]
      }
      counts.append(row - self.starts[i])
    }
    var from = 0
    for o in blocks.indices {
      for i in 0..<inner where blocks[o][i] > 0 {
        moves.append((starts?[o * inner + i] ?? from, to[o][i], blocks[o][i]))
        from += blocks[o][i]
      }
    }
  }

  var rows: Int { counts.reduce(0, +) }

  /// Copies the blocks, on this thread alone: it may be the one that looks after the exchanges in the middle of a
  /// computation that has all threads.
  ///
  /// - Parameter backwards: from the order after to the order before.
  func move(
    _ rowBytes: Int, _ before: UnsafeMutableRawPointer, _ after: UnsafeMutableRawPointer, backwards: Bool = false
  ) {
    for (here, there, count) in moves {
      let (a, b) = (before + here * rowBytes, after + there * rowBytes)
      if backwards {
        a.copyMemory(from: b, byteCount: count * rowBytes)
      } else {
        b.copyMemory(from: a, byteCount: count * rowBytes)
      }
    }
  }
}
