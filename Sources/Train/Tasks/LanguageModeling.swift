import Foundation
import MMoEConfig
import MMoEData
import MMoEFiles
import MMoEModels
import MMoEParallel
import MMoEReport
import MMoETensor

/// `lm`: next-token prediction on a corpus by a causal transformer.
package final class LanguageModeling: TrainingTask {
  package let name = TaskKind.lm.name
  package let metrics: TaskMetrics
  package var model: any TrainableModel { language }
  package let unitsPerStep: Int
  package let stepsPerEpoch: Int
  /// Every token of a window is a target.
  package let targetsVary = false
  package let flopsPerStep: Double
  package let vocabulary: [String: [String]]
  package let attachments: [String: [UInt8]]
  package let notes: [String] = []

  private let language: GPT
  private let tokenizer: any Tokenizer
  private let config: RunConfig
  private let engine: Engine
  private let training: TokenCorpus?
  private let validation: TokenCorpus
  private var loader: TokenLoader?
  private var context: Int { config.model.text.context }
  /// The ranks that compute together; nil = this process alone.
  private let team: RankTeam?
  private var ranks: Int { team?.world.size ?? 1 }
  /// Windows of a micro-batch on this rank.
  private var microBatch: Int { config.data.batch / config.train.accumulation / ranks }

  /// - Parameters:
  ///   - training: whether the training part is needed too.
  ///   - loadsWeights: whether a checkpoint gives all weights, which then are not drawn.
  ///   - team: the ranks that train together; nil = this process alone.
  /// - Throws: `DataError` for a missing or damaged part; `ModelError` or `TrainError` for an impossible configuration.
  package init(
    _ config: RunConfig, data: TextData, training isTraining: Bool, loadsWeights: Bool, engine: Engine,
    team: RankTeam? = nil
  ) throws {
    try config.validate()
    try config.requireDivisible(by: team?.world.size ?? 1)
    self.team = team
    self.config = config
    metrics = TaskKind.lm.metrics(config.model)
    self.engine = engine
    tokenizer = data.tokenizer
    vocabulary = data.vocabulary
    guard tokenizer.vocabularySize <= config.model.text.vocabulary else {
      throw TrainError(
        "\(data.path)",
        found:
          "its tokenizer \(tokenizer.fingerprint) has \(tokenizer.vocabularySize) tokens, model.vocabulary is \(config.model.text.vocabulary)",
        remedy: "use data of the model's tokenizer")
    }
    attachments = try TokenizerAttachments.make(tokenizer)
    validation = try TokenCorpus(data.shards, split: .val, tokenizer: tokenizer)
    training = isTraining ? try TokenCorpus(data.shards, split: .train, tokenizer: tokenizer) : nil
    language = try GPT(
      config.model, seed: loadsWeights ? nil : UInt64(config.seed), engine: engine,
      dispatcher: team?.dispatcher ?? LocalDispatcher())
    unitsPerStep = config.data.batch * config.model.text.context
    stepsPerEpoch = TokenLoader.stepsPerEpoch(
      tokens: training?.tokens ?? 0, length: config.model.text.context, batchSize: config.data.batch)
    flopsPerStep = try ModelCosts(config.model).trainingFLOPs * Double(config.data.batch)
  }

  package var waitSeconds: Double { loader?.waitSeconds ?? 0 }

  package func startTraining(atMicroBatch index: Int) throws {
    guard let training else { preconditionFailure("opened for evaluation only") }
    let options = TokenLoaderOptions(
      batchSize: microBatch, length: context, seed: UInt64(config.seed), threads: config.data.workers,
      rank: team?.world.rank ?? 0, ranks: ranks, accumulation: config.train.accumulation)
    let order: TokenOrder =
      if config.data.overfit > 0 {
        .overfit
      } else {
        config.text.order == .random ? .random(startStep: index) : .sequential(startStep: index)
      }
    loader = try TokenLoader(training, options: options, order: order)
  }

  package func nextMicroBatch(kept: Bool) throws -> MicroBatch {
    guard let batch = try loader?.next() else { preconditionFailure("a training stream that has not started") }
    return MicroBatch(
      targets: [Double(batch.countedTargets)],
      forward: { [language] pass, divisors in
        let result = language.loss(
          batch.inputs, targets: batch.targets, over: divisors[0], sequence: batch.length, pass)
        return [(MetricName.trainLoss, result.mean)]
      },
      route: { [language] pass in _ = language(batch.inputs, sequence: batch.length, pass) })
  }

  /// Mean loss in nats a token, perplexity a token and a word, bits a byte of the text.
  package func evaluate(progress: ((_ done: Int, _ total: Int) -> Void)?) throws -> Evaluation {
    let limit = training == nil ? 0 : config.text.evalTokens
    let range = 0..<(limit > 0 ? min(limit, validation.tokens) : validation.tokens)
    let stride = config.text.evalStride == 0 ? context : config.text.evalStride
    let windows = try SlidingWindows(validation, range: range, length: context, stride: stride)
    var total = 0.0
    for start in Swift.stride(from: 0, to: windows.count, by: microBatch * ranks) {
      try Interrupt.check(team)
      let own = start + microBatch * (team?.world.rank ?? 0)
      // Experts need every rank at every pass: one without windows of its own takes the first ones and counts nothing.
      let isIdle = own >= windows.count
      let batch = try windows.batch(first: isIdle ? 0 : own, size: microBatch)
      let result = try ForwardPass.evaluating(engine, team) {
        language.loss(batch.inputs, targets: batch.targets, sequence: batch.length, $0)
      }
      if !isIdle { total += result.losses.reduce(0.0) { $0 + Double($1) } }
      progress?(min(start + microBatch * ranks, windows.count), windows.count)
    }
    if let team { total = team.world.allReduce([total])[0] }
    let loss = total / Double(max(windows.targets, 1))
    var metrics = [("perplexity", exp(loss))]
    // The first token is context only, so its text does not count.
    if let extent = try validation.extent(of: range.dropFirst()), extent.bytes > 0 {
      metrics.append(("word_perplexity", exp(total / Double(max(extent.words, 1)))))
      metrics.append(("bits_per_byte", total / log(2) / Double(extent.bytes)))
    }
    return Evaluation(loss: loss, metrics: metrics, count: windows.targets)
  }

  /// What follows the beginning of the validation text, drawn with the run's seed.
  package func sample() throws -> String? {
    let prompt = try validation.ids(0..<min(16, context / 2, validation.tokens))
    guard !prompt.isEmpty else { return nil }
    var generator = TextGenerator(
      language, tokenizer, engine: engine, sampling: SamplingOptions(temperature: 0.8, seed: UInt64(config.seed)),
      team: team)
    var text = ""
    _ = try generator.run(prompt, tokens: 96) { text += $0 }
    let start = String(decoding: try tokenizer.decode(prompt), as: UTF8.self)
    return String(reflecting: start) + " → " + String(reflecting: text)
  }
}

