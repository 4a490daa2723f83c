import MMoEConfig
import MMoEData
import MMoEFiles
import MMoEModels
import MMoEReport
import MMoETensor

/// Labeled images and text beside pairs, looked at.
package struct MixtureData {
  let images: ImageFolder?
  /// A folder of shards.
  let shards: String?
  /// Of images in class folders without splits.
  let validationShare: Double

  /// - Parameter cache: where shards of the text are kept.
  /// - Throws: `TrainError` naming the key and what is wrong with what it names.
  init(_ config: RunConfig, tokenizer: any Tokenizer, cache: String, _ sink: any TextSink) throws {
    validationShare = config.data.validationShare
    func named<Result>(_ key: String, _ body: () throws -> Result) throws -> Result {
      do { return try body() } catch { throw TrainError("\(key)", found: "\(error)") }
    }
    images = try config.mixture.images.map { path in
      try named("mixture.images") {
        try ImageFolder(
          path: path, splits: [.val], validationShare: config.data.validationShare)
      }
    }
    for note in images?.notes ?? [] { sink.line("note: \(note)") }
    shards = try config.mixture.text.map { path in
      var options = CorpusTokenizer.Options()
      options.field = config.text.field
      options.documents = config.text.documents
      options.validationShare = config.data.validationShare
      return try named("mixture.text") {
        try CorpusWork.shards(
          for: path, tokenizer: tokenizer, options: options, cache: cache,
          threads: config.data.workers, sink: sink)
      }
    }
  }
}

/// What a step reads beside its pairs.
struct MixedBatch {
  /// `[I, 3, S, S]`; nil = none.
  var pixels: Tensor?
  /// `[I]`, among all labels of the run.
  var labels: [Int32] = []
  /// Windows of text, and the next token at each of their places.
  var texts: [[Int32]] = []
  var targets: [[Int32]] = []
}

/// The streams of labeled images and of text, and their validation parts.
final class Mixture {
  private let config: RunConfig
  private let engine: Engine
  /// Without a training part where the task was opened for evaluation only.
  private let images: (training: ImageSource?, validation: ImageSource)?
  private let texts: (training: TokenCorpus?, validation: TokenCorpus)?
  /// Number among all labels of each class of the folder.
  private let labelNumbers: [Int32]
  /// Shares of a step on this rank and of a pass.
  private let share: (rank: Int, ranks: Int, passes: Int)
  private var imageLoader: ImageLoader?
  private var textLoader: TokenLoader?

  /// - Parameters:
  ///   - labels: all of the run, the pairs' and the folder's.
  ///   - isTraining: whether the training parts are needed too.
  ///   - share: of a step: this rank, ranks, micro-batches.
  /// - Returns: nil where nothing is mixed in.
  /// - Throws: `DataError` for a missing part; `TrainError` for a batch that cannot be divided.
  init?(
    _ data: MixtureData, labels: [String], _ config: RunConfig, tokenizer: any Tokenizer, training isTraining: Bool,
    engine: Engine, share: (rank: Int, ranks: Int, passes: Int)
  ) throws {
    guard data.images != nil || data.shards != nil else { return nil }
    guard data.images == nil || config.model.fusion.modalities.contains(VisionModality.name) else {
      throw TrainError(
        field: "mixture.images", found: "images for a model without \(VisionModality.name)",
        expected: "none, or a model of them", remedy: "add \(VisionModality.name) to fusion.modalities")
    }
    (self.config, self.engine, self.share) = (config, engine, share)
    let cache = config.data.cacheBytes / 2
    func source(_ set: ImageSet, _ bytes: Int) -> ImageSource {
      ImageSource(
        set, cacheBytes: bytes, policy: config.data.onBadImage,
        atLeast: RGBImage.detail(inputSide: config.model.vision.image))
    }
    images = try data.images.map { folder in
      let training =
        isTraining
        ? try ImageFolder(
          path: folder.path, splits: [.train, .val], validationShare: config.data.validationShare) : nil
      return (try training.map { source(try $0[.train], cache / 5 * 4) }, source(try folder[.val], cache / 5))
    }
    labelNumbers = (data.images?.classes ?? []).map { name in Int32(labels.firstIndex(of: name) ?? -1) }
    texts = try data.shards.map { shards in
      (
        isTraining ? try TokenCorpus(shards, split: .train, tokenizer: tokenizer) : nil,
        try TokenCorpus(shards, split: .val, tokenizer: tokenizer)
      )
    }
    for (key, count, isUsed) in [
      ("mixture.image_batch", config.mixture.imageBatch, images != nil),
      ("mixture.text_batch", config.mixture.textBatch, texts != nil),
    ] where isUsed && count % (share.ranks * share.passes) != 0 {
      throw TrainError(
        field: "\(key)", found: "\(count), which \(share.ranks) ranks with \(share.passes) micro-batches do not divide",
        remedy: "choose a multiple")
    }
  }

  /// For notes about unreadable files.
  var imageSources: [ImageSource] { [images?.training, images?.validation].compactMap { $0 } }

