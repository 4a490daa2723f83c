/// What happens in a training besides its steps, for who follows it. Told on every rank.
package enum TrainingEvent {
  /// - Parameters: seconds: since the loop began; isBest: whether it is the best one of the run so far.
  case evaluated(Evaluation, step: Int, seconds: Double, trainLoss: Double, isBest: Bool)
  /// A checkpoint is complete; on the ranks that write.
  case saved(file: String, step: Int, seconds: Double)
}
