/// How far a run can go.
package enum StepLimit {
  /// The last step that a run can have. Places in the data, products of it and a batch, do not overflow.
  package static let largest = 1_000_000_000
}
