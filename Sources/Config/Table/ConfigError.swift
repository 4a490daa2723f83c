import MMoEFiles

/// What is wrong with a configuration.
public struct ConfigError: FaultError {
  public let fault: Fault
  public init(_ fault: Fault) { self.fault = fault }
}
