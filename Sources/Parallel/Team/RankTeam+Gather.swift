import MMoEModels
import MMoETensor

extension RankTeam {
  /// The rows of all ranks, in the order of the ranks, for losses that compare everything with everything, such as the
  /// contrastive one.
  ///
  /// Every rank computes the same loss from the same rows, so a rank's part of the gradient is the same on all: its adjoint
  /// takes its own rows' and multiplies by the number of ranks, by which the average over ranks divides. Nothing travels back.
  ///
  /// - Parameter x: `[rows, d]`, as many on every rank; every rank must call.
  /// - Returns: `[ranks · rows, d]`.
  package func gatherRows(_ x: Tensor, _ tape: Tape) -> Tensor {
    let (rows, d, ranks, own) = (x.rows, x.columns, world.size, world.rank)
    let all = Tensor(uninitialized: [ranks * rows, d])
    let counts = Array(repeating: rows, count: ranks)
    tape.timed("gather rows") {
      world.wait(
        world.startRows(
          x.pointer, counts: counts, starts: counts.map { _ in 0 }, all.pointer, receiveCounts: counts,
          receiveStarts: (0..<ranks).map { $0 * rows }, rowBytes: 4 * d, keeping: [x, all],
          "gathering rows to compare"))
    }
    let slot = x.slot
    tape.record("gather rows", all) { dAll in
      let dX = Tensor(uninitialized: [rows, d])
      let source = dAll.pointer + own * rows * d
      for i in 0..<rows * d { dX.pointer[i] = Float(ranks) * source[i] }
      tape.accumulate(dX, into: slot)
    }
    return all
  }
}
