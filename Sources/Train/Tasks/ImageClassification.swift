import MMoEConfig
import MMoEData
import MMoEFiles
import MMoEModels
import MMoEParallel
import MMoEReport
import MMoETensor

/// `imagenet-subset`: classification of the images of a folder by a vision transformer.
package final class ImageClassification: TrainingTask, ClassifyingTask {
  package let name = TaskKind.imagenetSubset.name
  package let metrics: TaskMetrics
  package var model: any TrainableModel { vision }
  package let unitsPerStep: Int
  package let stepsPerEpoch: Int
  /// A bad image is replaced, so that batches keep their size.
  package let targetsVary = false
  package let flopsPerStep: Double
  package var vocabulary: [String: [String]] { ["classes": folder.classes] }
  package var classNames: [String] { folder.classes }

  private let vision: VisionTransformer
  private let config: RunConfig
  private let engine: Engine
  private let team: RankTeam?
  private let folder: ImageFolder
  private let training: ImageSource?
  private let validation: ImageSource
  private var loader: ImageLoader?
  /// What the latest evaluation found.
  private var latest: [ClassPrediction] = []
  private var ranks: Int { team?.world.size ?? 1 }
  /// Images of a pass on this rank.
  private var microBatch: Int { config.data.batch / config.train.accumulation / ranks }

  /// - Parameters:
  ///   - folder: with the `train` split where it is needed.
  ///   - training: whether it is.
  ///   - loadsWeights: whether a checkpoint gives all weights, which then are not drawn.
  ///   - team: the ranks that train together; nil = this process alone.
  /// - Throws: `DataError` for what is wrong with the folder; `ModelError` or `TrainError` for an impossible
  ///   configuration.
  package init(
    _ config: RunConfig, _ folder: ImageFolder, training isTraining: Bool = true, loadsWeights: Bool = false,
    engine: Engine, team: RankTeam? = nil
  ) throws {
    try config.validate()
    self.team = team
    try config.requireDivisible(by: team?.world.size ?? 1)
    self.folder = folder
    let cache = config.data.cacheBytes
    validation = ImageSource(
      try folder[.val], cacheBytes: isTraining ? cache / 5 : cache, policy: config.data.onBadImage,
      atLeast: RGBImage.detail(inputSide: config.model.vision.image))
    training =
      isTraining
      ? ImageSource(
        try folder[.train], cacheBytes: cache / 5 * 4, policy: config.data.onBadImage,
        atLeast: RGBImage.detail(inputSide: config.model.vision.image)) : nil
    self.config = config
    metrics = TaskKind.imagenetSubset.metrics(config.model)
    self.engine = engine
    guard config.model.kind == .vit else {
      throw TrainError(
        field: "model.kind", found: "\(config.model.kind.rawValue)", expected: "vit for images",
        remedy: "choose another preset")
    }
    guard folder.classes.count == config.model.vision.classes else {
      throw TrainError(
        folder.path, found: "\(folder.classes.count) classes found, model.classes is \(config.model.vision.classes)",
        remedy: "use data of as many classes")
    }
    vision = try VisionTransformer(
      config.model, seed: loadsWeights ? nil : UInt64(config.seed), engine: engine,
      dispatcher: team?.dispatcher ?? LocalDispatcher())
    unitsPerStep = config.data.batch
    stepsPerEpoch = ImageLoader.stepsPerEpoch(
      images: training?.set.count ?? 0, batchSize: config.data.batch)
    flopsPerStep = try ModelCosts(config.model).trainingFLOPs * Double(config.data.batch)
  }

  package var waitSeconds: Double { loader?.waitSeconds ?? 0 }

  package var notes: [String] {
    [training, validation].compactMap { $0?.badImagesNote(team) }
  }

  package func startTraining(atMicroBatch index: Int) throws {
    guard let training else { preconditionFailure("opened for evaluation only") }
    loader = try ImageLoader(
      training, options: options(config.data.augmentation),
      order: config.data.overfit > 0 ? .overfit : .training(startStep: index))
  }

  package func nextMicroBatch(kept: Bool) throws -> MicroBatch {
    guard var batch = try loader?.next() else { preconditionFailure("a training stream that has not started") }
    if kept { batch = batch.copy() }
    return MicroBatch(
      targets: [Double(batch.labels.count)],
      forward: { [batch] pass, divisors in self.forward(batch, over: divisors[0], pass) },
      route: { [batch, vision] pass in _ = vision(batch.pixels, pass) })
  }

  private func forward(
    _ batch: ImageBatch, over divisor: Double, _ pass: ForwardPass
  ) -> [(name: String, value: Double)] {
    let logits = vision(batch.pixels, pass)
    let result = pass.tape.crossEntropy(
      logits, targets: batch.labels, over: divisor, smoothing: Float(config.train.labelSmoothing),
      weight: pass.lossWeight)
    return [
      (MetricName.trainLoss, result.loss), (MetricName.trainTop1, result.accuracy(top: 1)),
    ]
  }

  package func evaluate(progress: ((_ done: Int, _ total: Int) -> Void)?) throws -> Evaluation {
    let (evaluation, predictions) = try classify(progress: progress)
    latest = predictions
    return evaluation
  }

  package func evaluationPicture() throws -> RGBImage? {
    try PredictionSheet.picture(ofEvaluation: latest, classes: folder.classes)
  }

  /// What the model made of one image, as ranks send it to each other.
  private struct Row: BitwiseCopyable {
    let image, label, predicted: Int32
    let probability, loss: Float
  }

  package func classify(
    progress: ((_ done: Int, _ total: Int) -> Void)?
  ) throws -> (evaluation: Evaluation, predictions: [ClassPrediction]) {
    let loader = try ImageLoader(validation, options: options(.none), order: .evaluation)
    var loss = 0.0
    var (top1, top5, count) = (0, 0, 0)
    var perClass = folder.classes.map { (name: $0, count: 0, correct: 0) }
    var bins = CalibrationBins()
    var rows: [Row] = []
    // Experts need every rank at every pass: one whose images are used up repeats its last ones and counts nothing.
    var idle: Tensor?
    for _ in stride(from: 0, to: validation.set.count, by: microBatch * ranks) {
      try Interrupt.check(team)
      let next = try loader.next()
      guard let pixels = next?.pixels ?? idle ?? (ranks > 1 ? blankImage() : nil) else { break }
      let found = try ForwardPass.evaluating(engine, team) { pass in
        let logits = vision(pixels, pass)
        // The loss takes the logits' memory.
        return next.map { batch in
          (best: ClassProbability.best(1, of: logits), result: pass.tape.crossEntropy(logits, targets: batch.labels))
        }
      }
      guard let batch = next, let (best, result) = found else { continue }
      if ranks > 1 { idle = pixels.copy() }
      loss += result.loss * Double(batch.count)
      count += batch.count
      for (place, (label, rank)) in zip(batch.labels, result.ranks).enumerated() {
        top1 += rank == 0 ? 1 : 0
        top5 += rank < 5 ? 1 : 0
        perClass[Int(label)].count += 1
        perClass[Int(label)].correct += rank == 0 ? 1 : 0
        guard let found = best[place]?.first else { continue }
        bins.add(confidence: found.probability, isCorrect: rank == 0)
        rows.append(
          Row(
            image: Int32(batch.indices[place]), label: label, predicted: found.label, probability: found.probability,
            loss: result.losses[place]))
      }
      progress?(count, validation.set.count)
    }
    if let team {
      var sums = [loss, Double(top1), Double(top5), Double(count)]
      sums += perClass.flatMap { [Double($0.count), Double($0.correct)] }
      let totals = team.world.allReduce(sums + bins.sums)
      loss = totals[0]
      (top1, top5, count) = (Int(totals[1]), Int(totals[2]), Int(totals[3]))
      for i in perClass.indices {
        (perClass[i].count, perClass[i].correct) = (Int(totals[4 + 2 * i]), Int(totals[5 + 2 * i]))
      }
      bins = CalibrationBins(sums: Array(totals[sums.count...]))
      rows = team.gathered(rows)
    }
    guard count > 0 else {
      throw TrainError(
        "\(folder.path)", found: "no readable validation image (\(validation.statistics.bad.count) bad ones)",
        remedy: "replace them")
    }
    // Without a loss nothing is known of the labels either.
    let total = loss.isFinite ? Double(count) : .nan
    let evaluation = Evaluation(
      loss: loss / total,
      metrics: [
        ("top1", Double(top1) / total), ("top5", Double(top5) / total),
        (MetricName.calibrationError, loss.isFinite ? bins.error : .nan),
      ],
      classes: perClass, count: count, skipped: validation.set.count - count)
    let predictions = rows.sorted { $0.image < $1.image }.map { row in
      ClassPrediction(
        path: validation.set.images[Int(row.image)].path, label: Int(row.label), predicted: Int(row.predicted),
        probability: row.probability, loss: row.loss)
    }
    return (evaluation, predictions)
  }

  private func blankImage() -> Tensor {
    Tensor.zeros([1, config.model.vision.channels, config.model.vision.image, config.model.vision.image])
  }

  private func options(_ augmentation: Augmentation) -> LoaderOptions {
    LoaderOptions(
      batchSize: microBatch, imageSize: config.model.vision.image, seed: UInt64(config.seed),
      augmentation: augmentation, normalization: config.data.pixelNormalization,
      threads: config.data.workers, rank: team?.world.rank ?? 0, ranks: ranks,
      accumulation: config.train.accumulation)
  }
}

