import MMoETensor

@testable import MMoEData

extension RGBImage {
  /// Random pixels, a function of the seed.
  static func random(width: Int, height: Int, seed: UInt64 = 0) -> RGBImage {
    let random = CounterRandom(seed: seed, purpose: .test)
    let pixels = (0..<width * height * 3).map { UInt8(random.integer(UInt64($0), below: 256)) }
    return RGBImage(width: width, height: height, pixels: pixels)
  }

  /// One color.
  static func plain(width: Int, height: Int, _ color: [UInt8]) -> RGBImage {
    RGBImage(width: width, height: height, pixels: (0..<width * height).flatMap { _ in color })
  }
}

extension Resampler {
  /// What `render` writes, `[3, side, side]`.
  func rendered(_ image: RGBImage, _ view: ImageView) -> [Float] {
    let count = 3 * pixels
    return [Float](unsafeUninitializedCapacity: count) { buffer, written in
      // Not zero: every element must be written.
      buffer.initialize(repeating: .nan)
      render(image, view, into: buffer.baseAddress!)
      written = count
    }
  }
}

extension PixelNormalization {
  /// Leaves values 0…255 as they are.
  static let identity = PixelNormalization(mean: .zero, deviation: SIMD3(repeating: 1 / 255))
}

/// A batch's contents, copied out of the loader's storage.
struct RecordedBatch: Equatable, CustomDebugStringConvertible {
  var step: Int
  var epoch: Int
  var indices: [Int]
  var labels: [Int32]
  var pixels: [Float]

  init(_ batch: ImageBatch) {
    step = batch.step
    epoch = batch.epoch
    indices = batch.indices
    labels = batch.labels
    pixels = batch.pixels.values
  }

  /// Without the pixels: what a failed comparison prints.
  var debugDescription: String { "step \(step), epoch \(epoch), images \(indices)" }

  /// The picture of each row.
  var pictures: [[Float]] {
    let length = pixels.count / indices.count
    return indices.indices.map { Array(pixels[$0 * length..<($0 + 1) * length]) }
  }
}

/// What a batch without augmentation shows of an image.
func plainPicture(_ entry: ImageSet.Entry, side: Int) throws -> [Float] {
  let image = try RGBImage(contentsOf: entry.path)
  return Resampler(side: side, normalization: .unit).rendered(image, ImageView(centerOf: image))
}

/// Up to `steps` batches of a new loader.
func record(
  _ source: ImageSource, _ options: LoaderOptions, _ order: LoaderOrder, steps: Int = .max
) throws -> [RecordedBatch] {
  let loader = try ImageLoader(source, options: options, order: order)
  var batches: [RecordedBatch] = []
  while batches.count < steps, let batch = try loader.next() { batches.append(RecordedBatch(batch)) }
  return batches
}
