import MMoEFiles

/// What is wrong with weights from elsewhere, or with a command on checkpoints.
package struct WeightsError: FaultError {
  package let fault: Fault
  package init(_ fault: Fault) { self.fault = fault }
}
