import Foundation
import MMoEFiles
import MMoETensor

/// How far a data set gets without looking at shapes: validation accuracies of two models on raw pixels.
/// What `mmoe data baseline` shows.
package struct PixelBaselines: Sendable, Codable, Equatable {
  /// Width and height that the images were resized to.
  package var imageSize: Int
  package var trainImages: Int
  package var valImages: Int
  /// Accuracy of multinomial logistic regression on standardized pixels, 0…1.
  package var linear: Double
  /// Accuracy of the same on the training images.
  package var linearTrain: Double
  /// Accuracy of the five nearest neighbors by Euclidean distance, 0…1.
  package var nearestNeighbors: Double
  /// 1 / number of classes.
  package var chance: Double

  /// Decodes a folder and measures both.
  ///
  /// - Parameters:
  ///   - imageSize: images are resized to this side (the center square).
  ///   - epochs: passes of the linear model over the training images.
  ///   - seed: decides the order of the training images.
  /// - Throws: `DataError` for a bad folder or a bad file.
  package init(path: String, imageSize: Int = 32, epochs: Int = 30, seed: UInt64 = 0) throws {
    guard 1...128 ~= imageSize else {
      throw DataError("baseline", found: "image size \(imageSize)", expected: "1 to 128")
    }
    let folder = try ImageFolder(path: path)
    let train = try PixelTable(folder[.train], imageSize: imageSize)
    let val = try PixelTable(folder[.val], imageSize: imageSize)
    // One thread: a batch is a single tile.
    var model = LinearClassifier(
      classes: folder.classes.count, standardizing: train, engine: try Engine(threads: 1))
    for epoch in 0..<epochs {
      // Decaying to zero averages out the last steps' noise.
      model.train(
        on: train, rate: 0.3 * (1 - Float(epoch) / Float(epochs)),
        order: CounterRandom(seed: seed, purpose: .shuffle, a: UInt64(epoch)).permutation(train.count))
    }
    self.imageSize = imageSize
    trainImages = train.count
    valImages = val.count
    chance = 1 / Double(folder.classes.count)
    linear = model.accuracy(on: val)
    linearTrain = model.accuracy(on: train)
    nearestNeighbors = try NearestNeighbors(train, count: 5).accuracy(on: val)
  }

  /// Two lines for a terminal.
  package var text: String {
    func percent(_ share: Double) -> String { String(format: "%.1f %%", 100 * share) }
    return """
      \(trainImages) train and \(valImages) val images at \(imageSize) x \(imageSize), chance \(percent(chance))
      linear model on pixels        val \(percent(linear)) (train \(percent(linearTrain)))
      5 nearest neighbors           val \(percent(nearestNeighbors))
      """
  }
}

/// A set's images as rows of 8-bit pixels.
struct PixelTable: Sendable {
  /// Numbers in a row, 3 × side².
  let width: Int
  let labels: [Int32]
  /// `[count, width]`
  let pixels: [UInt8]

  var count: Int { labels.count }

  /// Decodes all images and resizes them to `imageSize`.
  ///
  /// - Throws: `DataError` naming a file that cannot be decoded.
  init(_ set: ImageSet, imageSize: Int) throws {
    let width = 3 * imageSize * imageSize
    let rows = try set.images.mapInParallel { entry in
      let image = try RGBImage(contentsOf: entry.path)
      // The identity as normalization leaves values 0…255.
      let resampler = Resampler(
        side: imageSize,
        normalization: PixelNormalization(
          mean: .zero, deviation: SIMD3(repeating: 1 / 255)))
      return [UInt8](
        [Float](unsafeUninitializedCapacity: width) { buffer, count in
          resampler.render(image, ImageView(centerOf: image), into: buffer.baseAddress!)
          count = width
        }.map { UInt8(min(max($0.rounded(), 0), 255)) })
    }
    self.width = width
    labels = set.images.map(\.label)
    pixels = rows.flatMap { $0 }
  }
}
