import MMoEData
import MMoEModels
import MMoETensor

/// What the rows of a model's states are, such as the classes of the images that they belong to.
struct RowLabels {
  /// The places of patches in their picture, and the tokens of a vocabulary: too many for a figure.
  static let (patch, token) = ("patch", "token")

  /// Such as `class`.
  let name: String
  /// Values are 0 ..< count; −1 for rows that have none.
  let count: Int
  let values: [Int32]
  /// A value in words.
  let describe: (Int) -> String
}

/// Samples that went through the model, with the task's loss on the tape.
struct ProbedBatch {
  let pass: ForwardPass
  /// Mean cross-entropy in nats.
  let loss: Double
  /// What the loss is the mean of: images, or tokens that are predicted.
  let counted: Int
  /// Each over all rows of a state, in their order.
  let labels: [RowLabels]
  /// The first pictures of the batch, at most so many; rows count from the batch's first.
  let pictures: (_ count: Int) -> [ProbedPicture]

  /// - Throws: `TrainError` when the loss is not finite: of NaN, gates choose and states point as if they were numbers.
  init(
    pass: ForwardPass, loss: Double, counted: Int, labels: [RowLabels],
    pictures: @escaping (_ count: Int) -> [ProbedPicture] = { _ in [] }
  ) throws {
    guard loss.isFinite else {
      throw TrainError(
        "the loss of the samples is \(HumanFormat.exact(loss)), expected a finite number; the model has diverged, analyse an earlier checkpoint"
      )
    }
    (self.pass, self.loss, self.counted, self.labels, self.pictures) = (pass, loss, counted, labels, pictures)
  }
}

/// A task whose model can be looked at.
protocol ProbedTask: TrainingTask {
  /// Runs the model on samples that are spread evenly over a part of the data, without augmentation.
  ///
  /// - Parameters:
  ///   - part: the training part only where the task was opened with it.
  ///   - samples: images or windows of text, at most.
  ///   - everyTask: where gates are told their task, the model reads the samples for each task that it learns, not only
  ///     for the one whose loss is asked for.
  ///   - pass: makes what each batch is computed with.
  func probe(
    _ part: DatasetSplit, samples: Int, everyTask: Bool, pass: () -> ForwardPass,
    _ body: (ProbedBatch) throws -> Void
  ) throws
}

extension ProbedTask {
  /// The same with the samples read once.
  func probe(
    _ part: DatasetSplit, samples: Int, pass: () -> ForwardPass, _ body: (ProbedBatch) throws -> Void
  ) throws {
    try probe(part, samples: samples, everyTask: false, pass: pass, body)
  }

  /// - Returns: the mean cross-entropy in nats over the samples of a part, nothing dropped.
  func loss(_ part: DatasetSplit, samples: Int, engine: Engine) throws -> Double {
    var (sum, count) = (0.0, 0)
    try probe(part, samples: samples) {
      ForwardPass(Tape(engine, recording: false), training: false)
    } _: { batch in
      sum += batch.loss * Double(batch.counted)
      count += batch.counted
    }
    return sum / Double(max(count, 1))
  }
}

/// At most `samples` places of `count`, evenly spread, ascending.
func spread(_ samples: Int, over count: Int) -> [Int] {
  let taken = min(samples, count)
  return (0..<taken).map { $0 * count / taken }
}
