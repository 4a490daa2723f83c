/// A batch of windows of tokens, ready for a language model.
public struct TokenBatch: Sendable, Equatable {
  /// `[B, T]` ids.
  public let inputs: [Int32]
  /// `[B, T]` the id after each input; −1 where it is not to be counted.
  public let targets: [Int32]
  /// B, the windows.
  public let count: Int
  /// T, the tokens of a window.
  public let length: Int
  /// The epoch that the first window belongs to; 0 where windows are drawn at random, and in evaluation.
  public let epoch: Int
  /// The step of the stream, from 0, the same after an interruption.
  public let step: Int

  package init(inputs: [Int32], targets: [Int32], count: Int, length: Int, epoch: Int = 0, step: Int = 0) {
    self.inputs = inputs
    self.targets = targets
    self.count = count
    self.length = length
    self.epoch = epoch
    self.step = step
  }

  /// Targets that count.
  package var countedTargets: Int { targets.count { $0 >= 0 } }
}

/// How a loader makes batches of tokens.
public struct TokenLoaderOptions: Sendable, Equatable {
  /// Windows of a batch, per rank.
  public var batchSize: Int
  /// Tokens of a window, the model's context.
  public var length: Int
  /// Decides which windows come when.
  public var seed: UInt64
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
    batchSize: Int, length: Int, seed: UInt64 = 0, threads: Int = 1, depth: Int = 3, rank: Int = 0, ranks: Int = 1,
    accumulation: Int = 1
  ) {
    self.batchSize = batchSize
    self.length = length
    self.seed = seed
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
    try requireOption("batch size", batchSize, 1...1_048_576)
    try requireOption("window length", length, 1...1_048_576)
    try requireStreamOptions(threads: threads, depth: depth, rank: rank, ranks: ranks)
    try requireOption("accumulation", accumulation, 1...1_048_576)
  }
}

/// A batch of windows in the making.
final class TokenSlot: RingSlot, @unchecked Sendable {
  /// One window: where it begins in the corpus, and the epoch it belongs to.
  struct Entry: Sendable, Equatable {
    var start: Int
    var epoch: Int
  }

  var progress = SlotProgress<Entry>()
  /// `[B, T + 1]`: a window's inputs, and its targets one further on.
  private let ids: UnsafeMutablePointer<Int32>
  private let length: Int

  init(batchSize: Int, length: Int) {
    self.length = length
    ids = .allocate(capacity: batchSize * (length + 1))
  }

  deinit { ids.deallocate() }

  /// Fills a row.
  ///
  /// - Throws: `DataError` naming a shard with an id beyond the vocabulary.
  func fill(_ row: Int, _ entry: Entry, from corpus: TokenCorpus) throws {
    try corpus.copy(entry.start..<entry.start + length + 1, to: ids + row * (length + 1))
  }

  func batch() -> TokenBatch? {
    let count = progress.entries.count
    func rows(shift: Int) -> [Int32] {
      [Int32](unsafeUninitializedCapacity: count * length) { buffer, filled in
        for row in 0..<count {
          (buffer.baseAddress! + row * length).initialize(from: ids + row * (length + 1) + shift, count: length)
        }
        filled = count * length
      }
    }
    return TokenBatch(
      inputs: rows(shift: 0), targets: rows(shift: 1), count: count, length: length,
      epoch: progress.entries[0].epoch, step: progress.step)
  }
}
