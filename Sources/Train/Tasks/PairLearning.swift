import Foundation
import MMoEConfig
import MMoEData
import MMoEFiles
import MMoEModels
import MMoEParallel
import MMoEReport
import MMoETensor

/// `multimodal`: images and their captions in one transformer, for captions, retrieval and labels.
///
/// A step reads every image with its caption, and every caption alone: the first for the caption's next tokens, the image's
/// vector and its label (patches never see the text), the second for the text's vector and language modeling.
public final class PairLearning: TrainingTask {
  public let name = TaskKind.multimodal.name
  public let metrics = TaskKind.multimodal.metrics
  public var model: any TrainableModel { fused }
  public let unitsPerStep: Int
  public let stepsPerEpoch: Int
  public let targetsVary = true
  public let flopsPerStep: Double
  public let vocabulary: [String: [String]]
  public let attachments: [String: [UInt8]]

  /// A split's pairs.
  package struct Part {
    package let set: PairSet
    package let source: ImageSource
    /// Tokens of each image's captions.
    package let captions: [[[Int32]]]

    fileprivate init(_ set: PairSet, _ tokens: CaptionTokens, _ config: RunConfig, cacheBytes: Int) throws {
      self.set = set
      source = ImageSource(set.imageSet, cacheBytes: cacheBytes, policy: config.data.onBadImage)
      captions = try tokens.encode(set, context: config.model.text.context)
    }
  }

  let fused: MultimodalTransformer
  package let tokens: CaptionTokens
  package let config: RunConfig
  private let engine: Engine
  private let team: RankTeam?
  package let validation: Part
  package let training: Part?
  private var loader: PairLoader?
  private let mixture: Mixture?
  private var ranks: Int { team?.world.size ?? 1 }
  /// Pairs of a pass on this rank.
  private var microBatch: Int { config.data.batch / config.train.accumulation / ranks }

  /// - Parameters:
  ///   - training: whether the training part is needed too.
  ///   - loadsWeights: whether a checkpoint gives all weights, which then are not drawn.
  ///   - team: the ranks that train together; nil = this process alone.
  /// - Throws: `DataError` for what is wrong with the pairs; `ModelError` or `TrainError` for an impossible
  ///   configuration.
  package init(
    _ config: RunConfig, data: PairData, training isTraining: Bool, loadsWeights: Bool, engine: Engine,
    team: RankTeam? = nil
  ) throws {
    try config.validate()
    try config.requireDivisible(by: team?.world.size ?? 1)
    guard data.tokenizer.vocabularySize <= config.model.text.vocabulary else {
      throw TrainError(
        "\(data.path)",
        found:
          "its tokenizer \(data.tokenizer.fingerprint) has \(data.tokenizer.vocabularySize) tokens, model.vocabulary is \(config.model.text.vocabulary)",
        remedy: "use data of the model's tokenizer")
    }
    (self.config, self.engine, self.team) = (config, engine, team)
    tokens = try CaptionTokens(data.tokenizer)
    vocabulary = data.vocabulary
    attachments = try TokenizerAttachments.make(data.tokenizer)
    let cache = config.data.cacheBytes
    validation = try Part(data.folder[.val], tokens, config, cacheBytes: isTraining ? cache / 5 : cache)
    training = isTraining ? try Part(data.folder[.train], tokens, config, cacheBytes: cache / 5 * 4) : nil
    mixture = try Mixture(
      data.mixture, labels: data.labels, config, tokenizer: data.tokenizer, training: isTraining, engine: engine,
      share: (team?.world.rank ?? 0, team?.world.size ?? 1, config.train.accumulation))
    fused = try MultimodalTransformer(
      config.model, seed: loadsWeights ? nil : UInt64(config.seed), engine: engine,
      dispatcher: team?.dispatcher ?? LocalDispatcher())
    unitsPerStep = config.data.batch
    stepsPerEpoch = ImageLoader.stepsPerEpoch(
      images: training?.source.set.drawnCount ?? 0, batchSize: config.data.batch)
    flopsPerStep = try PairLearning.flops(
      config, captions: (training?.captions ?? validation.captions).flatMap { $0 })
  }

