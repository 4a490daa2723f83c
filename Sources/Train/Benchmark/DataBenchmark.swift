import MMoEData
import MMoETensor

/// How fast images become batches: decoding and augmentation of PNG files, then the same from the decoded cache.
public enum DataBenchmark {
  public struct Result: Codable, Sendable {
    public let images: Int
    public let imageSize: Int
    public let threads: Int
    /// The first epoch: every file read, decoded and augmented.
    public let decodingImagesPerSecond: Double
    /// The second epoch: augmentation of decoded images.
    public let cachedImagesPerSecond: Double

    private enum CodingKeys: String, CodingKey {
      case images, threads
      case imageSize = "image_size"
      case decodingImagesPerSecond = "decoding_images_per_s"
      case cachedImagesPerSecond = "cached_images_per_s"
    }
  }

  /// - Parameters:
  ///   - path: an image folder.
  ///   - imageSize: side of the model's input.
  ///   - threads: loader threads.
  /// - Throws: `DataError` for what is wrong with the folder.
  public static func run(path: String, imageSize: Int, threads: Int) throws -> Result {
    let set = try ImageFolder(path: path, splits: [.train])[.train]
    let source = ImageSource(set)
    let batch = 64
    let loader = try ImageLoader(
      source,
      options: LoaderOptions(
        batchSize: batch, imageSize: imageSize, augmentation: DataConfig().augmentation,
        normalisation: .imageNet, threads: threads), order: .training(startStep: 0))
    let steps = ImageLoader.stepsPerEpoch(images: set.count, batchSize: batch)
    func epoch() throws -> Double {
      let start = monotonicSeconds()
      for _ in 0..<steps { _ = try loader.next() }
      return Double(steps * batch) / (monotonicSeconds() - start)
    }
    return Result(
      images: set.count, imageSize: imageSize, threads: threads,
      decodingImagesPerSecond: try epoch(), cachedImagesPerSecond: try epoch())
  }
}
