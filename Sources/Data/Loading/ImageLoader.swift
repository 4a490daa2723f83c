import Foundation
import MMoEFiles

/// Batches of images, decoded and augmented in background threads ahead of their use.
///
///     let loader = try ImageLoader(source, options: options, order: .training(startStep: 0))
///     while let batch = try loader.next() { … }
///
/// The content of step `s` depends on the files, the options and `s` only: not on the number of threads, the
/// prefetch depth or the step at which the loader started. After the first batches no storage is taken from
/// the system. One thread at a time may call a loader.
public final class ImageLoader {
  /// The images of one pass, over all ranks.
  public var imageCount: Int { source.set.count }
  /// Time that `next()` spent waiting for a batch, in seconds, without the first batch.
  public private(set) var waitSeconds = 0.0
  /// Batches delivered so far.
  public private(set) var deliveredBatches = 0

  private let source: ImageSource
  private let ring: BatchRing<ImageSlot>
  private let workers = DispatchGroup()

  /// Starts the background threads.
  ///
  /// - Throws: `DataError` for options out of range or a set without images.
  public init(_ source: ImageSource, options: LoaderOptions, order: LoaderOrder) throws {
    try options.validate()
    guard source.set.count > 0 else {
      throw DataError("the \(source.set.split.rawValue) set has no images")
    }
    if case .training(let start) = order, start < 0 {
      throw DataError(field: "start step", found: "\(start)", expected: "0 or more")
    }
    self.source = source
    let samples = SampleOrder(
      order: order, set: source.set, division: options.division, seed: options.seed)
    let ring = BatchRing(
      firstStep: samples.firstStep,
      slots: (0...options.depth).map { _ in
        ImageSlot(batchSize: options.batchSize, imageSize: options.imageSize)
      }, entries: samples.entries)
    self.ring = ring
    for index in 0..<options.threads {
      workers.enter()
      let thread = Thread { [workers] in
        SampleWorker(source: source, ring: ring, options: options, order: order).run()
        workers.leave()
      }
      thread.name = "mmoe-loader-\(index)"
      thread.start()
    }
  }

  deinit { close() }

  /// The next batch; nil at the end of an evaluation pass or after `close()`. Takes back the batch before.
  ///
  /// - Throws: `DataError` naming a file that could not be decoded; every later call throws it again.
  public func next() throws -> ImageBatch? {
    let start = ContinuousClock.now
    guard let batch = try ring.next() else { return nil }
    if deliveredBatches > 0 {
      let waited = (ContinuousClock.now - start).components
      waitSeconds += Double(waited.seconds) + Double(waited.attoseconds) * 1e-18
    }
    deliveredBatches += 1
    return batch
  }

  /// Gives the current batch's storage back before the following `next()`.
  public func recycle() { ring.release() }

  /// Stops the background threads and waits for their end. Called by `deinit` too.
  public func close() {
    ring.close()
    workers.wait()
  }

  /// Batches per rank until every image was seen about once: the training stream's entries of one epoch,
  /// rounded down, at least 1.
  package static func stepsPerEpoch(images: Int, batchSize: Int, ranks: Int = 1) -> Int {
    max(1, images / (batchSize * ranks))
  }
}
