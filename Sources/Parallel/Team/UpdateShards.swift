import MMoETensor

/// Which numbers of every parameter each rank updates (ZeRO stage 1, Rajbhandari et al., arXiv 1910.02054, section 5.1): the
/// ranks that hold the same values cut them into contiguous slices, keep the optimiser's moments of their own, and send each
/// other what they have updated. Gradients are summed as without it, so results are the same bits.
extension RankTeam {
  /// The ranks that hold the same values of a parameter.
  private func holders(_ parameter: Parameter) -> Communicator {
    parameter.experts == nil ? world : grid.replicas
  }

  /// This rank's slice of a parameter's numbers here; all of them where it is the only holder.
  public func ownSlice(of parameter: Parameter) -> Range<Int> {
    let group = holders(parameter)
    return RankTeam.slice(parameter.count, group.rank, group.size)
  }

  private static func slice(_ count: Int, _ index: Int, _ parts: Int) -> Range<Int> {
    count * index / parts..<count * (index + 1) / parts
  }

  /// Gives every holder the slices that the others have updated; every rank must call with the same parameters.
  public func shareSlices(_ parameters: [Parameter]) {
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
    let slices = (0..<group.size).map { rank in
      parameters.map { RankTeam.slice($0.count, rank, group.size) }
    }
    let counts = slices.map { $0.reduce(0) { $0 + $1.count } }
    let starts = counts.indices.map { counts[..<$0].reduce(0, +) }
    let send = Tensor(uninitialised: [max(1, counts[group.rank])])
    var at = 0
    for (parameter, slice) in zip(parameters, slices[group.rank]) {
      (send.pointer + at).update(from: parameter.value.pointer + slice.lowerBound, count: slice.count)
      at += slice.count
    }
    let receive = Tensor(uninitialised: [max(1, counts.reduce(0, +))])
    allGather(send, counts: counts, starts: starts, receive, group, "sharing updated parameters")
    for rank in 0..<group.size where rank != group.rank {
      var at = starts[rank]
      for (parameter, slice) in zip(parameters, slices[rank]) {
        (parameter.value.pointer + slice.lowerBound).update(from: receive.pointer + at, count: slice.count)
        at += slice.count
      }
    }
  }

  /// A moment of all of a parameter's numbers here, from the slices of its holders; every rank must call. The first one may
  /// write to a slow disk between two calls.
  ///
  /// - Parameter slice: this rank's, `[numbers]`.
  /// - Returns: of the parameter's shape.
  public func assemble(_ slice: Tensor, of parameter: Parameter) -> Tensor {
    let group = holders(parameter)
    let slices = (0..<group.size).map { RankTeam.slice(parameter.count, $0, group.size) }
    let whole = Tensor(uninitialised: parameter.shape)
    guard group.size > 1 else {
      whole.pointer.update(from: slice.pointer, count: slice.count)
      return whole
    }
    allGather(
      slice, counts: slices.map(\.count), starts: slices.map(\.lowerBound), whole, group,
      "collecting the optimiser's moments", patiently: true)
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
