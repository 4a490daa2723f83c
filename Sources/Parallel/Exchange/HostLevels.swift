/// The ranks of an expert group as hosts × places on a host, host after host, for an exchange in two levels: inside a host
/// every rank gathers what its neighbours send to the ranks with its own place on other hosts, and then sends each host
/// one block instead of one to each of its ranks, fewer messages where blocks are shorter than one (the hierarchical all-to-all of HetuMoE, arXiv 2203.14685, and Tutel).
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
  let counts: Stream
  let toExperts: Stream
  let toTokens: Stream

  /// Nil where one level is all there is: the group stands on one host, or has one rank on each.
  ///
  /// - Parameter places: ranks of a host; 0 = no levels.
  /// - Throws: `ParallelError` when hosts of so many ranks do not make up the group, or its ranks stand otherwise.
  init?(_ group: Communicator, places: Int) throws {
    guard places > 1, places % group.size != 0 else { return nil }
    guard group.size % places == 0 else {
      throw ParallelError(
        "parallel.host_ranks is \(places), which does not divide the \(group.size) ranks that share out the experts; choose a divisor"
      )
    }
    let names = group.hostNames()
    for rank in names.indices where names[rank] != names[rank / places * places] {
      throw ParallelError(
        "parallel.host_ranks is \(places), but rank \(rank / places * places) runs on \(names[rank / places * places]) and rank \(rank) on \(names[rank]); start ranks host by host (mpirun --map-by slot), or give another number"
      )
    }
    self.places = places
    hosts = group.size / places
    let (host, place) = (group.rank / places, group.rank % places)
    let inside = group.split(color: host, key: place)
    let between = group.split(color: place, key: host)
    func stream() -> Stream { Stream(inside: inside.duplicate(), between: between.duplicate()) }
    (counts, toExperts, toTokens) = (stream(), stream(), stream())
  }
}
