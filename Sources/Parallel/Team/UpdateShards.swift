import MMoETensor

/// Which numbers of every parameter each rank updates (ZeRO stage 1, Rajbhandari et al., arXiv 1910.02054, section 5.1): the
/// ranks that hold the same values cut them into contiguous slices, keep the optimizer's state of their own, and send each
/// other what they have updated. Gradients are summed as without it, so results are the same bits.
///
/// What an optimizer changes together (`Optimizer.unit`, such as a matrix) is in one slice: numbers that follow from one
/// another are never on two ranks, and gathering a matrix for each of its holders would compute it as often.
extension RankTeam {
  /// The ranks that hold the same values of a parameter.
  private func holders(_ parameter: Parameter) -> Communicator {
    parameter.experts == nil ? world : grid.replicas
  }

  /// Decides which numbers every holder updates; every rank must call with the same parameters.
  ///
  /// - Parameter units: of every parameter how many numbers stay together.
  /// - Returns: of every parameter this rank's slice of the numbers here; all of them where it is the only holder.
  package func shareOut(_ parameters: [Parameter], units: [Int]) -> [Range<Int>] {
    var loads = [world, grid.replicas].map { Array(repeating: 0, count: $0.size) }
    return zip(parameters, units).map { parameter, unit in
      let group = holders(parameter)
      // What is frozen is nobody's work.
      let all = RankTeam.slices(
        of: parameter.count, unit: parameter.isFrozen ? 1 : unit, loads: &loads[group === world ? 0 : 1])
      slices[ObjectIdentifier(parameter)] = all
      return all[group.rank]
    }
  }

  /// A parameter's slices, one a holder: in the holders' order where every number is by itself; otherwise the largest goes to
  /// whom has the least so far, since there may be fewer matrices than holders.
  ///
  /// - Parameter loads: what each holder has so far of parameters that are not cut anywhere.
  package static func slices(of count: Int, unit: Int, loads: inout [Int]) -> [Range<Int>] {
    let (units, parts) = (count / unit, loads.count)
    let cut = (0..<parts).map { unit * (units * $0 / parts)..<unit * (units * ($0 + 1) / parts) }
    guard unit > 1 else { return cut }
    let idle = loads.indices.sorted { (loads[$0], $0) < (loads[$1], $1) }
    let large = cut.indices.sorted { (cut[$1].count, $0) < (cut[$0].count, $1) }
    var result = cut
    for (holder, piece) in zip(idle, large) {
      result[holder] = cut[piece]
      loads[holder] += cut[piece].count
    }
    return result
  }

  /// Gives every holder the slices that the others have updated; every rank must call with the same parameters.
  package func shareSlices(_ parameters: [Parameter]) {
    for group in [world, grid.replicas] where group.size > 1 {
      let own = parameters.filter { holders($0) === group }
      var first = 0
      while first < own.count {
        // As many as fit a buffer of 16 MB, or one.
        var (end, size) = (first, 0)
        while end < own.count, end == first || size + own[end].count <= 1 << 22 {
          size += own[end].count
          end += 1
        }
        shareSlices(Array(own[first..<end]), group)
        first = end
      }
    }
  }

  private func shareSlices(_ parameters: [Parameter], _ group: Communicator) {
    let slices = (0..<group.size).map { rank in parameters.map { self.slices[ObjectIdentifier($0)]![rank] } }
    let counts = slices.map { $0.reduce(0) { $0 + $1.count } }
    let starts = counts.indices.map { counts[..<$0].reduce(0, +) }
    let send = Tensor(uninitialized: [max(1, counts[group.rank])])
    var at = 0
    for (parameter, slice) in zip(parameters, slices[group.rank]) {
      (send.pointer + at).update(from: parameter.value.pointer + slice.lowerBound, count: slice.count)
      at += slice.count
    }
    let receive = Tensor(uninitialized: [max(1, counts.reduce(0, +))])
    allGather(send, counts: counts, starts: starts, receive, group, "sharing updated parameters")
    for rank in 0..<group.size where rank != group.rank {
      var at = starts[rank]
      for (parameter, slice) in zip(parameters, slices[rank]) {
        (parameter.value.pointer + slice.lowerBound).update(from: receive.pointer + at, count: slice.count)
        at += slice.count
      }
    }
  }

  /// An optimizer's array of all of a parameter's numbers here, from the slices of its holders; every rank must call. The first one may
  /// write to a slow disk between two calls.
  ///
  /// - Parameter slice: this rank's, `[numbers]`.
  /// - Returns: of the parameter's shape.
  package func assemble(_ slice: Tensor, of parameter: Parameter) -> Tensor {
    let group = holders(parameter)
    let slices = self.slices[ObjectIdentifier(parameter)]!
    let whole = Tensor(uninitialized: parameter.shape)
    guard group.size > 1 else {
      whole.pointer.update(from: slice.pointer, count: slice.count)
      return whole
    }
    allGather(
      slice, counts: slices.map(\.count), starts: slices.map(\.lowerBound), whole, group,
      "collecting the optimizer's state", patiently: true)
    return whole
  }

  /// Sends the same rows to every rank of a group.
  private func allGather(
    _ send: Tensor, counts: [Int], starts: [Int], _ receive: Tensor, _ group: Communicator, _ what: String,
    patiently: Bool = false
  ) {
    let own = Array(repeating: counts[group.rank], count: group.size)
    let operation = group.startRows(
      send.pointer, counts: own, starts: own.map { _ in 0 }, receive.pointer, receiveCounts: counts,
      receiveStarts: starts, rowBytes: 4, keeping: [send, receive], what)
    group.wait(operation, patiently: patiently)
  }
}
