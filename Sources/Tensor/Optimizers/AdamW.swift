import CKernels
import Foundation

/// AdamW with decoupled decay (Loshchilov and Hutter, arXiv 1711.05101): decay is `p ← p − lr · wd · p` before the moment
/// update.
public struct AdamW: Optimizer {
  public static let name = "adamw"
  public static let summary = "steps of the mean gradient over the root of its mean square"
  public static let keys: Set = ["beta1", "beta2", "epsilon"]
  /// The gradient's running mean, and its square's.
  static let moments = ["first", "second"]

  private let beta1, beta2: Double
  private let epsilon: Float

  public init(_ config: OptimizerConfig) {
    (beta1, beta2, epsilon) = (config.beta1, config.beta2, Float(config.epsilon))
  }

  public func state(of parameter: Parameter) -> [String] { AdamW.moments }

  public func step(_ number: Int, _ tiles: [UpdateTile], scale: Float, engine: Engine) {
    let corrections = corrections(number)
    engine.pool.run(tiles.count) { i, _ in update(tiles[i], scale: scale, corrections) }
  }

  /// What moments that began at 0 lack.
  func corrections(_ number: Int) -> (first: Float, second: Float) {
    (Float(1 - pow(beta1, Double(number))), Float(1 - pow(beta2, Double(number))))
  }

  /// One tile, on the calling thread.
  func update(_ tile: UpdateTile, scale: Float, _ corrections: (first: Float, second: Float)) {
    mmoe_adamw(
      tile.values, tile.gradient, tile.state[0], tile.state[1], scale, tile.lr, tile.decay, Float(beta1), Float(beta2),
      epsilon, corrections.first, corrections.second, tile.count)
  }
}
