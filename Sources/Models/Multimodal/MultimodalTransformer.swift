import Foundation
import MMoETensor

/// Images and texts together: patch and token embeddings → blocks (`EarlyFusion` or `LateFusion`) → heads.
///
/// Heads: next tokens (the embedding, where tied), projections of an image's and of a text's pooled row to where images and
/// texts are compared (CLIP, arXiv 2103.00020), and classes of the image.
public final class MultimodalTransformer: TrainableModel {
  public let config: ModelConfig
  public let parameters: [Parameter]
  /// Saved state that gradients do not train.
  public let buffers: [(path: String, value: Tensor)]
  private let body: any FusionBody
  private let languageHead: LanguageHead
  private let imageProjection: Linear
  private let textProjection: Linear
  /// Logarithm of the factor on similarities.
  private let logScale: Parameter
  /// Logarithms of the losses' variances, in the order of `FusionConfig.Task`; nil where weights are fixed.
  public let logVariances: Parameter?
  /// Nil without classes.
  private let classifier: Linear?

  /// - Parameters:
  ///   - seed: of the random weights; nil leaves them unset, for one that is loaded or only looked at.
  ///   - describes: parameters are shapes alone, without memory; no pass may run.
  /// - Throws: `ModelError` for an impossible configuration.
  public init(
    _ config: ModelConfig, seed: UInt64?, engine: Engine, dispatcher: any Dispatcher = LocalDispatcher(),
    describes: Bool = false
  ) throws {
    precondition(config.kind == .multimodal, "a model of the kind \(config.kind)")
    try config.validate()
    self.config = config
    let vision = config.vision
    let store = ParameterStore(
      engine: engine, seed: seed, initStd: config.initStd, lora: config.lora, describes: describes)
    body =
      switch config.fusion.kind {
      case .early: try EarlyFusion(store, config, dispatcher: dispatcher)
      case .late: try LateFusion(store, config, dispatcher: dispatcher)
      }
    let shared = config.fusion.embedding
    languageHead = LanguageHead(
      store, "language_head", config.text, width: body.textWidth, embedding: body.tokens)
    imageProjection = Linear(store, "image_projection", .head, in: body.imageWidth, out: shared, bias: false)
    textProjection = Linear(store, "text_projection", .head, in: body.textWidth, out: shared, bias: false)
    // CLIP's start and its bound: a factor of 1 / 0.07, never above 100.
    logScale = store.constant("logit_scale", .head, [1], Float(log(1 / 0.07)), largest: Float(log(100.0)))
    logVariances =
      config.fusion.uncertainty
      ? store.constant("task_log_variance", .lossWeights, [FusionConfig.Task.allCases.count], 0) : nil
    classifier =
      vision.classes > 0 ? Linear(store, "classifier", .head, in: body.imageWidth, out: vision.classes) : nil
    parameters = store.parameters
    buffers = store.buffers
  }

  /// Runs the blocks over packed sequences.
  public func callAsFunction(_ batch: PackedSequences, _ pass: ForwardPass) -> PackedStates { body(batch, pass) }

  /// Adds the mean cross-entropy of next tokens to the tape.
  ///
  /// - Parameters:
  ///   - targets: of every sequence, as many as its text has tokens: the next token at each, −1 where none counts.
  ///   - divisor: as in `Tape.crossEntropy`.
  ///   - weight: of this term in the objective.
  /// - Returns: the mean over counted tokens, and each token's loss in the order of the sequences, in nats.
  public func nextTokenLoss(
    _ states: PackedStates, targets: [[Int32]], over divisor: Double? = nil, weight: Float, _ tape: Tape
  ) -> (mean: Double, losses: [Float]) {
    let chosen = zip(states.texts.ranges, targets).filter { range, own in
      precondition(range.count == own.count, "\(own.count) targets for \(range.count) tokens")
      return own.contains { $0 >= 0 }
    }
    // The head is read where no token counts too: what a step trains does not follow from what its batch holds.
    guard let texts = states.texts.rows else { return (0, []) }
    let rows = tape.selectRows(texts, chosen.flatMap { $0.0.map(Int32.init) })
    return languageHead.loss(rows, targets: chosen.flatMap { $0.1 }, over: divisor, weight: weight, tape)
  }

  /// What stands for every image, `[I, d]`: its class token where there is one, else its mean patch.
  public func imageRows(_ states: PackedStates, _ tape: Tape) -> Tensor {
    guard let rows = states.images.rows else { preconditionFailure("a pass without images") }
    return config.vision.classToken
      ? tape.selectRows(rows, states.images.ranges.map { Int32($0.lowerBound) })
      : tape.meanRows(rows, of: states.images.ranges)
  }

  /// Where images are compared with texts, `[I, embedding]`; not normalized.
  public func imageEmbeddings(_ images: Tensor, _ tape: Tape) -> Tensor {
    imageProjection(images, tape, name: "image projection")
  }

  /// Where the texts of some sequences without an image are compared with images, `[sequences, embedding]`.
  public func textEmbeddings(_ states: PackedStates, of sequences: [Int], _ tape: Tape) -> Tensor {
    guard let rows = states.texts.rows else { preconditionFailure("a pass without texts") }
    let ranges = sequences.map { states.texts.ranges[$0] }
    let pooled =
      switch config.fusion.textPooling {
      case .mean: tape.meanRows(rows, of: ranges)
      case .last: tape.selectRows(rows, ranges.map { Int32($0.upperBound - 1) })
      }
    return textProjection(pooled, tape, name: "text projection")
  }

  /// Factor on the cosine of an image and a text, the one that the contrastive loss uses.
  public var similarityScale: Float { exp(logScale.value.item) }

  /// Adds the contrastive loss of images and their texts to the tape.
  public func contrastiveLoss(
    images: Tensor, texts: Tensor, weight: Float, _ tape: Tape
  ) -> (loss: Double, accuracy: Double) {
    tape.contrastiveLoss(images, texts, logScale: logScale, weight: weight)
  }

  /// Logits `[I, classes]`; nil without classes.
  public func classLogits(_ images: Tensor, _ tape: Tape) -> Tensor? {
    classifier?(images, tape, name: "classifier")
  }

  /// For one image and its text.
  public func makeCache() -> FusionCache { body.makeCache() }

  /// Reads one image `[1, channels, S, S]` into an empty cache.
  public func read(_ image: Tensor, _ cache: FusionCache, _ pass: ForwardPass) { body.read(image, cache, pass) }

  /// Continues the text after an image: the logits `[V]` after its next tokens.
  ///
  /// - Parameters:
  ///   - ids: the tokens that follow those in the cache.
  ///   - position: of the first of them in the text.
  public func next(_ ids: [Int32], position: Int, _ cache: FusionCache, _ pass: ForwardPass) -> Tensor {
    languageHead.lastLogits(body.next(ids, position: position, cache, pass), pass.tape)
  }

  public func unreached(by tasks: Set<FusionConfig.Task>) -> [UnreachedParameters] {
    let parts = body.parts
    let images: [FusionConfig.Task] = (parts.captionsReadImages ? [.caption] : []) + [.contrastive, .classification]
    let needs: [(parameters: [Parameter?], tasks: [FusionConfig.Task])] = [
      (languageHead.parameters, [.caption, .language]),
      ([imageProjection.weight, textProjection.weight, logScale], [.contrastive]),
      ([classifier?.weight, classifier?.bias], [.classification]),
      (parts.images, images), (parts.texts, [.caption, .contrastive, .language]), (parts.cross, [.caption]),
    ]
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
