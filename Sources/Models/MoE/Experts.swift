import MMoETensor

/// The experts of a bank that live in this process, two-layer MLPs stacked in the order of their global numbers. Paths and
/// initial values do not depend on how many live here. Groups of other widths (`moe.groups`) have stacks of their own.
package struct Experts {
  package let path: String
  private let stacks: [ExpertStack]
  /// Of the first stack.
  package var w1: Parameter { stacks[0].w1 }
  package var w2: Parameter { stacks[0].w2 }
  package var b1: Parameter? { stacks[0].b1 }
  package var b2: Parameter? { stacks[0].b2 }

  /// - Parameter local: those that live here; nil = all.
  package init(
    _ store: ParameterStore, _ path: String, _ config: ModelConfig, local: Range<Int>? = nil
  ) {
    self.path = path
    let total = config.moe.experts
    let local = local ?? 0..<total
    stacks = config.expertStacks.map { name, experts, hidden in
      precondition(name == nil || local == 0..<total, "experts of several widths live in one process")
      return ExpertStack(
        store, path + (name.map { ".\($0)" } ?? ""), config, hidden: hidden,
        ExpertShare(local: experts.clamped(to: local), of: total, stack: experts))
    }
  }

  /// Applies each expert to its rows.
  package func callAsFunction(_ input: ExpertRows, _ tape: Tape) -> ExpertRows {
    guard stacks.count > 1 else {
      return ExpertRows(rows: stacks[0](input.rows, offsets: input.offsets, tape), offsets: input.offsets)
    }
    let count = input.rows.rows
    var sum: Tensor?
    for stack in stacks {
      let own = stack.share.local
      let rows = input.offsets[own.lowerBound]..<input.offsets[own.upperBound]
      // Row i of the stack is row `rows.lowerBound + i` of all. Tensors have as many rows as all, so that their buffers have
      // the same size at every step.
      let places = (0..<count).map { $0 < rows.count ? Int32(rows.lowerBound + $0) : -1 }
      let turns = (0..<count).map { rows.contains($0) ? Int32($0 - rows.lowerBound) : -1 }
      let picked = tape.permuteRows(
        input.rows, source: Array(places[..<rows.count]), position: turns, k: 1, capacity: count)
      let offsets = input.offsets[own.lowerBound...own.upperBound].map { $0 - rows.lowerBound }
      let put = tape.permuteRows(
        stack(picked, offsets: offsets, tape), source: turns, position: places, k: 1, capacity: count)
      sum = sum.map { tape.add($0, put) } ?? put
    }
    return ExpertRows(rows: sum!, offsets: input.offsets)
  }
}

/// Experts of one width: fc1 `[e, h, d]` (SwiGLU: `[e, 2 h, d]`), fc2 `[e, d, h]`.
private struct ExpertStack {
  let share: ExpertShare
  let w1, w2: Parameter
  let b1, b2: Parameter?
  private let activation: Activation

  init(_ store: ParameterStore, _ path: String, _ config: ModelConfig, hidden: Int, _ share: ExpertShare) {
    self.share = share
    activation = config.activation
    let width = config.width
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

  func callAsFunction(_ rows: Tensor, offsets: [Int], _ tape: Tape) -> Tensor {
    tape.feedForward(rows, offsets: offsets, w1: w1, b1: b1, w2: w2, b2: b2, activation: activation)
  }
}