  /// Arithmetic of a step with captions of the mean length, with images and alone.
  private static func flops(_ config: RunConfig, captions: [[Int32]]) throws -> Double {
    var pair = config.model
    pair.text.context = max(1, 1 + captions.reduce(0) { $0 + $1.count } / max(captions.count, 1))
    var text = pair.textTower
    if pair.fusion.kind == .early { text = pair }
    (text.kind, text.moe.groups, text.moe.taskRouting) = (.gpt, nil, false)
    if text.moe.balance == "entropy" { text.moe.balance = "none" }
    func step(_ config: ModelConfig) throws -> Double { try ModelCosts(config).trainingFLOPs }
    var image = pair
    image.text.context = 1
    var flops = try step(pair) + step(text)
    if config.model.moe.taskRouting {
      // Every task reads for itself what it needs.
      let weights = config.objective
      flops =
        try (weights.caption > 0 ? step(pair) : 0) + (weights.contrastive > 0 ? step(image) + step(text) : 0)
        + (weights.classification > 0 ? step(image) : 0) + (weights.language > 0 ? step(text) : 0)
    }
    flops *= Double(config.data.batch)
    if config.mixture.images != nil {
      flops += try step(image) * Double(config.mixture.imageBatch)
    }
    if config.mixture.text != nil {
      text.text.context = config.model.text.context
      flops += try step(text) * Double(config.mixture.textBatch)
    }
    return flops
  }

  public var waitSeconds: Double { (loader?.waitSeconds ?? 0) + (mixture?.waitSeconds ?? 0) }

  public var notes: [String] {
    ([training?.source, validation.source] + (mixture?.imageSources ?? [])).compactMap { $0?.badImagesNote(team) }
  }

  public func startTraining(atMicroBatch index: Int) throws {
    guard let training else { preconditionFailure("opened for evaluation only") }
    loader = try PairLoader(
      training.source, captions: training.captions, options: options(config.data.augmentation),
      order: config.data.overfit > 0 ? .overfit : .training(startStep: index))
    try mixture?.start(atMicroBatch: index)
  }

  public func nextMicroBatch(kept: Bool) throws -> MicroBatch {
    guard var batch = try loader?.next() else { preconditionFailure("a training stream that has not started") }
    let mixed = try mixture?.next(kept: kept) ?? MixedBatch()
    if kept { batch = batch.copy() }
    let read = PairPass(
      batch, tokens, tasks, readsTextsAlone: true, isSeparate: config.model.moe.taskRouting,
      mixed: mixed)
    let goals = Goals(
      captions: read.targets(read.captions, batch, tokens),
      texts: read.targets(read.modeledTexts, batch, tokens, andMixed: true), pairs: batch.captions.count,
      labels: batch.images.labels + mixed.labels)
    return MicroBatch(
      targets: goals.counts,
      forward: { pass, divisors in self.forward(read, goals, over: divisors, pass) },
      route: { [fused] pass in _ = fused(read.packed, pass) })
  }

  /// What a micro-batch asks of the model.
  private struct Goals {
    /// Next tokens of the captions after their images, and of the texts alone, sequence by sequence.
    let captions, texts: [[Int32]]
    /// Images that must find their text.
    let pairs: Int
    /// Of the images that are classified; −1 = unknown.
    let labels: [Int32]

    /// Targets of each loss, in the order of `PairPass.Task`.
    var counts: [Double] {
      PairPass.Task.allCases.map { task in
        switch task {
        case .caption: Double(captions.joined().count { $0 >= 0 })
        case .language: Double(texts.joined().count { $0 >= 0 })
        case .contrastive: Double(pairs)
        case .classification: Double(labels.count { $0 >= 0 })
        }
      }
    }
  }

