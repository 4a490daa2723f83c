import MMoETensor

/// A batch of images, each with one of its captions.
public struct PairBatch {
  public let images: ImageBatch
  /// `[B]` token ids of the captions, without anything around them.
  public let captions: [[Int32]]

  /// The same with storage of its own, valid as long as it is held.
  public func copy() -> PairBatch { PairBatch(images: images.copy(), captions: captions) }
}

/// Batches of pairs: pictures from an `ImageLoader`, captions beside them.
///
/// The content of a step is a function of the files, the options and the step, as with images. Of several captions of an
/// image training draws one; evaluation takes the first.
public final class PairLoader {
  private let loader: ImageLoader
  private let captions: [[[Int32]]]
  private let seed: UInt64
  private let division: BatchDivision
  private let drawsCaptions: Bool

  /// - Parameters:
  ///   - source: over the pairs' `imageSet`.
  ///   - captions: token ids of every image's captions, in the order of the set.
  /// - Throws: `DataError` for options out of range or a set without images.
  public init(
    _ source: ImageSource, captions: [[[Int32]]], options: LoaderOptions, order: LoaderOrder
  ) throws {
    precondition(captions.count == source.set.count, "\(captions.count) captions for \(source.set.count) images")
    loader = try ImageLoader(source, options: options, order: order)
    self.captions = captions
    seed = options.seed
    division = options.division
    if case .training = order { drawsCaptions = true } else { drawsCaptions = false }
  }

  public var waitSeconds: Double { loader.waitSeconds }

  /// The next batch; nil at the end of an evaluation pass.
  ///
  /// - Throws: `DataError` naming a file that could not be decoded.
  public func next() throws -> PairBatch? {
    guard let images = try loader.next() else { return nil }
    let start = division.place(ofMicroBatch: images.step)
    let random = CounterRandom(seed: seed, purpose: .caption, a: UInt64(start.step))
    let chosen = images.indices.enumerated().map { place, index in
      let own = captions[index]
      return own[drawsCaptions ? random.integer(UInt64(start.first + place), below: own.count) : 0]
    }
    return PairBatch(images: images, captions: chosen)
  }
}
