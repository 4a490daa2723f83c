import MMoEConfig
import MMoEData

/// Data of which training shows varied samples, which `mmoe data preview` draws.
package protocol AugmentedData: TaskData {
  /// Paths of the files that training reads.
  var trainingFiles: [String] { get }
  /// The first samples of training, with what `draws` passes show of them.
  ///
  /// - Throws: `DataError` naming a file that cannot be decoded.
  func drawnSamples(_ count: Int, draws: Int, _ config: RunConfig) throws -> [DrawnSample]
}

extension RunConfig {
  /// What the samples that a training shows depend on.
  fileprivate var drawing: (options: LoaderOptions, order: LoaderOrder) {
    let options = LoaderOptions(
      batchSize: 1, imageSize: model.vision.image, seed: UInt64(seed), augmentation: data.augmentation,
      normalization: data.pixelNormalization)
    return (options, data.overfit > 0 ? .overfit : .training(startStep: 0))
  }
}

extension ImageData: AugmentedData {
  package var trainingFiles: [String] { (try? folder[.train])?.images.map(\.path) ?? [] }

  package func drawnSamples(_ count: Int, draws: Int, _ config: RunConfig) throws -> [DrawnSample] {
    let source = ImageSource(
      try folder[.train], policy: config.data.onBadImage,
      atLeast: RGBImage.detail(inputSide: config.model.vision.image))
    return try source.drawnSamples(count, draws: draws, config.drawing.options, config.drawing.order)
  }
}

extension PairData: AugmentedData {
  package var trainingFiles: [String] { folder[.train].items.flatMap { $0.files.values.joined() } }

  package func drawnSamples(_ count: Int, draws: Int, _ config: RunConfig) throws -> [DrawnSample] {
    let shapes = config.model.sampledModalities.map { ($0.sample, $0.shape(config.model)) }
    let source = try PairSource(
      folder[.train], shapes: Dictionary(uniqueKeysWithValues: shapes), policy: config.data.onBadImage)
    return try source.drawnSamples(count, draws: draws, config.drawing.options, config.drawing.order)
  }
}
