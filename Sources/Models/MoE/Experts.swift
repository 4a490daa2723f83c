import MMoETensor

/// E two-layer perceptrons, stacked under global expert numbers: fc1 `[E, hidden, d]`, fc2 `[E, d, hidden]`.
package struct Experts {
  package let w1, b1, w2, b2: Parameter
  package let count: Int

  package init(_ store: ParameterStore, _ path: String, count: Int, width: Int, hidden: Int) {
    self.count = count
    w1 = store.weight(path + ".fc1.weight", [count, hidden, width], reduction: .expert)
    b1 = store.constant(path + ".fc1.bias", [count, hidden], 0, reduction: .expert)
    w2 = store.weight(path + ".fc2.weight", [count, width, hidden], reduction: .expert)
    b2 = store.constant(path + ".fc2.bias", [count, width], 0, reduction: .expert)
  }

  /// Applies each expert to its rows.
  package func callAsFunction(_ input: ExpertRows, _ tape: Tape) -> ExpertRows {
    let rows = tape.feedForward(
      input.rows, offsets: input.offsets, w1: w1, b1: b1, w2: w2, b2: b2)
    return ExpertRows(rows: rows, offsets: input.offsets, plan: input.plan)
  }
}
