/// The names of the metrics that more than one place knows: the loop records them, progress and
/// plots read them. Any other name may be recorded too.
package enum MetricName {
  package static let trainLoss = "train_loss"
  package static let validationLoss = "val_loss"
  package static let trainTop1 = "train_top1"
  package static let validationTop1 = "val_top1"
  package static let validationTop5 = "val_top5"
  /// Expected calibration error of a validation, a share of one; `val_calibration_error` in `metrics.jsonl`.
  package static let calibrationError = "calibration_error"
  /// Per layer: the busiest expert's load over the mean load; 1 is perfect balance.
  package static let loadMaxOverMean = "load_max_over_mean"
  /// Per layer: experts that no token chose, and the share of choices that the capacity dropped.
  package static let deadExperts = "dead_experts"
  package static let dropFraction = "drop_fraction"
  /// Per layer, a vector: each expert's share of the routed tokens; the shares sum to 1.
  package static let expertShare = "expert_share"
}
