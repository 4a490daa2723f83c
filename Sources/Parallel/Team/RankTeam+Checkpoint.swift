import MMoETensor

extension RankTeam {
  /// All experts of a stacked array on the first rank, from the ranks of its group, in the order of their global numbers;
  /// every rank must call.
  ///
  /// - Parameter values: `[experts here, …]`, the parameter or a moment of it.
  /// - Returns: `[all experts, …]` on the first rank; nil on others, and for arrays that are replicated.
  package func gather(_ parameter: Parameter, _ values: Tensor) -> Tensor? {
    let group = grid.expertGroup
    // Copies in other groups are equal.
    guard let share = parameter.experts, group.size > 1, world.rank < group.size else { return nil }
    guard group.rank == 0 else {
      for part in group.startSend(values, to: 0, "sending experts to be saved") {
        group.wait(part, patiently: true)
      }
      return nil
    }
    let whole = Tensor(uninitialized: [share.total] + values.shape.dropFirst())
    whole.pointer.update(from: values.pointer, count: values.count)
    let pending = (1..<group.size).flatMap { rank in
      group.startReceive(
        whole.rows(of: rank, count: group.size), from: rank, "receiving experts to be saved")
    }
    for part in pending { group.wait(part) }
    return whole
  }
}

extension Tensor {
  /// The `index`-th of `count` equal parts of the first axis, sharing the memory.
  func rows(of index: Int, count parts: Int) -> Tensor {
    Tensor(
      shape: [shape[0] / parts] + shape.dropFirst(), storage: storage,
      offset: offset + index * (count / parts))
  }
}
