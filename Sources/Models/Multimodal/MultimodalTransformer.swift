import Foundation
import MMoETensor

/// Several modalities together: encoders of samples and tokens → blocks (`EarlyFusion` or `LateFusion`) → heads.
///
/// Heads: next tokens (the embedding, where tied), for every modality a projection of a sample's pooled row to where samples
/// are compared (CLIP, arXiv 2103.00020), and classes of the samples that can have some.
public final class MultimodalTransformer: TrainableModel {
  public let config: ModelConfig
  public let parameters: [Parameter]
  /// Saved state that gradients do not train.
  public let buffers: [(path: String, value: Tensor)]
  private let body: any FusionBody
  private let languageHead: LanguageHead
  /// By modality.
  private let projections: [String: Linear]
  /// Logarithm of the factor on similarities.
  private let logScale: Parameter
  /// Logarithms of the losses' variances, in the order of `FusionConfig.Task`; nil where weights are fixed.
  package let logVariances: Parameter?
  /// By modality, of those whose samples have classes.
  private let classifiers: [String: Linear]

  /// - Parameters:
  ///   - seed: of the random weights; nil leaves them unset, for one that is loaded or only looked at.
  ///   - describes: parameters are shapes alone, without memory; no pass may run.
  /// - Throws: `ModelError` for an impossible configuration.
  public init(
    _ config: ModelConfig, seed: UInt64?, engine: Engine, dispatcher: any Dispatcher = LocalDispatcher(),
    describes: Bool = false
  ) throws {
    guard config.kind == .multimodal else {
      throw ModelError(field: "model.kind", found: config.kind.rawValue, expected: ModelKind.multimodal.rawValue)
    }
    try config.validate()
    for modality in config.sampledModalities { try modality.requireSizes(config) }
    self.config = config
    let store = ParameterStore(
      engine: engine, seed: seed, initStd: config.initStd, lora: config.lora, describes: describes)
    let body: any FusionBody =
      switch config.fusion.kind {
      case .early: try EarlyFusion(store, config, dispatcher: dispatcher)
      case .late: try LateFusion(store, config, dispatcher: dispatcher)
      }
    self.body = body
    languageHead = LanguageHead(
      store, "language_head", config.text, width: body.width(of: LanguageModality()), embedding: body.tokens)
    projections = Dictionary(
      uniqueKeysWithValues: config.towerModalities.map { modality in
        let projection = Linear(
          store, "\(modality.sample)_projection", .head, in: body.width(of: modality), out: config.fusion.embedding,
          bias: false)
        return (modality.name, projection)
      })
    // CLIP's start and its bound: a factor of 1 / 0.07, never above 100.
    logScale = store.constant("logit_scale", .head, [1], Float(log(1 / 0.07)), largest: Float(log(100.0)))
    logVariances =
      config.fusion.uncertainty
      ? store.constant("task_log_variance", .lossWeights, [FusionConfig.Task.allCases.count], 0) : nil
    classifiers = Dictionary(
      uniqueKeysWithValues: config.sampledModalities.compactMap { modality in
        guard let path = modality.classHead, modality.classes(config) > 0 else { return nil }
        return (
          modality.name,
          Linear(store, path, .head, in: body.width(of: modality), out: modality.classes(config))
        )
      })
    parameters = store.parameters
    buffers = store.buffers
  }

  /// Runs the blocks over packed sequences.
  package func callAsFunction(_ batch: PackedSequences, _ pass: ForwardPass) -> PackedStates { body(batch, pass) }

  /// Adds the mean cross-entropy of next tokens to the tape.
  ///
  /// - Parameters:
  ///   - targets: of every sequence, as many as its texts have tokens: the next token at each, −1 where none counts.
  ///   - divisor: as in `Tape.crossEntropy`.
  ///   - weight: of this term in the objective.
  /// - Returns: the mean over counted tokens, and each token's loss in the order of the sequences, in nats.
  package func nextTokenLoss(
    _ states: PackedStates, targets: [[Int32]], over divisor: Double? = nil, weight: Float, _ tape: Tape
  ) -> (mean: Double, losses: [Float]) {
    let chosen = zip(states.texts, targets).filter { ranges, own in
      let count = ranges.reduce(0) { $0 + $1.count }
      precondition(count == own.count, "\(own.count) targets for \(count) tokens")
      return own.contains { $0 >= 0 }
    }
    // The head is read where no token counts too: what a step trains does not follow from what its batch holds.
    guard let texts = states.textRows else { return (0, []) }
    let rows = tape.selectRows(texts, chosen.flatMap { $0.0.flatMap { $0.map(Int32.init) } })
    return languageHead.loss(rows, targets: chosen.flatMap { $0.1 }, over: divisor, weight: weight, tape)
  }