extension LanguageModeling: ProbedTask {
  package func probe(
    _ part: DatasetSplit, samples: Int, everyTask: Bool, pass: () -> ForwardPass,
    _ body: (ProbedBatch) throws -> Void
  ) throws {
    let corpus = part == .val ? validation : training
    guard let corpus else { preconditionFailure("opened for evaluation only") }
    let windows = try SlidingWindows(corpus, length: context, stride: context)
    let places = spread(samples, over: windows.count)
    let kinds = try (0..<tokenizer.vocabularySize).map { try TokenClass(of: Int32($0), tokenizer) }
    let words = { [tokenizer] (id: Int) in String(decoding: (try? tokenizer.bytes(of: Int32(id))) ?? [], as: UTF8.self)
    }
    for start in stride(from: 0, to: places.count, by: microBatch) {
      let batches = try places[start..<min(start + microBatch, places.count)].map {
        try windows.batch(first: $0, size: 1)
      }
      let (inputs, targets) = (batches.flatMap(\.inputs), batches.flatMap(\.targets))
      let pass = pass()
      let loss = language.loss(inputs, targets: targets, sequence: context, pass).mean
      try body(
        ProbedBatch(
          pass: pass, loss: loss, counted: targets.count { $0 >= 0 },
          labels: [
            RowLabels(
              name: "kind", count: TokenClass.allCases.count, values: inputs.map { kinds[Int($0)].number },
              describe: { TokenClass.allCases[$0].rawValue }),
            RowLabels(name: RowLabels.token, count: tokenizer.vocabularySize, values: inputs, describe: words),
          ]))
    }
  }
}