  private func forward(
    _ read: PairPass, _ goals: Goals, over divisors: [Double], _ pass: ForwardPass
  ) -> [(name: String, value: Double)] {
    let states = fused(read.packed, pass)
    let tape = pass.tape
    var losses: [(task: PairPass.Task, weight: Double, value: Double)] = []
    var metrics: [(name: String, value: Double)] = []
    /// A task's weight in the objective: the configured one, and the learned one where there is one.
    func weight(_ task: PairPass.Task) -> Double {
      let learned = fused.logVariances.map { exp(-Double($0.value.values[Int(task.rawValue)])) }
      return config.objective.weight(task) * (learned ?? 1)
    }
    func factor(_ task: PairPass.Task) -> Float { Float(weight(task)) * pass.lossWeight }
    func divisor(_ task: PairPass.Task) -> Double { divisors[Int(task.rawValue)] }
    for (task, targets) in [(PairPass.Task.caption, goals.captions), (.language, goals.texts)]
    where tasks.contains(task) {
      let result = fused.nextTokenLoss(
        states, targets: targets, over: divisor(task), weight: factor(task), tape)
      losses.append((task, weight(task), result.mean))
    }
    if tasks.contains(.contrastive) {
      // Of the global batch: every image finds its text among those of all ranks.
      func all(_ rows: Tensor) -> Tensor { team?.gatherRows(rows, tape) ?? rows }
      let images = fused.imageEmbeddings(fused.imageRows(states, Array(read.comparedImages), tape), tape)
      let texts = fused.textEmbeddings(states, of: Array(read.comparedTexts), tape)
      let result = fused.contrastiveLoss(
        images: all(images), texts: all(texts), weight: factor(.contrastive), tape)
      losses.append((.contrastive, weight(.contrastive), result.loss))
      metrics.append(("train_match", result.accuracy))
    }
    let labeled = Array(read.labeledImages) + Array(read.mixedImages)
    if tasks.contains(.classification), let logits = fused.classLogits(fused.imageRows(states, labeled, tape), tape) {
      let result = tape.crossEntropy(
        logits, targets: goals.labels, over: divisor(.classification),
        smoothing: Float(config.train.labelSmoothing), weight: factor(.classification))
      // A step without any label says nothing of labels.
      if divisor(.classification) > 0 {
        losses.append((.classification, weight(.classification), result.loss))
        metrics.append((MetricName.trainTop1, result.accuracy(top: 1)))
      }
    }
    if let logVariances = fused.logVariances {
      tape.uncertaintyTerm(
        logVariances, weighted: losses.map { (Int($0.task.rawValue), $0.weight * $0.value) }, weight: pass.lossWeight)
      for loss in losses { metrics.append(("weight_\(loss.task)", loss.weight)) }
    }
    // The loss is that of captions, as in evaluation; without them the sum of what is trained.
    let total = losses.reduce(0) { $0 + $1.weight * $1.value }
    let loss = losses.first { $0.task == .caption }?.value ?? total
    return [(MetricName.trainLoss, loss)] + losses.map { ("train_\($0.task)_loss", $0.value) } + metrics
  }

  /// The tasks that are trained.
  package var tasks: Set<PairPass.Task> { config.trainedTasks }

  /// Captions of every validation image, retrieval within every gallery, labels.
  public func evaluate(progress: ((_ done: Int, _ total: Int) -> Void)?) throws -> Evaluation {
    let found = try readValidation(progress)
    guard found.captionLoss.isFinite else {
      return Evaluation(
        loss: found.captionLoss, metrics: [("caption_loss", found.captionLoss)], count: found.indices.count,
        skipped: validation.set.count - found.indices.count)
    }
    let embedder = PairEmbedder(model: fused, tokens: tokens, engine: engine, batch: microBatch)
    // The losses of texts are those of the first captions, as with images.
    let alone = try embedder.texts(
      found.indices.map { validation.captions[$0][0] }, coordinator: team, beforeBatch: { try Interrupt.check(team) })
    var metrics: [(name: String, value: Double)] = [
      ("caption_loss", found.captionLoss), ("language_loss", alone.loss / Double(max(alone.count, 1))),
    ]
    if found.labeled > 0 { metrics.append(("top1", found.correct / Double(found.labeled))) }
    metrics += try galleries(found, embedder)
    if let mixture {
      metrics += try mixture.evaluate(fused, coordinator: team, beforeBatch: { try Interrupt.check(team) })
    }
    return Evaluation(
      loss: found.captionLoss, metrics: metrics, count: found.indices.count,
      skipped: validation.set.count - found.indices.count)
  }

  /// What the model made of the validation images.
  private struct Found {
    /// Of readable images.
    var indices: [Int] = []
    var vectors: [[Float]] = []
    var captions: [String] = []
    /// Mean over tokens.
    var captionLoss = 0.0
    var labeled = 0
    /// NaN once a logit was.
    var correct = 0.0
  }

