import MMoEFiles

/// What is wrong with the configuration of a model.
public struct ModelError: FaultError {
  public let fault: Fault
  public init(_ fault: Fault) { self.fault = fault }
}
