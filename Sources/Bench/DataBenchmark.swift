import MMoEConfig
import MMoEData
import MMoETensor

/// How fast data becomes batches: decoding and augmentation of PNG files, the same from the decoded cache, and windows
/// of tokens.
package enum DataBenchmark {
  package struct Result: Codable, Sendable {
    package let images: Int
    package let imageSize: Int
    package let threads: Int
    /// The first epoch: every file read, decoded and augmented.
    package let decodingImagesPerSecond: Double
    /// The second epoch: augmentation of decoded images.
    package let cachedImagesPerSecond: Double

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
  package static func run(path: String, imageSize: Int, threads: Int) throws -> Result {
    let set = try ImageFolder(path: path, splits: [.train])[.train]
    let source = ImageSource(set)
    let batch = 64
    let loader = try ImageLoader(
      source,
      options: LoaderOptions(
        batchSize: batch, imageSize: imageSize, augmentation: DataConfig().augmentation,
        normalization: .imageNet, threads: threads), order: .training(startStep: 0))
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

  package struct TokenResult: Codable, Sendable {
    /// Tokens of the corpus.
    package let tokens: Int
    package let batch: Int
    package let length: Int
    package let threads: Int
    /// Windows that begin anywhere, as in training.
    package let tokensPerSecond: Double

    private enum CodingKeys: String, CodingKey {
      case tokens, batch, length, threads
      case tokensPerSecond = "tokens_per_s"
    }
  }

  /// - Parameter path: a folder of token shards.
  /// - Throws: `DataError` for what is wrong with the shards.
  package static func runTokens(path: String, threads: Int) throws -> TokenResult {
    let corpus = try TokenCorpus(path, split: .train, tokenizer: nil)
    let (batch, length, steps) = (8, 256, 2000)
    let loader = try TokenLoader(
      corpus, options: TokenLoaderOptions(batchSize: batch, length: length, threads: threads),
      order: .random(startStep: 0))
    let start = monotonicSeconds()
    for _ in 0..<steps { _ = try loader.next() }
    return TokenResult(
      tokens: corpus.tokens, batch: batch, length: length, threads: threads,
      tokensPerSecond: Double(steps * batch * length) / (monotonicSeconds() - start))
  }
}
