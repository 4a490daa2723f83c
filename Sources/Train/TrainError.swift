import MMoEFiles

/// Why a run cannot start or go on, or what is wrong with what a run has made.
public struct TrainError: FaultError {
  public let fault: Fault
  /// Whether training itself failed, since loss or gradients were no longer finite.
  package let isDivergence: Bool

  public init(_ fault: Fault) { self.init(fault, isDivergence: false) }

  package init(_ fault: Fault, isDivergence: Bool) {
    (self.fault, self.isDivergence) = (fault, isDivergence)
  }
}
