import Foundation
import MMoEFiles
import MMoETensor

/// Batches of pairs: samples of every field that the source reads, decoded in background threads ahead of their use, with
/// captions beside them.
///
/// The content of a step is a function of the files, the options and the step, as with images. Of several captions or files of
/// an item training draws one; evaluation takes the first.
public final class PairLoader {
  /// Time that `next()` spent waiting for a batch, in seconds, without the first batch.
  public private(set) var waitSeconds = 0.0
  private let source: PairSource
  private let captions: [[[Int32]]]
  private let seed: UInt64
  private let division: BatchDivision
  private let draws: Bool
  private let ring: BatchRing<PairSlot>
  private let workers = DispatchGroup()
  private var isFirst = true

  /// - Parameters:
  ///   - captions: token ids of every item's captions, in the order of the set.
  ///   - options: `imageSize` is not used, the source has the shapes.
  /// - Throws: `DataError` for options out of range, a set without items, or another number of captions.
  public init(
    _ source: PairSource, captions: [[[Int32]]], options: LoaderOptions, order: LoaderOrder
  ) throws {
    try options.validate()
    guard captions.count == source.set.count, captions.allSatisfy({ !$0.isEmpty }) else {
      throw DataError(
        field: "the captions of \(source.set.count) items",
        found: "\(captions.count) lists, \(captions.count { $0.isEmpty }) of them empty",
        expected: "one for each item, of at least one caption")
    }
    guard source.set.count > 0 else { throw DataError("the \(source.set.split.rawValue) set has no pairs") }
    if case .training(let start) = order {
      guard start >= 0 else { throw DataError(field: "start step", found: "\(start)", expected: "0 or more") }
      draws = true
    } else {
      draws = false
    }
    (self.source, self.captions, seed, division) = (source, captions, options.seed, options.division)
    let groups = order == .evaluation ? nil : source.set.groups
    let samples = SampleOrder(
      order: order, images: groups?.count ?? source.set.count, division: options.division, seed: options.seed,
      groups: groups)
    let ring = BatchRing(
      firstStep: samples.firstStep,
      slots: (0...options.depth).map { _ in PairSlot(batchSize: options.batchSize, shapes: source.shapes) },
      entries: samples.entries)
    self.ring = ring
    for index in 0..<options.threads {
      workers.enter()
      let thread = Thread { [workers] in
        PairWorker(source: source, ring: ring, options: options, order: order).run()
        workers.leave()
      }
      thread.name = "mmoe-loader-\(index)"
      thread.start()
    }
  }

  deinit {
    ring.close()
    workers.wait()
  }

  /// The next batch; nil at the end of an evaluation pass. Takes back the batch before.
  ///
  /// - Throws: `DataError` naming a file that could not be decoded; every later call throws it again.
  public func next() throws -> PairBatch? {
    let begun = ContinuousClock.now
    guard let items = try ring.next() else { return nil }
    if !isFirst {
      let waited = (ContinuousClock.now - begun).components
      waitSeconds += Double(waited.seconds) + Double(waited.attoseconds) * 1e-18
    }
    isFirst = false
    let start = division.place(ofMicroBatch: items.step)
    let random = CounterRandom(seed: seed, purpose: .caption, a: UInt64(start.step))
    let chosen = items.indices.enumerated().map { place, index in
      let own = captions[index]
      return own[draws ? random.integer(UInt64(start.first + place), below: own.count) : 0]
    }
    return PairBatch(
      samples: items.samples, captions: chosen, labels: items.indices.map { source.set.items[$0].label },
      indices: items.indices, epoch: items.epoch, step: items.step)
  }
}

/// One background thread's work: decoding, varying and writing samples into batches.
private struct PairWorker: ~Copyable {
  private let ring: BatchRing<PairSlot>
  private let drawing: PairDrawing

  init(source: PairSource, ring: BatchRing<PairSlot>, options: LoaderOptions, order: LoaderOrder) {
    self.ring = ring
    drawing = PairDrawing(source, options, order)
  }

