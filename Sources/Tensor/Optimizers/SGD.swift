import CKernels

/// Stochastic gradient descent with momentum (Sutskever et al., ICML 2013) and decoupled decay:
/// `m ← momentum · m + g`, `p ← p − lr · wd · p − lr · m`.
public struct SGD: Optimizer {
  public static let name = "sgd"
  public static let summary = "steps of the gradients' decaying sum"
  public static let keys: Set = ["momentum"]

  private let momentum: Float

  public init(_ config: OptimizerConfig) { momentum = Float(config.momentum) }

  public func state(of parameter: Parameter) -> [String] { ["momentum"] }

  public func step(_ number: Int, _ tiles: [UpdateTile], scale: Float, engine: Engine) {
    engine.pool.run(tiles.count) { i, _ in
      let (tile, sum) = (tiles[i], tiles[i].state[0])
      mmoe_scale(sum, sum, momentum, tile.count)
      mmoe_axpy(sum, tile.gradient, scale, tile.count)
      mmoe_scale(tile.values, tile.values, 1 - tile.lr * tile.decay, tile.count)
      mmoe_axpy(tile.values, sum, -tile.lr, tile.count)
    }
  }
}
