import MMoEFiles
import MMoETensor

/// A batch of images, ready for a model.
public struct ImageBatch {
  /// `[B, 3, S, S]`, normalized. Valid until the loader's following `next()`: the storage is used again.
  public let pixels: Tensor
  /// `[B]` class labels.
  public let labels: [Int32]
  /// `[B]` positions in the image set.
  public let indices: [Int]
  /// The epoch that the first sample belongs to; 0 in evaluation.
  public let epoch: Int
  /// The step of the stream, from 0, the same after an interruption.
  public let step: Int

  public var count: Int { labels.count }

  /// The same with storage of its own, valid as long as it is held.
  public func copy() -> ImageBatch {
    ImageBatch(pixels: pixels.copy(), labels: labels, indices: indices, epoch: epoch, step: step)
  }
}

/// How a loader makes batches.
public struct LoaderOptions: Sendable, Equatable {
  /// Images of a batch, per rank.
  public var batchSize: Int
  /// Width and height of the model's input.
  public var imageSize: Int
  /// Decides the order and the augmentation.
  public var seed: UInt64
  /// Used in training order only.
  public var augmentation: Augmentation
  public var normalization: PixelNormalization
  /// Background threads.
  public var threads: Int
  /// Batches prepared ahead of the one in use.
  public var depth: Int
  /// This process among `ranks` data-parallel ones.
  public var rank: Int
  public var ranks: Int
  /// Batches of each rank that make up one optimizer step.
  public var accumulation: Int

  public init(
    batchSize: Int, imageSize: Int, seed: UInt64 = 0, augmentation: Augmentation = .none,
    normalization: PixelNormalization = .unit, threads: Int = 2, depth: Int = 3, rank: Int = 0,
    ranks: Int = 1, accumulation: Int = 1
  ) {
    self.batchSize = batchSize
    self.imageSize = imageSize
    self.seed = seed
    self.augmentation = augmentation
    self.normalization = normalization
    self.threads = threads
    self.depth = depth
    self.rank = rank
    self.ranks = ranks
    self.accumulation = accumulation
  }

  /// How the batches of a step are divided.
  var division: BatchDivision {
    BatchDivision(batch: batchSize, rank: rank, ranks: ranks, accumulation: accumulation)
  }

  /// Checks that every value is in its range.
  ///
  /// - Throws: `DataError` naming the field.
  public func validate() throws {
    try requireOption("batch size", batchSize, 1...65_536)
    try requireOption("image size", imageSize, 1...4096)
    try requireStreamOptions(threads: threads, depth: depth, rank: rank, ranks: ranks)
    try requireOption("accumulation", accumulation, 1...1_048_576)
    try augmentation.validate()
    guard normalization.deviation.min() > 0 else {
      throw DataError(
        field: "normalization deviation", found: "\(normalization.deviation)", expected: "positive numbers")
    }
  }
}
