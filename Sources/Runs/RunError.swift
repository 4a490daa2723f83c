import MMoEFiles

/// Why a command cannot do what its options say.
public struct RunError: FaultError {
  public let fault: Fault
  public init(_ fault: Fault) { self.fault = fault }
}
