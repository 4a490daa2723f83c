/// The ranks of an expert group as hosts × places on a host, host after host, for an exchange in two levels: inside a host
/// every rank gathers what its neighbours send to the ranks with its own place on other hosts, and then sends each host one
/// message instead of one to each of its ranks (the hierarchical all-to-all of HetuMoE, arXiv 2203.14685, and Tutel).
/// The way back is the same way in the other direction.
final class HostLevels {
  /// The communicators of one stream of exchanges: each is posted to in the same order by all of its ranks.
  struct Stream {
    let inside: Communicator
    let between: Communicator
  }

  let hosts: Int
  /// Ranks of a host.
  let places: Int
  let host: Int
  let place: Int
  let counts: Stream
  let toExperts: Stream
  let toTokens: Stream

  /// Nil where one level is all there is.
  ///
  /// - Parameter places: ranks of a host; 0 = no levels.
  /// - Throws: `ParallelError` when it does not divide the ranks.
  init?(_ group: Communicator, places: Int) throws {
    guard places > 0 else { return nil }
    guard group.size % places == 0 else {
      throw ParallelError(
        "parallel.host_ranks is \(places), which does not divide the \(group.size) ranks that share out the experts; choose a divisor"
      )
    }
    hosts = group.size / places
    guard places > 1, hosts > 1 else { return nil }
    self.places = places
    (host, place) = (group.rank / places, group.rank % places)
    let inside = group.split(color: host, key: place)
    let between = group.split(color: place, key: host)
    func stream() -> Stream { Stream(inside: inside.duplicate(), between: between.duplicate()) }
    (counts, toExperts, toTokens) = (stream(), stream(), stream())
  }

  /// All communicators, to be told what else is in flight.
  var communicators: [Communicator] {
    [counts, toExperts, toTokens].flatMap { [$0.inside, $0.between] }
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
}
