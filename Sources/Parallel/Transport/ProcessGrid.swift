import MMoEFiles

/// Ranks in two directions: those of one expert group share out the experts among them, and as many groups as there are
/// hold copies of them. Every rank has its own part of the batch.
///
/// Rank r is number r mod M of group r / M: a group's ranks are neighbors, usually on one host.
package final class ProcessGrid {
  package let world: Communicator
  /// The ranks that share out the experts.
  package let expertGroup: Communicator
  /// The ranks that hold the same experts.
  package let replicas: Communicator

  /// - Parameter expertParallel: ranks of an expert group, M.
  /// - Throws: `ParallelError` when M does not divide the ranks.
  package init(_ world: Communicator, expertParallel: Int) throws {
    guard expertParallel >= 1, world.size % expertParallel == 0 else {
      throw ParallelError(
        field: "parallel.expert", found: "\(expertParallel), which does not divide the \(world.size) ranks",
        remedy: "choose a divisor")
    }
    self.world = world
    expertGroup = world.split(color: world.rank / expertParallel, key: world.rank % expertParallel)
    replicas = world.split(color: world.rank % expertParallel, key: world.rank / expertParallel)
  }

  /// The largest expert group that both the ranks and the experts of a layer allow.
  package static func largestGroup(ranks: Int, experts: Int) -> Int {
    (1...ranks).last { ranks % $0 == 0 && experts % $0 == 0 } ?? 1
  }
}
