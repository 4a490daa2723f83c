import MMoETensor

/// The experts of a bank that live in this process, two-layer MLPs stacked in the order of their global numbers:
/// fc1 `[e, h, d]` (SwiGLU: `[e, 2 h, d]`), fc2 `[e, d, h]`. Paths and initial values do not depend on how
/// many live here.
package struct Experts {
  package let path: String
  package let w1, w2: Parameter
  package let b1, b2: Parameter?
  private let activation: Activation

  /// - Parameter local: those that live here; nil = all.
  package init(
    _ store: ParameterStore, _ path: String, _ config: ModelConfig, local: Range<Int>? = nil
  ) {
    let share = ExpertShare(local: local ?? 0..<config.moe.experts, of: config.moe.experts)
    self.path = path
    activation = config.activation
    let (width, hidden) = (config.width, config.expertHidden)
    func weight(_ name: String, _ out: Int, _ inner: Int, scale: Double = 1) -> Parameter {
      store.weight(
        path + name + ".weight", .experts, [share.local.count, out, inner], experts: share, scale: scale)
    }
    func bias(_ name: String, _ out: Int) -> Parameter? {
      config.bias
        ? store.constant(path + name + ".bias", .experts, [share.local.count, out], 0, experts: share) : nil
    }
    w1 = weight(".fc1", activation.halves * hidden, width)
    b1 = bias(".fc1", activation.halves * hidden)
    w2 = weight(".fc2", width, hidden, scale: config.residualScale)
    b2 = bias(".fc2", width)
    for weight in [w1, w2] { store.adapt(weight, .experts) }
  }

  /// Applies each expert to its rows.
  package func callAsFunction(_ input: ExpertRows, _ tape: Tape) -> ExpertRows {
    let rows = tape.feedForward(
      input.rows, offsets: input.offsets, w1: w1, b1: b1, w2: w2, b2: b2, activation: activation)
    return ExpertRows(rows: rows, offsets: input.offsets)
  }
}