  /// Works until the ring has nothing more to do.
  func run() {
    lowerPriority()
    while let work = ring.claim() {
      var failure: DataError?
      do {
        for place in work.samples { try prepare(place, work.entries[place], of: work.slot) }
      } catch let error as DataError {
        failure = error
      } catch {
        failure = DataError("\(error)")
      }
      ring.finish(work, error: failure)
    }
  }

  private func prepare(_ place: Int, _ entry: SampleEntry, of slot: PairSlot) throws {
    guard let (index, samples) = try drawing.goodItem(entry) else {
      slot.indices[place] = -1
      return
    }
    for (writer, sample) in zip(drawing.writers, samples) {
      slot.has[writer.field]![place] = sample != nil
      guard let sample else { continue }
      writer.draw(sample, index, epoch: entry.epoch, into: slot.values[writer.field]!.pointer + place * writer.count)
    }
    slot.indices[place] = index
  }
}

/// How a pass over the data shows items: a function of the options, the item's number and the pass.
struct PairDrawing {
  /// How samples of one field are written.
  struct Writer {
    let field: String
    fileprivate let seed: UInt64
    /// Numbers of a sample.
    let count: Int
    fileprivate let write: SampleFormat.Writer

    /// Writes `[channels, height, width]` floats.
    func draw(_ sample: any DecodedSample, _ index: Int, epoch: Int, into output: UnsafeMutablePointer<Float>) {
      write(sample, CounterRandom(seed: seed, purpose: .augmentation, a: UInt64(epoch), b: UInt64(index)), output)
    }
  }

  /// In the order of the fields' registration.
  let writers: [Writer]
  private let source: PairSource
  private let draws: Bool
  /// Replace a bad item by the next good one (training), or leave it out (evaluation).
  private let replacesBadItems: Bool

  init(_ source: PairSource, _ options: LoaderOptions, _ order: LoaderOrder) {
    self.source = source
    if case .training = order { draws = true } else { draws = false }
    replacesBadItems = order != .evaluation
    let settings = SampleSettings(
      augmentation: draws ? options.augmentation : .none, normalization: options.normalization, varies: draws)
    writers = source.formats.map { format in
      let shape = source.shapes[format.field]!
      // Pictures keep the numbers that they had before items had anything else.
      let isFirst = format.field == SampleFormat.image.field
      return Writer(
        field: format.field, seed: isFirst ? options.seed : options.seed ^ CounterRandom.hash(format.field),
        count: shape.reduce(1, *), write: format.writer(shape, settings))
    }
  }

  /// The item of an entry with its samples, in the order of `writers`. Under the policy `skip` a bad one is replaced in
  /// training by the next good one of the set, so that batches keep their size and their order does not depend on timing.
  func goodItem(_ entry: SampleEntry) throws -> (Int, [(any DecodedSample)?])? {
    let count = source.set.count
    for offset in 0..<(replacesBadItems ? count : 1) {
      let candidate = (entry.index + offset) % count
      if let samples = try samples(of: candidate, epoch: entry.epoch) { return (candidate, samples) }
    }
    guard replacesBadItems else { return nil }
    throw DataError("all \(count) items of \(source.set.split.rawValue) are unreadable")
  }

  /// Nil when any of them is bad.
  func samples(of item: Int, epoch: Int) throws -> [(any DecodedSample)?]? {
    var samples: [(any DecodedSample)?] = []
    for writer in writers {
      let files = source.set.items[item][writer.field].count
      guard files > 0 else {
        samples.append(nil)
        continue
      }
      let random = CounterRandom(seed: writer.seed, purpose: .recording, a: UInt64(epoch), b: UInt64(item))
      let file = draws && files > 1 ? random.integer(0, below: files) : 0
      guard let sample = try source.sample(writer.field, of: item, file: file) else { return nil }
      samples.append(sample)
    }
    return samples
  }
}
