import MMoEFiles

/// Why metrics, plots or another output cannot be written or read.
public struct ReportError: FaultError {
  public let fault: Fault
  public init(_ fault: Fault) { self.fault = fault }
}
