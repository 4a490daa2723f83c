import MMoETensor

/// Samples of one field in a batch.
public struct PairSamples {
  /// `[n, channels, height, width]`, normalized. Valid until the loader's following `next()`: the storage is used again.
  public let values: Tensor
  /// `[n]` places in the batch of the items that have it, ascending.
  public let items: [Int]
}

/// A batch of items, each with one of its captions.
public struct PairBatch {
  /// By field, for all fields that are read and that an item of the batch has.
  public let samples: [String: PairSamples]
  /// `[B]` token ids of the captions, without anything around them.
  public let captions: [[Int32]]
  /// `[B]` class labels; −1 = none.
  public let labels: [Int32]
  /// `[B]` positions in the set.
  public let indices: [Int]
  /// The epoch that the first item belongs to; 0 in evaluation.
  public let epoch: Int
  /// The step of the stream, from 0, the same after an interruption.
  public let step: Int

  public var count: Int { indices.count }

  /// The same with storage of its own, valid as long as it is held.
  public func copy() -> PairBatch {
    PairBatch(
      samples: samples.mapValues { PairSamples(values: $0.values.copy(), items: $0.items) }, captions: captions,
      labels: labels, indices: indices, epoch: epoch, step: step)
  }
}

/// A batch of items in the making.
final class PairSlot: RingSlot, @unchecked Sendable {
  /// By field `[B, channels, height, width]`.
  let values: [String: Tensor]
  /// By field, whether an item of the batch has it.
  let has: [String: UnsafeMutableBufferPointer<Bool>]
  /// Positions in the set; −1 where a bad item was left out.
  let indices: UnsafeMutableBufferPointer<Int>
  var progress = SlotProgress<SampleEntry>()

  /// What the slot holds when it is complete; captions and labels come with the set.
  struct Items {
    let samples: [String: PairSamples]
    let indices: [Int]
    let epoch: Int
    let step: Int
  }

  init(batchSize: Int, shapes: [String: [Int]]) {
    values = shapes.mapValues { Tensor(uninitialized: [batchSize] + $0) }
    has = shapes.mapValues { _ in
      let flags = UnsafeMutableBufferPointer<Bool>.allocate(capacity: batchSize)
      flags.initialize(repeating: false)
      return flags
    }
    indices = .allocate(capacity: batchSize)
    indices.initialize(repeating: 0)
  }

  deinit {
    for flags in has.values { flags.deallocate() }
    indices.deallocate()
  }

  /// Nil when every item was left out. The full tensors where all items are there; smaller ones of their own otherwise.
  func batch() -> Items? {
    let entries = progress.entries
    let good = entries.indices.filter { indices[$0] >= 0 }
    guard let first = good.first else { return nil }
    var samples: [String: PairSamples] = [:]
    for (field, all) in values {
      let own = good.enumerated().filter { has[field]![$0.element] }
      guard !own.isEmpty else { continue }
      var tensor = all
      if own.count < all.shape[0] {
        tensor = Tensor(uninitialized: [own.count] + all.shape.dropFirst())
        let length = all.count / all.shape[0]
        for (row, source) in own.enumerated() {
          (tensor.pointer + row * length).update(from: all.pointer + source.element * length, count: length)
        }
      }
      samples[field] = PairSamples(values: tensor, items: own.map(\.offset))
    }
    return Items(
      samples: samples, indices: good.map { indices[$0] }, epoch: entries[first].epoch, step: progress.step)
  }
}
