/// Sizes and arithmetic of a model: sums over its operations. Counts are in floating point, or checked, where sizes that no
/// machine holds must be counted, not trap.
public struct ModelCosts: Sendable {
  /// All trainable numbers.
  public private(set) var parameters = 0
  /// Those that one token meets: everything but the experts it does not choose.
  public private(set) var activeParameters = 0
  /// Floating-point operations of one sample's forward pass (an image, a window of text): 2 × weights of the matrix
  /// products a token meets, plus attention scores and their products with V over the positions that it sees; look-ups,
  /// norms and activations are not counted. Every choice counts as an expert's row: the most that routing can ask for.
  public private(set) var forwardFLOPs = 0.0
  /// Of one row of an expert, by block; 0 where a block has none.
  private var expertRowFLOPs: [Double] = []
  /// Floats that one sample's recorded forward pass keeps for its backward pass, dropless routing.
  public private(set) var activationFloats = 0.0
  /// Floats per token of context that generation keeps.
  package private(set) var cachedFloats = 0

  /// Forward and backward: three times the forward products.
  public var trainingFLOPs: Double { 3 * forwardFLOPs }

  /// The part of `forwardFLOPs` that these calls of the gates did not ask for: choices that the capacity dropped, and those of
  /// identity experts, are no products. Three times as much in training.
  public func savedFLOPs(_ routings: [RoutingReport]) -> Double {
    // A network outside of the package may have blocks that the configuration does not describe.
    routings.reduce(0) { sum, call in
      guard expertRowFLOPs.indices.contains(call.block) else { return sum }
      return sum + Double(call.load.reduce(0, +) - call.expertRows) * expertRowFLOPs[call.block]
    }
  }

  /// Parameters that can be counted, with all that is kept of each: far more than a machine holds.
  private static let most = 1 << 56

  /// - Parameter training: whether routers choose as in training.
  /// - Throws: `ModelError` for an impossible configuration, or one with more than 2⁵⁶ parameters.
  public init(_ config: ModelConfig, training: Bool = true) throws {
    self.init(try Architecture(config, training: training))
    guard parameters <= ModelCosts.most else {
      throw ModelError(
        "model.layers \(config.layers), model.width \(config.width), model.hidden \(config.mlpHidden) and moe.experts \(config.moe.experts) make more than \(ModelCosts.most) parameters, the most that is counted; lower them"
      )
    }
  }

  private init(_ architecture: Architecture) {
    let blocks = architecture.operations.reduce(0) { max($0, ($1.block ?? -1) + 1) }
    expertRowFLOPs = [Double](repeating: 0, count: blocks)
    for operation in architecture.operations {
      parameters = parameters.addingClamped(operation.parameters)
      activeParameters = activeParameters.addingClamped(operation.activeParameters)
      forwardFLOPs += 2 * operation.multiplyAdds
      activationFloats += operation.kept
      cachedFloats += operation.cached
      if let block = operation.block, operation.choices != nil, operation.multiplyAdds > 0 {
        expertRowFLOPs[block] = operation.passageFLOPs
      }
    }
  }
}
