import MMoEFiles

/// What is wrong with data.
public struct DataError: FaultError, Equatable {
  public let fault: Fault
  public init(_ fault: Fault) { self.fault = fault }
}
