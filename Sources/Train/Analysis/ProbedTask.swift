import MMoEModels

/// What the rows of a model's states are, such as the classes of the images that they belong to.
struct RowLabels {
  /// Such as `class`.
  let name: String
  /// Values are 0 ..< count; −1 for rows that have none.
  let count: Int
  let values: [Int32]
  /// A value in words.
  let describe: (Int) -> String
}

/// Validation samples that went through the model, with the task's loss on the tape.
struct ProbedBatch {
  let pass: ForwardPass
  /// What the loss is the mean of: images, or tokens that are predicted.
  let counted: Int
  /// Each over all rows of a state, in their order.
  let labels: [RowLabels]
}

/// A task whose model can be looked at.
protocol ProbedTask: TrainingTask {
  /// Runs the model on validation samples that are spread evenly over the set.
  ///
  /// - Parameters:
  ///   - samples: images or windows of text, at most.
  ///   - pass: makes what each batch is computed with.
  func probe(samples: Int, pass: () -> ForwardPass, _ body: (ProbedBatch) throws -> Void) throws
}

/// At most `samples` places of `count`, evenly spread, ascending.
func spread(_ samples: Int, over count: Int) -> [Int] {
  let taken = min(samples, count)
  return (0..<taken).map { $0 * count / taken }
}
