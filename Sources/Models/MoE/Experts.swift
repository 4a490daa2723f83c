import MMoETensor

/// E two-layer perceptrons, stacked under global expert numbers: fc1 `[E, hidden, d]` (SwiGLU: `[E, 2 hidden, d]`),
/// fc2 `[E, d, hidden]`.
package struct Experts {
  package let w1, w2: Parameter
  package let b1, b2: Parameter?
  package let count: Int
  private let activation: Activation

  package init(_ store: ParameterStore, _ path: String, _ config: ModelConfig) {
    count = config.moe.experts
    activation = config.activation
    let (width, hidden) = (config.width, config.expertHidden)
    func weight(_ name: String, _ out: Int, _ inner: Int, scale: Double = 1) -> Parameter {
      store.weight(
        path + name + ".weight", [config.moe.experts, out, inner], reduction: .expert, scale: scale)
    }
    func bias(_ name: String, _ out: Int) -> Parameter? {
      config.bias
        ? store.constant(path + name + ".bias", [config.moe.experts, out], 0, reduction: .expert) : nil
    }
    w1 = weight(".fc1", activation.halves * hidden, width)
    b1 = bias(".fc1", activation.halves * hidden)
    w2 = weight(".fc2", width, hidden, scale: config.residualScale)
    b2 = bias(".fc2", width)
  }

  /// Applies each expert to its rows.
  package func callAsFunction(_ input: ExpertRows, _ tape: Tape) -> ExpertRows {
    let rows = tape.feedForward(
      input.rows, offsets: input.offsets, w1: w1, b1: b1, w2: w2, b2: b2, activation: activation)
    return ExpertRows(rows: rows, offsets: input.offsets, plan: input.plan)
  }
}