  /// Time that steps waited for either stream, in seconds.
  var waitSeconds: Double { (imageLoader?.waitSeconds ?? 0) + (textLoader?.waitSeconds ?? 0) }

  private func pass(_ batch: Int) -> Int { batch / share.ranks / share.passes }

  private func imageOptions(_ augmentation: Augmentation, rank: Int, ranks: Int) -> LoaderOptions {
    LoaderOptions(
      batchSize: pass(config.mixture.imageBatch), imageSize: config.model.vision.image, seed: UInt64(config.seed),
      augmentation: augmentation, normalization: config.data.pixelNormalization, threads: config.data.workers,
      rank: rank, ranks: ranks, accumulation: share.passes)
  }

  func start(atMicroBatch index: Int) throws {
    imageLoader = try images?.training.map { source in
      try ImageLoader(
        source, options: imageOptions(config.data.augmentation, rank: share.rank, ranks: share.ranks),
        order: config.data.overfit > 0 ? .overfit : .training(startStep: index))
    }
    textLoader = try texts?.training.map { corpus in
      try TokenLoader(
        corpus,
        options: TokenLoaderOptions(
          batchSize: pass(config.mixture.textBatch), length: config.model.text.context, seed: UInt64(config.seed),
          threads: config.data.workers, rank: share.rank, ranks: share.ranks, accumulation: share.passes),
        order: config.data.overfit > 0 ? .overfit : .random(startStep: index))
    }
  }

  /// - Parameter kept: whether the batch must stay valid beyond the next one.
  func next(kept: Bool) throws -> MixedBatch {
    var mixed = MixedBatch()
    if let batch = try imageLoader?.next() {
      mixed.pixels = kept ? batch.pixels.copy() : batch.pixels
      mixed.labels = batch.labels.map { labelNumbers[Int($0)] }
    }
    if let batch = try textLoader?.next() {
      let length = batch.length
      for start in stride(from: 0, to: batch.inputs.count, by: length) {
        mixed.texts.append(Array(batch.inputs[start..<start + length]))
        mixed.targets.append(Array(batch.targets[start..<start + length]))
      }
    }
    return mixed
  }

  /// Top-1 of the labeled images and the loss of the text, each on its validation part.
  ///
  /// - Parameters:
  ///   - coordinator: the ranks; every one reads everything, since experts need all of them.
  ///   - beforeBatch: may end it, such as for a signal.
  func evaluate(
    _ model: MultimodalTransformer, coordinator: (any PassCoordinator)?, beforeBatch: () throws -> Void
  ) throws -> [(name: String, value: Double)] {
    var metrics: [(name: String, value: Double)] = []
    if let images {
      var (correct, count) = (0.0, 0)
      let loader = try ImageLoader(
        images.validation, options: imageOptions(.none, rank: 0, ranks: 1), order: .evaluation)
      while let batch = try loader.next() {
        try beforeBatch()
        let sequences = (0..<batch.count).map {
          PackedSequences.Sequence(image: $0, task: PairPass.Task.classification.rawValue)
        }
        try ForwardPass.evaluating(engine, coordinator) { pass in
          let states = model(PackedSequences(images: batch.pixels, sequences), pass)
          let pooled = model.pooledRows(states, of: VisionModality.name, pass.tape)
          guard let logits = model.classLogits(pooled, of: VisionModality.name, pass.tape) else { return }
          let result = pass.tape.crossEntropy(logits, targets: batch.labels.map { labelNumbers[Int($0)] })
          correct += result.correct(top: 1)
          count += result.counted
        }
      }
      metrics.append(("mixture_top1", correct / Double(max(count, 1))))
    }
    if let texts {
      let limit = config.text.evalTokens
      let range = 0..<(limit > 0 ? min(limit, texts.validation.tokens) : texts.validation.tokens)
      let length = config.model.text.context
      let windows = try SlidingWindows(texts.validation, range: range, length: length, stride: length)
      let size = max(1, self.pass(config.mixture.textBatch))
      var total = 0.0
      for start in stride(from: 0, to: windows.count, by: size) {
        try beforeBatch()
        let batch = try windows.batch(first: start, size: size)
        let rows = stride(from: 0, to: batch.inputs.count, by: batch.length)
        let sequences = rows.map {
          PackedSequences.Sequence(
            text: Array(batch.inputs[$0..<$0 + batch.length]), task: PairPass.Task.language.rawValue)
        }
        let targets = rows.map { Array(batch.targets[$0..<$0 + batch.length]) }
        let losses = try ForwardPass.evaluating(engine, coordinator) { pass in
          let states = model(PackedSequences(images: nil, sequences), pass)
          return model.nextTokenLoss(states, targets: targets, weight: 1, pass.tape).losses
        }
        total += losses.reduce(0.0) { $0 + Double($1) }
      }
      metrics.append(("mixture_text_loss", total / Double(max(windows.targets, 1))))
    }
    return metrics
  }
}