  private func readValidation(_ progress: ((_ done: Int, _ total: Int) -> Void)?) throws -> Found {
    var found = Found()
    var (loss, count) = (0.0, 0)
    let generator = CaptionGenerator(model: fused, tokens: tokens, engine: engine)
    // Every rank reads everything: experts need all of them at every pass.
    var options = options(.none)
    (options.rank, options.ranks) = (0, 1)
    let loader = try PairLoader(validation.source, captions: validation.captions, options: options, order: .evaluation)
    while let batch = try loader.next() {
      try Interrupt.check(team)
      let pass = ForwardPass(Tape(engine, recording: false), training: false, coordinator: team)
      let read = PairPass(
        batch, tokens, [.caption, .contrastive, .classification], readsTextsAlone: false,
        isSeparate: config.model.moe.taskRouting)
      let states = fused(read.packed, pass)
      let result = fused.nextTokenLoss(
        states, targets: read.targets(read.captions, batch, tokens), weight: 1, pass.tape)
      loss += result.losses.reduce(0.0) { $0 + Double($1) }
      count += result.losses.count
      let compared = fused.imageRows(states, Array(read.comparedImages), pass.tape)
      found.vectors += PairEmbedder.unitRows(fused.imageEmbeddings(compared, pass.tape))
      if let logits = fused.classLogits(fused.imageRows(states, Array(read.labeledImages), pass.tape), pass.tape) {
        let result = pass.tape.crossEntropy(logits, targets: batch.images.labels)
        found.labeled += result.counted
        found.correct += result.correct(top: 1)
      }
      // Of NaN nothing can be said.
      for place in 0..<batch.images.count where loss.isFinite {
        found.captions.append(try generator.caption(batch.images.pixels.sample(place), coordinator: team))
      }
      found.indices += batch.images.indices
      progress?(found.indices.count, validation.set.count)
    }
    guard !found.indices.isEmpty else {
      throw TrainError(
        "\(validation.set.images[0].path)", found: "no readable validation image", remedy: "replace them")
    }
    found.captionLoss = loss / Double(max(count, 1))
    return found
  }

  /// Captions, and recall both ways within every gallery; the first one's are the run's.
  private func galleries(_ found: Found, _ embedder: PairEmbedder) throws -> [(name: String, value: Double)] {
    let keys = try validation.set.pictureHashes()
    let place = Dictionary(uniqueKeysWithValues: found.indices.enumerated().map { ($1, $0) })
    var metrics: [(name: String, value: Double)] = []
    for (number, gallery) in validation.set.galleries.enumerated() {
      let members = gallery.members.filter { place[$0] != nil }
      let texts = members.flatMap { index in validation.captions[index].map { (image: index, ids: $0) } }
      let vectors = try embedder.texts(
        texts.map(\.ids), coordinator: team, beforeBatch: { try Interrupt.check(team) }
      ).vectors
      func similarity(_ image: Int, _ text: Int) -> Float {
        PairEmbedder.similarity(found.vectors[place[members[image]]!], vectors[text])
      }
      func belong(_ image: Int, _ text: Int) -> Bool { keys[members[image]] == keys[texts[text].image] }
      let toText = RetrievalRanks(
        queries: members.count, gallery: texts.count, similarity: similarity, isRight: belong)
      let toImage = RetrievalRanks(
        queries: texts.count, gallery: members.count, similarity: { similarity($1, $0) }, isRight: { belong($1, $0) })
      let suffix = number == 0 ? "" : "_\(gallery.name)"
      if number == 0 { metrics.append(("recall_at_10", (toText.recall(at: 10) + toImage.recall(at: 10)) / 2)) }
      for k in PairBaselines.cutoffs {
        metrics.append(("image_to_text_recall_at_\(k)\(suffix)", toText.recall(at: k)))
        metrics.append(("text_to_image_recall_at_\(k)\(suffix)", toImage.recall(at: k)))
      }
      let scores = CaptionScores(
        members.map { found.captions[place[$0]!] }, references: members.map { validation.set.images[$0].captions })
      metrics += [
        ("caption_exact\(suffix)", scores.exactMatch), ("caption_f1\(suffix)", scores.tokenF1),
        ("caption_bleu4\(suffix)", scores.bleu4), ("caption_cider\(suffix)", scores.cider),
      ]
      metrics += [("gallery_images\(suffix)", Double(members.count)), ("gallery_texts\(suffix)", Double(texts.count))]
    }
    return metrics
  }

  /// What the model says about the first validation images.
  public func sample() throws -> String? {
    var options = options(.none)
    (options.rank, options.ranks, options.batchSize) = (0, 1, min(4, validation.set.count))
    let loader = try PairLoader(validation.source, captions: validation.captions, options: options, order: .evaluation)
    guard let batch = try loader.next() else { return nil }
    let generator = CaptionGenerator(model: fused, tokens: tokens, engine: engine)
    return try batch.images.indices.enumerated().map { place, index in
      let said = try generator.caption(batch.images.pixels.sample(place), coordinator: team)
      return "\(String(reflecting: validation.set.images[index].captions[0])) → \(String(reflecting: said))"
    }.joined(separator: ", ")
  }

  package func options(_ augmentation: Augmentation) -> LoaderOptions {
    LoaderOptions(
      batchSize: microBatch, imageSize: config.model.vision.image, seed: UInt64(config.seed),
      augmentation: augmentation, normalization: config.data.pixelNormalization,
      threads: config.data.workers, rank: team?.world.rank ?? 0, ranks: ranks,
      accumulation: config.train.accumulation)
  }
}
