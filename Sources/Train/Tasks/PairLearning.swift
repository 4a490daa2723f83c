import Foundation
import MMoEConfig
import MMoEData
import MMoEFiles
import MMoEModels
import MMoEParallel
import MMoEReport
import MMoETensor

/// `multimodal`: samples of several modalities, such as images, and their captions in one transformer, for captions, retrieval
/// and labels.
///
/// A step reads every sample with its caption, and every caption alone: the first for the caption's next tokens, the sample's
/// vector and its label (samples never see the text), the second for the text's vector and language modeling.
package final class PairLearning: TrainingTask {
  package let name = TaskKind.multimodal.name
  package let metrics: TaskMetrics
  package var model: any TrainableModel { fused }
  package let unitsPerStep: Int
  package let stepsPerEpoch: Int
  package let targetsVary = true
  package let flopsPerStep: Double
  package let vocabulary: [String: [String]]
  package let attachments: [String: [UInt8]]

  /// A split's pairs.
  package struct Part {
    package let set: PairSet
    package let source: PairSource
    /// Tokens of each item's captions.
    package let captions: [[[Int32]]]
    /// Modalities that some items lack.
    let partial: Set<String>

    fileprivate init(_ set: PairSet, _ tokens: CaptionTokens, _ config: RunConfig, cacheBytes: Int) throws {
      self.set = set
      let shapes = config.model.sampledModalities.map { ($0.sample, $0.shape(config.model)) }
      source = try PairSource(
        set, shapes: Dictionary(uniqueKeysWithValues: shapes), cacheBytes: cacheBytes, policy: config.data.onBadImage)
      captions = try tokens.encode(set, context: config.model.text.context)
      let missing = config.model.sampledModalities.filter { modality in
        set.items.contains { $0[modality.sample].isEmpty }
      }
      partial = Set(missing.map(\.name))
    }
  }

  let fused: MultimodalTransformer
  package let tokens: CaptionTokens
  package let config: RunConfig
  let engine: Engine
  let team: RankTeam?
  package let validation: Part
  package let training: Part?
  private var loader: PairLoader?
  /// What the latest evaluation found.
  var latest: [ClassPrediction] = []
  let mixture: Mixture?
  private var ranks: Int { team?.world.size ?? 1 }
  /// Pairs of a pass on this rank.
  var microBatch: Int { config.data.batch / config.train.accumulation / ranks }

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
    if isTraining { try PairLearning.requireSamples(data, config) }
    (self.config, self.engine, self.team) = (config, engine, team)
    metrics = TaskKind.multimodal.metrics(config.model)
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
      images: training?.set.groups.count ?? 0, batchSize: config.data.batch)
    flopsPerStep = try PairLearning.flops(
      config, captions: (training?.captions ?? validation.captions).flatMap { $0 })
  }

  /// A modality that nothing to learn from has would be trained on blank samples.
  private static func requireSamples(_ data: PairData, _ config: RunConfig) throws {
    let set = data.folder[.train]
    for modality in config.model.sampledModalities where !set.items.contains(where: { !$0[modality.sample].isEmpty }) {
      if modality.name == VisionModality.name, config.mixture.images != nil { continue }
      throw TrainError(
        data.path, found: "no line to learn from has the field \(modality.sample)",
        expected: "some, since fusion.modalities has \(modality.name)",
        remedy: "add them, or leave \(modality.name) out of fusion.modalities")
    }
  }

  package var waitSeconds: Double { (loader?.waitSeconds ?? 0) + (mixture?.waitSeconds ?? 0) }

  package var notes: [String] {
    [training?.source, validation.source].compactMap { $0?.badItemsNote(team) }
      + (mixture?.imageSources ?? []).compactMap { $0.badImagesNote(team) }
  }

  package func startTraining(atMicroBatch index: Int) throws {
    guard let training else { preconditionFailure("opened for evaluation only") }
    loader = try PairLoader(
      training.source, captions: training.captions, options: options(config.data.augmentation),
      order: config.data.overfit > 0 ? .overfit : .training(startStep: index))
    try mixture?.start(atMicroBatch: index)
  }

  package func nextMicroBatch(kept: Bool) throws -> MicroBatch {
    guard var batch = try loader?.next() else { preconditionFailure("a training stream that has not started") }
    let mixed = try mixture?.next(kept: kept) ?? MixedBatch()
    if kept { batch = batch.copy() }
    let read = PairPass(batch, tokens, tasks, readsTextsAlone: true, model: config.model, mixed: mixed)
    let labels = config.model.sampledModalities.map { ($0.name, read.labels(of: $0.name, batch)) }
    let goals = Goals(
      captions: read.targets(read.captions, batch, tokens),
      texts: read.targets(read.modeledTexts, batch, tokens, andMixed: true), items: batch.count,
      labels: Dictionary(uniqueKeysWithValues: labels))
    return MicroBatch(
      targets: goals.counts,
      forward: { pass, divisors in self.forward(read, goals, over: divisors, pass) },
      route: { [fused] pass in _ = fused(read.packed, pass) })
  }

  /// What a micro-batch asks of the model.
  private struct Goals {
    /// Next tokens of the captions after samples, and of the texts alone, sequence by sequence.
    let captions, texts: [[Int32]]
    /// Items whose samples must find each other.
    let items: Int
    /// By modality, of the samples that are classified; −1 = unknown.
    let labels: [String: [Int32]]

    /// Targets of each loss, in the order of `PairPass.Task`.
    var counts: [Double] {
      PairPass.Task.allCases.map { task in
        switch task {
        case .caption: Double(captions.joined().count { $0 >= 0 })
        case .language: Double(texts.joined().count { $0 >= 0 })
        case .contrastive: Double(items)
        case .classification: Double(labels.values.joined().count { $0 >= 0 })
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
      let found = compare(read, states, items: goals.items, weight: factor(.contrastive), tape)
      losses.append((.contrastive, weight(.contrastive), found.loss))
      metrics.append(("train_match", found.accuracy))
    }
    if tasks.contains(.classification) {
      var (loss, correct, parts) = (0.0, 0.0, 0)
      for modality in config.model.sampledModalities where modality.classHead != nil {
        let pooled = fused.pooledRows(states, of: modality.name, read.labeledNumbers(of: modality.name), tape)
        guard let logits = fused.classLogits(pooled, of: modality.name, tape) else { continue }
        let result = tape.crossEntropy(
          logits, targets: goals.labels[modality.name] ?? [], over: divisor(.classification),
          smoothing: Float(config.train.labelSmoothing), weight: factor(.classification))
        // Both are over the labels of all modalities.
        (loss, correct, parts) = (loss + result.loss, correct + result.accuracy(top: 1), parts + 1)
      }
      // A step without any label says nothing of labels.
      if divisor(.classification) > 0 && parts > 0 {
        losses.append((.classification, weight(.classification), loss))
        metrics.append((MetricName.trainTop1, correct))
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

  package func options(_ augmentation: Augmentation) -> LoaderOptions {
    LoaderOptions(
      batchSize: microBatch, imageSize: config.model.vision.image, seed: UInt64(config.seed),
      augmentation: augmentation, normalization: config.data.pixelNormalization,
      threads: config.data.workers, rank: team?.world.rank ?? 0, ranks: ranks,
      accumulation: config.train.accumulation)
  }
}
