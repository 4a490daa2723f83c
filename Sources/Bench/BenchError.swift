import MMoEFiles

/// Why a benchmark cannot run, or what a reference case lacks.
package struct BenchError: FaultError {
  package let fault: Fault
  package init(_ fault: Fault) { self.fault = fault }
}
