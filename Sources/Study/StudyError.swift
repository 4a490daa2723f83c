import MMoEFiles

/// What is wrong with an analysis or a study.
package struct StudyError: FaultError {
  package let fault: Fault
  package init(_ fault: Fault) { self.fault = fault }
}
