/// A model as the list of its operations in the order of the network, made by one walk over the configuration
/// (`ArchitectureWalk`). Parameters, FLOPs, memory, profile, schedules, simulator and drawing are read from it.
package struct Architecture: Sendable {
  /// A call of a bank of experts by one route.
  package struct Call: Sendable {
    package let id: ModelOperation.CallID
    package let route: Route
    /// Experts of the bank.
    package let experts: Int
    /// The operators that run between the route's departure and the end of its block, in order (arXiv 2404.05019, section 3):
    /// Pos-1 attention and shared expert, Pos-2 the MLP before them, Pos-3 the attention before that.
    package fileprivate(set) var window: [WindowOperator] = []
  }

  package let operations: [ModelOperation]
  /// In the order of blocks and of each block's routes.
  package let calls: [Call]

  /// - Parameter training: whether operations are those of a training step; else those of an evaluation.
  /// - Throws: `ModelError` for an impossible configuration.
  package init(_ config: ModelConfig, training: Bool = true) throws {
    try config.validate()
    var walk = ArchitectureWalk(training: training)
    try config.family.add(config, to: &walk)
    self.init(walk)
  }

  /// Blocks without ends, dense ones and such with experts in turns: up to the pair that ends with the first block of which all
  /// sources exist.
  package init(pairOf variant: MoEVariant?) {
    var config = ModelConfig()
    let reach = variant?.reach ?? 0
    config.layers = 2 * ((reach + 1) / 2) + 2
    config.moe.variant = variant?.name ?? "dense"
    var walk = ArchitectureWalk(training: true)
    walk.addStack(config, variant)
    self.init(walk)
  }

  private init(_ walk: ArchitectureWalk) {
    operations = walk.operations
    var calls = walk.calls.sorted { ($0.id.block, $0.id.route) < ($1.id.block, $1.id.route) }
    let index = Dictionary(uniqueKeysWithValues: calls.enumerated().map { ($1.id, $0) })
    for operation in operations {
      guard let window = operation.window else { continue }
      for id in operation.inShadowOf where calls[index[id]!].window.last != window {
        calls[index[id]!].window.append(window)
      }
    }
    self.calls = calls
  }

  /// The operators of the backbone, in order.
  package var operators: [WindowOperator] {
    operations.reduce(into: []) { operators, operation in
      if let window = operation.window, operators.last != window { operators.append(window) }
    }
  }

  /// The last pair of blocks: its operators, and the calls of its last block.
  package var lastPair: (operators: [WindowOperator], calls: [Call]) {
    let last = operators.last?.block ?? 0
    return (operators.filter { $0.block > last - 2 }, calls.filter { $0.id.block == last })
  }
}
