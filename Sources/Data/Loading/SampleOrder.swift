import MMoETensor
import Synchronization

/// Which images a loader delivers, and in which order.
public enum LoaderOrder: Sendable, Equatable {
  /// An endless stream: the concatenation of one random permutation per epoch, a function of the seed and the
  /// epoch only. Step `s` is entries `s·B·R ..< (s+1)·B·R` of the stream for batches of B on R ranks, so a
  /// batch may span two epochs, no image is left out, and starting at a step needs no replay.
  case training(startStep: Int)
  /// One pass over all images in the set's order, without augmentation; the last batch may be smaller.
  case evaluation
  /// The first optimizer step's samples again and again, without augmentation.
  case overfit
}

/// One place in a loader's stream.
struct SampleEntry: Equatable, Sendable {
  var index: Int
  var epoch: Int
}

/// The arithmetic of a loader's stream: from a step to the samples of this rank's batch.
final class SampleOrder: Sendable {
  /// Images, or groups of which each gives one.
  let images: Int
  private let groups: [[Int]]?
  private let order: LoaderOrder
  private let division: BatchDivision
  private let seed: UInt64
  // The two epochs that a batch can span.
  private let permutations = Mutex<[(epoch: Int, order: [Int])]>([])

  convenience init(order: LoaderOrder, set: ImageSet, division: BatchDivision, seed: UInt64) {
    self.init(
      order: order, images: order == .evaluation ? set.count : set.drawnCount, division: division, seed: seed,
      groups: order == .evaluation ? nil : set.groups)
  }

  init(order: LoaderOrder, images: Int, division: BatchDivision, seed: UInt64, groups: [[Int]]? = nil) {
    self.order = order
    self.images = images
    self.groups = groups
    self.division = division
    self.seed = seed
  }

  /// The first step of the stream.
  var firstStep: Int {
    if case .training(let start) = order { return start }
    return 0
  }

  /// The samples of a step, or nil past the end.
  func entries(step: Int) -> [SampleEntry]? {
    let batch = division.batch
    let first = (step * division.ranks + division.rank) * batch
    switch order {
    case .training:
      return (first..<first + batch).map(shuffled)
    case .overfit:
      let again = division.place(ofMicroBatch: step).first
      return (again..<again + batch).map(shuffled)
    case .evaluation:
      guard first < images else { return nil }
      return (first..<min(first + batch, images)).map { SampleEntry(index: $0, epoch: 0) }
    }
  }

  /// The entry at a position of the endless training stream.
  private func shuffled(_ position: Int) -> SampleEntry {
    let epoch = position / images
    let drawn = permutations.withLock { kept in
      if let known = kept.first(where: { $0.epoch == epoch }) { return known.order[position % images] }
      let random = CounterRandom(seed: seed, purpose: .shuffle, a: UInt64(epoch))
      let order = random.permutation(images)
      if kept.count == 2 { kept.removeFirst() }
      kept.append((epoch, order))
      return order[position % images]
    }
    return SampleEntry(index: member(of: drawn, epoch: epoch), epoch: epoch)
  }

  /// The image that a group gives in an epoch.
  private func member(of drawn: Int, epoch: Int) -> Int {
    guard let group = groups?[drawn] else { return drawn }
    let random = CounterRandom(seed: seed, purpose: .groupMember, a: UInt64(epoch), b: UInt64(drawn))
    return group[random.integer(0, below: group.count)]
  }
}
