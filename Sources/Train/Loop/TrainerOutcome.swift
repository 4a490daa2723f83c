import MMoEConfig

extension Trainer {
  /// How a run ended.
  public struct Outcome {
    public let steps: Int
    /// When the first step began, of `monotonicSeconds`.
    public let began: Double
    public let seconds: Double
    public let trainLoss: Double
    public let evaluation: Evaluation?
    public let best: (value: Double, step: Int)?
    public let checkpoint: String
    /// Whether a signal ended it before its last step and evaluation.
    public let isInterrupted: Bool
    /// Throughput over all steps of this process, in units a second, evaluations and checkpoints left out.
    public let unitsPerSecond: Double
    /// Share of the time in steps that was spent waiting for data.
    public let waitShare: Double
    /// Mean floating-point operations of this process's steps, as `ModelCosts` counts them, by what was routed.
    public let flopsPerStep: Double
  }
}

extension RunConfig {
  /// Whether the validation set is due after `step` steps.
  func isEvaluationDue(_ step: Int, of total: Int, perEpoch: Int) -> Bool {
    step == total || step % (train.evalEvery > 0 ? train.evalEvery : perEpoch) == 0
  }
}
