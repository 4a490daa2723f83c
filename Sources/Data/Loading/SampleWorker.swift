import Foundation
import MMoEFiles
import MMoETensor

/// One background thread's work: decoding, augmenting and writing samples into batches.
struct SampleWorker: ~Copyable {
  private let source: ImageSource
  private let ring: BatchRing<ImageSlot>
  private let augmentation: Augmentation
  private let seed: UInt64
  /// Replace a bad image by the next good one (training), or leave it out (evaluation).
  private let replacesBadImages: Bool
  private let resampler: Resampler

  init(source: ImageSource, ring: BatchRing<ImageSlot>, options: LoaderOptions, order: LoaderOrder) {
    self.source = source
    self.ring = ring
    seed = options.seed
    resampler = Resampler(side: options.imageSize, normalization: options.normalization)
    if case .training = order { augmentation = options.augmentation } else { augmentation = .none }
    replacesBadImages = order != .evaluation
  }

  /// Works until the ring has nothing more to do.
  func run() {
    lowerPriority()
    while let work = ring.claim() {
      var failure: DataError?
      do {
        for sample in work.samples { try prepare(sample, work.entries[sample], of: work.slot) }
      } catch let error as DataError {
        failure = error
      } catch {
        failure = DataError("\(error)")
      }
      ring.finish(work, error: failure)
    }
  }

  private func prepare(_ sample: Int, _ entry: SampleEntry, of slot: ImageSlot) throws {
    guard let (index, image) = try goodImage(from: entry.index) else {
      slot.indices[sample] = -1
      return
    }
    let random = CounterRandom(
      seed: seed, purpose: .augmentation, a: UInt64(entry.epoch), b: UInt64(index))
    let view = augmentation.view(of: image, random: random)
    let length = 3 * resampler.pixels
    resampler.render(image, view, into: slot.pixels.pointer + sample * length)
    slot.labels[sample] = source.set.images[index].label
    slot.indices[sample] = index
  }

  /// The image at `index`. Under the policy `skip` a bad one is replaced in training by the next good one of
  /// the set, so that batches keep their size and their order does not depend on timing.
  private func goodImage(from index: Int) throws -> (Int, RGBImage)? {
    let count = source.set.count
    for offset in 0..<(replacesBadImages ? count : 1) {
      let candidate = (index + offset) % count
      if let image = try source.image(at: candidate) { return (candidate, image) }
    }
    guard replacesBadImages else { return nil }
    throw DataError("all \(count) images of \(source.set.split.rawValue) are unreadable")
  }
}

/// Lets the calling thread stand back: training comes first where threads outnumber cores.
func lowerPriority() {
  #if os(Linux)
    // On Linux this concerns the calling thread alone.
    _ = setpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0, 5)
  #endif
}
