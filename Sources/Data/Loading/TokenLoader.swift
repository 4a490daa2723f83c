import Foundation
import MMoEFiles
import MMoETensor

/// Which windows of a corpus a loader delivers, and in which order.
public enum TokenOrder: Sendable, Equatable {
  /// An endless stream of windows that begin anywhere: window `b` of optimizer step `s` is a function of (seed, s, b) only,
  /// b its number within the whole step.
  case random(startStep: Int)
  /// An endless stream in which every token is a target once an epoch: documents stand one after the other, cut into
  /// windows of T tokens without overlap, in another order every epoch. Starting at a step needs no replay.
  case sequential(startStep: Int)
  /// The first sequential batch again and again.
  case overfit

  var firstStep: Int {
    switch self {
    case .random(let start), .sequential(let start): start
    case .overfit: 0
    }
  }
}

/// Batches of windows of tokens, prepared in background threads ahead of their use.
///
///     let loader = try TokenLoader(corpus, options: options, order: .random(startStep: 0))
///     while let batch = try loader.next() { … }
///
/// The content of step `s` depends on the corpus, the options and `s` only: not on the number of threads, the prefetch
/// depth or the step at which the loader started. One thread at a time may call a loader.
public final class TokenLoader {
  /// Time that `next()` spent waiting for a batch, in seconds, without the first batch.
  public private(set) var waitSeconds = 0.0
  /// Batches delivered so far.
  public private(set) var deliveredBatches = 0

  private let ring: BatchRing<TokenSlot>
  private let workers = DispatchGroup()

  /// Starts the background threads.
  ///
  /// - Throws: `DataError` for options out of range or a corpus shorter than one window.
  public init(_ corpus: TokenCorpus, options: TokenLoaderOptions, order: TokenOrder) throws {
    try options.validate()
    guard corpus.tokens > options.length else {
      throw DataError(
        "\(corpus.folder)",
        found:
          "the \(corpus.split.rawValue) part has \(corpus.tokens) tokens, a window of \(options.length) needs \(options.length + 1)",
        remedy: "use a longer text or a shorter context")
    }
    guard order.firstStep >= 0 else {
      throw DataError(field: "start step", found: "\(order.firstStep)", expected: "0 or more")
    }
    let ring = BatchRing(
      firstStep: order.firstStep,
      slots: (0...options.depth).map { _ in TokenSlot(batchSize: options.batchSize, length: options.length) },
      entries: TokenLoader.entries(corpus.tokens, options, order))
    self.ring = ring
    for index in 0..<options.threads {
      workers.enter()
      let thread = Thread { [workers] in
        TokenLoader.work(ring, corpus)
        workers.leave()
      }
      thread.name = "mmoe-tokens-\(index)"
      thread.start()
    }
  }

  deinit { close() }

  /// The next batch; nil after `close()`.
  ///
  /// - Throws: `DataError` naming a damaged shard; every later call throws it again.
  public func next() throws -> TokenBatch? {
    let start = monotonicSeconds()
    guard let batch = try ring.next() else { return nil }
    if deliveredBatches > 0 { waitSeconds += monotonicSeconds() - start }
    deliveredBatches += 1
    // The batch is a copy of its own.
    ring.release()
    return batch
  }

  /// Stops the background threads and waits for their end. Called by `deinit` too.
  public func close() {
    ring.close()
    workers.wait()
  }

  /// Windows without overlap in so many tokens.
  package static func windows(tokens: Int, length: Int) -> Int { max(0, tokens - 1) / length }

  /// Batches per rank until every token was a target about once, rounded down, at least 1.
  package static func stepsPerEpoch(tokens: Int, length: Int, batchSize: Int, ranks: Int = 1) -> Int {
    max(1, windows(tokens: tokens, length: length) / (batchSize * ranks))
  }

  private static func work(_ ring: BatchRing<TokenSlot>, _ corpus: TokenCorpus) {
    lowerPriority()
    while let work = ring.claim() {
      var failure: DataError?
      do {
        for row in work.samples { try work.slot.fill(row, work.entries[row], from: corpus) }
      } catch let error as DataError {
        failure = error
      } catch {
        failure = DataError("\(error)")
      }
      ring.finish(work, error: failure)
    }
  }

  /// The arithmetic from a step to this rank's windows.
  private static func entries(
    _ tokens: Int, _ options: TokenLoaderOptions, _ order: TokenOrder
  ) -> (Int) -> [TokenSlot.Entry]? {
    if case .random = order {
      return { index in
        let place = options.division.place(ofMicroBatch: index)
        let random = CounterRandom(seed: options.seed, purpose: .window, a: UInt64(place.step))
        return (0..<options.batchSize).map { row in
          let start = random.wideInteger(UInt64(place.first + row), below: tokens - options.length)
          return TokenSlot.Entry(start: start, epoch: 0)
        }
      }
    }
    let windows = SampleOrder(
      order: order == .overfit ? .overfit : .training(startStep: order.firstStep),
      images: windows(tokens: tokens, length: options.length), division: options.division, seed: options.seed)
    return { step in
      windows.entries(step: step)?.map { TokenSlot.Entry(start: $0.index * options.length, epoch: $0.epoch) }
    }
  }
}
