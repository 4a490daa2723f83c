/// Settings of the optimizer and of what is done around it.
public struct OptimizerConfig: Sendable, Equatable {
  /// Which one; the others of these settings hold where it uses them.
  public var kind = OptimizerKind.standard
  /// Peak learning rate.
  public var lr = 1e-3
  public var beta1 = 0.9
  public var beta2 = 0.999
  public var epsilon = 1e-8
  /// Share of the momentum that a step keeps.
  public var momentum = 0.95
  /// Newton–Schulz iterations of a step.
  public var nsSteps = 5
  public var weightDecay = 0.05
  /// Largest global gradient norm; 0 = no clipping.
  public var clip = 1.0

  public init() {}
}
