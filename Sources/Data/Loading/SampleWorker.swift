import Foundation
import MMoEFiles
import MMoETensor

/// One background thread's work: decoding, augmenting and writing samples into batches.
struct SampleWorker: ~Copyable {
  private let source: ImageSource
  private let ring: BatchRing<ImageSlot>
  private let drawing: ImageDrawing
  /// Replace a bad image by the next good one (training), or leave it out (evaluation).
  private let replacesBadImages: Bool

  init(source: ImageSource, ring: BatchRing<ImageSlot>, options: LoaderOptions, order: LoaderOrder) {
    self.source = source
    self.ring = ring
    drawing = ImageDrawing(options, order)
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
    guard let (index, image) = try source.goodImage(from: entry.index, replaces: replacesBadImages) else {
      slot.indices[sample] = -1
      return
    }
    drawing.draw(image, index, epoch: entry.epoch, into: slot.pixels.pointer + sample * drawing.count)
    slot.labels[sample] = source.set.images[index].label
    slot.indices[sample] = index
  }
}

/// How a pass over the data shows an image: a function of the options, the image's number and the pass.
struct ImageDrawing {
  private let augmentation: Augmentation
  private let seed: UInt64
  private let resampler: Resampler
  /// Numbers of an image.
  var count: Int { 3 * resampler.pixels }

  init(_ options: LoaderOptions, _ order: LoaderOrder) {
    seed = options.seed
    resampler = Resampler(side: options.imageSize, normalization: options.normalization)
    if case .training = order { augmentation = options.augmentation } else { augmentation = .none }
  }

  /// Writes `[3, S, S]` floats.
  func draw(_ image: RGBImage, _ index: Int, epoch: Int, into output: UnsafeMutablePointer<Float>) {
    let random = CounterRandom(seed: seed, purpose: .augmentation, a: UInt64(epoch), b: UInt64(index))
    resampler.render(image, augmentation.view(of: image, random: random), into: output)
  }
}

extension ImageSource {
  /// The image at `index`. Under the policy `skip` a bad one is replaced in training by the next good one of
  /// the set, so that batches keep their size and their order does not depend on timing.
  func goodImage(from index: Int, replaces: Bool) throws -> (Int, RGBImage)? {
    for offset in 0..<(replaces ? set.count : 1) {
      let candidate = (index + offset) % set.count
      if let image = try image(at: candidate) { return (candidate, image) }
    }
    guard replaces else { return nil }
    throw DataError("all \(set.count) images of \(set.split.rawValue) are unreadable")
  }
}

/// Lets the calling thread stand back: training comes first where threads outnumber cores.
func lowerPriority() {
  #if os(Linux)
    // On Linux this concerns the calling thread alone.
    _ = setpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0, 5)
  #endif
}
