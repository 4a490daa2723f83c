import MMoETensor

/// What optimizers, checkpoints and the loop need of any model.
public protocol TrainableModel: AnyObject {
  /// All trained arrays in the order of the network.
  var parameters: [Parameter] { get }
  /// Saved state that gradients do not train, such as selection biases; by path.
  var buffers: [(path: String, value: Tensor)] { get }
  /// Parameters that a step for these tasks does not train, and why. Models of one task ignore the tasks.
  func unreached(by tasks: Set<FusionConfig.Task>) -> [UnreachedParameters]
  /// Moves the routers' state, such as selection biases; called after each optimizer step.
  func afterStep()
}

/// What a network without routers and without state of its own has nothing to say to.
extension TrainableModel {
  public var buffers: [(path: String, value: Tensor)] { [] }
  public func unreached(by tasks: Set<FusionConfig.Task>) -> [UnreachedParameters] { [] }
  public func afterStep() {}
}

/// Parameters on which no loss of a configuration depends.
public struct UnreachedParameters {
  public let parameters: [Parameter]
  /// The setting that is why, such as "objective.contrastive is 0".
  public let reason: String
}
