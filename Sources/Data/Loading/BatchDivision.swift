/// How the samples of an optimizer step are divided into batches: micro-batches one after the other, the ranks' shares within
/// each. What a sample is depends on its place in the whole step alone, so the division never decides which data a step sees.
struct BatchDivision: Sendable {
  /// Samples of a batch of one rank.
  let batch: Int
  let rank: Int
  let ranks: Int
  /// Micro-batches of a step.
  let accumulation: Int

  /// The optimizer step that micro-batch `index` of the stream belongs to, and the place of this rank's first sample in it.
  func place(ofMicroBatch index: Int) -> (step: Int, first: Int) {
    (index / accumulation, (index % accumulation * ranks + rank) * batch)
  }
}