extension RankTeam {
  /// The numbers that any rank has, where each has some of `0..<count`. Every rank must ask.
  package func union(_ own: some Sequence<Int>, below count: Int) -> [Int] {
    let own = Array(own)
    guard world.allReduce([Double(own.count)])[0] > 0 else { return [] }
    var met = [Double](repeating: 0, count: count)
    for index in own { met[index] = 1 }
    return world.allReduce(met).enumerated().filter { $0.element > 0 }.map(\.offset)
  }
}

extension ImageSource {
  /// What was left out as unreadable by any rank; nil = nothing. Every rank must ask: each reads other files, and a file
  /// that several ranks met counts once.
  func badImagesNote(_ team: RankTeam?) -> String? {
    let own = statistics.bad.keys
    let bad = team?.union(own, below: set.count) ?? Array(own)
    guard let first = bad.min() else { return nil }
    // Another rank may have met it; the reason is the same here.
    _ = try? image(at: first)
    let reason = statistics.bad[first] ?? set.images[first].path
    return "\(bad.count) unreadable \(set.split.rawValue) images skipped, such as \(reason)"
  }
}

extension PairSource {
  /// What was left out as unreadable by any rank; nil = nothing. Every rank must ask.
  func badItemsNote(_ team: RankTeam?) -> String? {
    let own = bad.keys
    let bad = team?.union(own, below: set.count) ?? Array(own)
    guard let first = bad.min() else { return nil }
    // Another rank may have met it; the reason is the same here.
    for field in shapes.keys.sorted() {
      for file in set.items[first][field].indices { _ = try? sample(field, of: first, file: file) }
    }
    let reason = self.bad[first] ?? set.items[first].place
    return "\(bad.count) \(set.split.rawValue) items with an unreadable file skipped, such as \(reason)"
  }
}

