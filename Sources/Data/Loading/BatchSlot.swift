import MMoETensor

/// One preallocated batch of a loader's ring.
///
/// The bookkeeping is guarded by the ring's lock; samples are written without it, each by the one worker
/// that claimed it.
protocol RingSlot: AnyObject {
  /// One place in the loader's stream.
  associatedtype Entry
  associatedtype Batch
  /// How far the preparation has come; the ring's.
  var progress: SlotProgress<Entry> { get set }
  /// The batch as the consumer sees it, or nil when every sample in it was left out.
  func batch() -> Batch?
}

/// How far a batch's preparation has come.
struct SlotProgress<Entry> {
  let step: Int
  let entries: [Entry]
  /// The next sample that no worker has claimed.
  private var unclaimed = 0
  private var unfinished: Int
  private(set) var error: DataError?

  /// Starts the preparation of a step.
  init(step: Int = 0, entries: [Entry] = []) {
    self.step = step
    self.entries = entries
    unfinished = entries.count
  }

  var isReady: Bool { unfinished == 0 || error != nil }

  /// Up to `count` samples for one worker, or nil when all are claimed.
  mutating func claim(_ count: Int) -> Range<Int>? {
    guard unclaimed < entries.count else { return nil }
    let range = unclaimed..<min(unclaimed + count, entries.count)
    unclaimed = range.upperBound
    return range
  }

  /// Reports samples as finished, or why they failed.
  mutating func finish(_ count: Int, error: DataError?) {
    unfinished -= count
    if self.error == nil { self.error = error }
  }
}

/// A batch of images in the making.
final class ImageSlot: RingSlot, @unchecked Sendable {
  /// `[B, 3, S, S]`
  let pixels: Tensor
  let labels: UnsafeMutableBufferPointer<Int32>
  /// Positions in the image set; −1 where a bad image was left out.
  let indices: UnsafeMutableBufferPointer<Int>
  var progress = SlotProgress<SampleEntry>()

  init(batchSize: Int, imageSize: Int) {
    pixels = Tensor(uninitialized: [batchSize, 3, imageSize, imageSize])
    labels = .allocate(capacity: batchSize)
    indices = .allocate(capacity: batchSize)
    labels.initialize(repeating: 0)
    indices.initialize(repeating: 0)
  }

  deinit {
    labels.deallocate()
    indices.deallocate()
  }

  /// The batch as the consumer sees it, or nil when every image in it was left out. The full ring tensor
  /// where possible; a smaller one of its own for a short batch.
  func batch() -> ImageBatch? {
    let entries = progress.entries
    let good = entries.indices.filter { indices[$0] >= 0 }
    guard let first = good.first else { return nil }
    var tensor = pixels
    if good.count < pixels.shape[0] {
      tensor = Tensor(uninitialized: [good.count] + pixels.shape.dropFirst())
      let length = pixels.count / pixels.shape[0]
      for (row, source) in good.enumerated() {
        (tensor.pointer + row * length).update(
          from: pixels.pointer + source * length, count: length)
      }
    }
    return ImageBatch(
      pixels: tensor, labels: good.map { labels[$0] }, indices: good.map { indices[$0] },
      epoch: entries[first].epoch, step: progress.step)
  }
}
