import MMoEConfig

extension Trainer {
  /// How a run ended.
  package struct Outcome {
    package let steps: Int
    /// When the first step began, of `monotonicSeconds`.
    package let began: Double
    package let seconds: Double
    package let trainLoss: Double
    package let evaluation: Evaluation?
    package let best: (value: Double, step: Int)?
    package let checkpoint: String
    /// Whether a signal ended it before its last step and evaluation.
    package let isInterrupted: Bool
    /// Throughput over all steps of this process, in units a second, evaluations and checkpoints left out.
    package let unitsPerSecond: Double
    /// Share of the time in steps that was spent waiting for data.
    package let waitShare: Double
    /// Mean floating-point operations of this process's steps, as `ModelCosts` counts them, by what was routed.
    package let flopsPerStep: Double
  }
}

extension RunConfig {
  /// Whether the validation set is due after `step` steps.
  func isEvaluationDue(_ step: Int, of total: Int, perEpoch: Int) -> Bool {
    step == total || step % (train.evalEvery > 0 ? train.evalEvery : perEpoch) == 0
  }
}
