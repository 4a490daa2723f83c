/// How the rows of a route are cut into parts whose exchange and experts overlap.
///
/// Parts follow the experts of a rank: with two parts and two experts a rank, each part has one expert of every rank. An
/// expert's rows then stay one product, as fast as without parts and with the same sums, where two products of half the
/// rows read the weights twice. Only more parts than experts cut the queues themselves (Tutel, arXiv 2206.03382, always
/// does).
public struct RouteParts: Sendable, Equatable {
  public let count: Int
  /// Experts of each rank.
  public let expertsOfRank: Int

  public init(_ count: Int, expertsOfRank: Int) {
    (self.count, self.expertsOfRank) = (count, expertsOfRank)
  }

  public static let whole = RouteParts(1, expertsOfRank: 1)

  /// The first place, in an expert's queue of `rows`, that belongs to a part; for `count` the queue's end.
  ///
  /// - Parameter expert: counted over all ranks or over its own.
  public func start(_ part: Int, of expert: Int, rows: Int) -> Int {
    let share = part * expertsOfRank - expert % expertsOfRank * count
    return rows * min(max(share, 0), count) / count
  }

  /// Rows of an expert's queue that belong to a part.
  public func rows(in part: Int, of expert: Int, rows: Int) -> Int {
    start(part + 1, of: expert, rows: rows) - start(part, of: expert, rows: rows)
  }
}
