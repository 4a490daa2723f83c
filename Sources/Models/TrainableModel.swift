import MMoETensor

/// What optimisers, checkpoints and the loop need of any model.
public protocol TrainableModel: AnyObject {
  /// All trained arrays in the order of the network.
  var parameters: [Parameter] { get }
  /// Saved state that gradients do not train, such as selection biases; by path.
  var buffers: [(path: String, value: Tensor)] { get }
  /// Moves the routers' selection biases; called after each optimiser step.
  func updateSelectionBiases()
}