extension ImageClassification: ProbedTask {
  package func probe(
    _ part: DatasetSplit, samples: Int, everyTask: Bool, pass: () -> ForwardPass,
    _ body: (ProbedBatch) throws -> Void
  ) throws {
    guard let all = (part == .val ? validation : training)?.set else {
      preconditionFailure("opened for evaluation only")
    }
    let set = ImageSet(
      split: all.split, classes: all.classes, images: spread(samples, over: all.count).map { all.images[$0] })
    var options = options(.none)
    (options.rank, options.ranks) = (0, 1)
    let loader = try ImageLoader(
      ImageSource(
        set, policy: config.data.onBadImage, atLeast: RGBImage.detail(inputSide: config.model.vision.image)),
      options: options, order: .evaluation)
    let size = config.model.vision
    let (classes, side, first) = (folder.classes, size.image / size.patch, size.classToken ? 1 : 0)
    while let batch = try loader.next() {
      let pass = pass()
      let loss = pass.tape.crossEntropy(vision(batch.pixels, pass), targets: batch.labels, weight: pass.lossWeight).loss
      let rows = batch.labels.flatMap { Array(repeating: $0, count: size.tokens) }
      let places = batch.labels.flatMap { _ in (0..<size.tokens).map { Int32($0 - first) } }
      try body(
        ProbedBatch(
          pass: pass, loss: loss, counted: batch.count,
          labels: [
            RowLabels(name: "class", count: classes.count, values: rows, describe: { classes[$0] }),
            RowLabels(
              name: RowLabels.patch, count: side * side, values: places,
              describe: { "row \($0 / side) column \($0 % side)" }),
          ],
          pictures: { [config] count in
            (0..<min(count, batch.count)).map { sample in
              ProbedPicture(
                batch.pixels, sample: sample, normalization: config.data.pixelNormalization, side: side,
                row: sample * size.tokens + first)
            }
          }))
    }
  }
}