  /// What stands for every sample of a modality, `[n, d]`: its class token where there is one, else its mean row.
  package func pooledRows(_ states: PackedStates, of modality: String, _ tape: Tape) -> Tensor {
    guard let own = states.samples[modality], let kind = sampled(modality) else {
      preconditionFailure("a pass without \(modality)")
    }
    return switch kind.pooling(config) {
    case .first: tape.selectRows(own.rows, own.ranges.map { Int32($0.lowerBound) })
    case .mean: tape.meanRows(own.rows, of: own.ranges)
    }
  }

  private func sampled(_ name: String) -> (any SampledModality)? {
    config.sampledModalities.first { $0.name == name }
  }

  /// Where samples of a modality are compared, `[n, embedding]`; not normalized.
  ///
  /// - Parameter pooled: of `pooledRows`.
  package func embeddings(_ pooled: Tensor, of modality: String, _ tape: Tape) -> Tensor {
    guard let projection = projections[modality], let kind = sampled(modality) else {
      preconditionFailure("a model without \(modality)")
    }
    return projection(pooled, tape, name: "\(kind.sample) projection")
  }

  /// Where the texts of some sequences without a sample are compared, `[sequences, embedding]`.
  package func textEmbeddings(_ states: PackedStates, of sequences: [Int], _ tape: Tape) -> Tensor {
    guard let rows = states.textRows else { preconditionFailure("a pass without texts") }
    let ranges = sequences.map { sequence in
      let texts = states.texts[sequence]
      precondition(texts.count == 1, "sequence \(sequence) has \(texts.count) texts")
      return texts[0]
    }
    let pooled =
      switch config.fusion.textPooling {
      case .mean: tape.meanRows(rows, of: ranges)
      case .last: tape.selectRows(rows, ranges.map { Int32($0.upperBound - 1) })
      }
    return projections[LanguageModality.name]!(pooled, tape, name: "text projection")
  }

  /// Factor on the cosine of two samples, the one that the contrastive loss uses.
  public var similarityScale: Float { exp(logScale.value.item) }

  /// Adds the contrastive loss of two modalities to the tape.
  ///
  /// - Parameters: a, b: `[n, embedding]`; rows of one number belong together.
  package func contrastiveLoss(
    _ a: Tensor, _ b: Tensor, weight: Float, _ tape: Tape
  ) -> (loss: Double, accuracy: Double) {
    tape.contrastiveLoss(a, b, logScale: logScale, weight: weight)
  }

  /// Logits `[n, classes]` of samples of a modality; nil where they have no classes.
  ///
  /// - Parameter pooled: of `pooledRows`.
  package func classLogits(_ pooled: Tensor, of modality: String, _ tape: Tape) -> Tensor? {
    classifiers[modality]?(pooled, tape, name: "classifier")
  }

  /// For some samples and their text.
  package func makeCache() -> FusionCache { body.makeCache() }

  /// Reads one sample `[1, …]` of a modality after what a cache has; before its text.
  package func read(_ sample: Tensor, of modality: String, _ cache: FusionCache, _ pass: ForwardPass) {
    guard let kind = sampled(modality) else { preconditionFailure("a model without \(modality)") }
    body.read(sample, of: kind, cache, pass)
  }

  /// Continues the text after samples: the logits `[V]` after its next tokens.
  ///
  /// - Parameters:
  ///   - ids: the tokens that follow those in the cache.
  ///   - position: of the first of them in the text.
  package func next(_ ids: [Int32], position: Int, _ cache: FusionCache, _ pass: ForwardPass) -> Tensor {
    languageHead.lastLogits(body.next(ids, position: position, cache, pass), pass.tape)
  }

  public func unreached(by tasks: Set<FusionConfig.Task>) -> [UnreachedParameters] {
    let parts = body.parts
    var needs: [(parameters: [Parameter?], tasks: [FusionConfig.Task])] = [
      (languageHead.parameters, [.caption, .language]),
      (config.towerModalities.map { projections[$0.name]?.weight } + [logScale], [.contrastive]),
    ]
    needs += classifiers.values.map { ([$0.weight, $0.bias], [.classification]) }
    for modality in config.sampledModalities {
      let labels: [FusionConfig.Task] = modality.classHead == nil ? [] : [.classification]
      needs.append(
        (
          parts.samples[modality.name] ?? [],
          (parts.captionsReadSamples ? [.caption] : []) + [.contrastive] + labels
        ))
    }
    needs += [(parts.texts, [.caption, .contrastive, .language]), (parts.cross, [.caption])]
    return body.unreached
      + needs.compactMap { parameters, users in
        let parameters = parameters.compactMap { $0 }
        guard !parameters.isEmpty, tasks.isDisjoint(with: users) else { return nil }
        let names = users.map { "objective.\($0)" }.joined(separator: " and ")
        return UnreachedParameters(parameters: parameters, reason: "\(names) \(users.count > 1 ? "are" : "is") 0")
      }
  }

  /// Moves the routers' state, such as selection biases; called after each optimizer step.
  public func afterStep() { body.afterStep() }
}
