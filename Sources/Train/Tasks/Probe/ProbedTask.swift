import MMoEData
import MMoEFiles
import MMoEModels
import MMoEReport
import MMoETensor

/// What the rows of a model's states are, such as the classes of the images that they belong to.
package struct RowLabels {
  /// The places of patches in their picture, and the tokens of a vocabulary: too many for a figure.
  package static let (patch, token) = ("patch", "token")

  /// Such as `class`.
  package let name: String
  /// Values are 0 ..< count; −1 for rows that have none.
  package let count: Int
  package let values: [Int32]
  /// A value in words.
  package let describe: (Int) -> String

  package init(name: String, count: Int, values: [Int32], describe: @escaping (Int) -> String) {
    self.name = name
    self.count = count
    self.values = values
    self.describe = describe
  }
}

/// Samples that went through the model, with the task's loss on the tape.
package struct ProbedBatch {
  package let pass: ForwardPass
  /// Mean cross-entropy in nats.
  let loss: Double
  /// What the loss is the mean of: images, or tokens that are predicted.
  package let counted: Int
  /// Each over all rows of a state, in their order.
  package let labels: [RowLabels]
  /// The first pictures of the batch, at most so many; rows count from the batch's first.
  package let pictures: (_ count: Int) -> [ProbedPicture]

  /// - Throws: `TrainError` when the loss is not finite: of NaN, gates choose and states point as if they were numbers; what a
  ///   router from outside did wrong.
  init(
    pass: ForwardPass, loss: Double, counted: Int, labels: [RowLabels],
    pictures: @escaping (_ count: Int) -> [ProbedPicture] = { _ in [] }
  ) throws {
    try pass.tape.requireNoFailure()
    guard loss.isFinite else {
      throw TrainError(
        "the loss of the samples is \(HumanFormat.exact(loss)), expected a finite number; the model has diverged, analyze an earlier checkpoint"
      )
    }
    (self.pass, self.loss, self.counted, self.labels, self.pictures) = (pass, loss, counted, labels, pictures)
  }
}

/// A task whose model can be looked at.
package protocol ProbedTask: TrainingTask {
  /// Runs the model on samples that are spread evenly over a part of the data, without augmentation. Of several ranks each
  /// reads all samples.
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
  package func probe(
    _ part: DatasetSplit, samples: Int, pass: () -> ForwardPass, _ body: (ProbedBatch) throws -> Void
  ) throws {
    try probe(part, samples: samples, everyTask: false, pass: pass, body)
  }

  /// - Returns: the mean cross-entropy in nats over the samples of a part, nothing dropped.
  package func loss(_ part: DatasetSplit, samples: Int, pass: () -> ForwardPass) throws -> Double {
    var (sum, count) = (0.0, 0)
    try probe(part, samples: samples, pass: pass) { batch in
      sum += batch.loss * Double(batch.counted)
      count += batch.counted
    }
    return sum / Double(max(count, 1))
  }
}

/// A sample's picture as the model saw it, and where its patches stand among the rows of a state.
package struct ProbedPicture {
  /// `side × side` patches, of whole pixels each.
  package let image: RGBImage
  package let side: Int
  /// Row of its first patch; the others follow in reading order.
  package var row: Int

  /// - Parameters:
  ///   - pixels: `[B, 3, S, S]`, normalized.
  ///   - sample: which of them.
  package init(_ pixels: Tensor, sample: Int, normalization: PixelNormalization, side: Int, row: Int) {
    let size = pixels.shape[3]
    image = RGBImage(
      input: UnsafeBufferPointer(start: pixels.pointer + sample * 3 * size * size, count: 3 * size * size), side: size,
      normalization: normalization)
    (self.side, self.row) = (side, row)
  }
}
