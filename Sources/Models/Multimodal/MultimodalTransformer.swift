import Foundation
import MMoETensor

/// Images and texts in one transformer (early fusion): patch and token embeddings → positions → blocks → norm → heads.
///
/// Patches see all patches of their image and nothing else, tokens see the image and the text before them: an image is read
/// the same with and without its text, so one pass serves captions, comparison and classification. Experts may be cut into
/// groups of each modality (`ExpertGroups`). Heads: next tokens (the embedding, where tied), projections of the mean patch
/// and of the mean token to where images and texts are compared (CLIP), and classes of the mean patch.
public final class MultimodalTransformer: TrainableModel {
  public let config: ModelConfig
  public let parameters: [Parameter]
  /// Saved state that gradients do not train.
  public let buffers: [(path: String, value: Tensor)]
  private let patchEmbedding: Linear
  private let patchPositions: Parameter
  private let tokenEmbedding: Parameter
  private let tokenPositions: Parameter
  private let backbone: Backbone
  private let norm: Norm
  private let languageHead: Parameter
  private let imageProjection: Linear
  private let textProjection: Linear
  /// Logarithm of the factor on similarities.
  private let logScale: Parameter
  /// Nil without classes.
  private let classifier: Linear?

  /// - Parameter seed: of the random weights; nil leaves them unset, for one that is loaded or only looked at.
  /// - Throws: `ModelError` for an impossible configuration.
  public init(
    _ config: ModelConfig, seed: UInt64?, engine: Engine, dispatcher: any Dispatcher = LocalDispatcher()
  ) throws {
    precondition(config.kind == .multimodal, "a model of the kind \(config.kind)")
    try config.validate()
    self.config = config
    let (vision, text, width) = (config.vision, config.text, config.width)
    let store = ParameterStore(engine: engine, seed: seed, initStd: config.initStd, lora: config.lora)
    patchEmbedding = Linear(
      store, "patch_embedding", in: vision.channels * vision.patch * vision.patch, out: width)
    patchPositions = store.table(
      "patch_positions", [vision.tokens, width], VisionTransformer.initialPositions(config), decays: true)
    tokenEmbedding = store.table("token_embedding", [text.vocabulary, width], decays: true)
    tokenPositions = store.table("position_embedding", [text.context, width], decays: true)
    backbone = try Backbone(store, config: config, causal: true, dispatcher: dispatcher)
    norm = Norm(store, "norm", config)
    languageHead = text.tiedHead ? tokenEmbedding : store.weight("language_head.weight", [text.vocabulary, width])
    let shared = config.fusion.embedding
    imageProjection = Linear(store, "image_projection", in: width, out: shared, bias: false)
    textProjection = Linear(store, "text_projection", in: width, out: shared, bias: false)
    logScale = store.constant("logit_scale", [1], Float(log(1 / 0.07)))
    classifier = vision.classes > 0 ? Linear(store, "classifier", in: width, out: vision.classes) : nil
    parameters = store.parameters
    buffers = store.buffers
  }

  /// Runs the blocks over packed sequences.
  public func callAsFunction(_ batch: PackedSequences, _ pass: ForwardPass) -> PackedStates {
    let images = batch.images?.shape[0] ?? 0
    let plan = PackedPlan(batch.sequences, images: images, patches: config.vision.tokens)
    let x = embed(batch.images, plan, pass.tape)
    pass.modalities = TokenModalities(names: FusionConfig.modalities, of: plan.modalities)
    let rows = backbone(x, sequence: plan.layout.rows, layout: plan.layout, pass)
    return PackedStates(rows: norm(rows, pass.tape), plan: plan)
  }

  /// Patches and tokens in the rows of their sequences.
  private func embed(_ images: Tensor?, _ plan: PackedPlan, _ tape: Tape) -> Tensor {
    let patches = images.map { images in
      tape.addPositions(
        patchEmbedding(tape.patches(images, patch: config.vision.patch), tape, name: "embedding"),
        positions: patchPositions)
    }
    guard !plan.ids.isEmpty else { return tape.placeRows(patches!, at: plan.patchRows, of: plan.layout.rows) }
    let tokens = embedTokens(plan.ids, positions: plan.positions, tape)
    let placed = tape.placeRows(tokens, at: plan.textRows, of: plan.layout.rows)
    guard let patches else { return placed }
    return tape.add(tape.placeRows(patches, at: plan.patchRows, of: plan.layout.rows), placed)
  }

  private func embedTokens(_ ids: [Int32], positions: [Int32], _ tape: Tape) -> Tensor {
    tape.add(
      tape.embedding(ids, table: tokenEmbedding, sequence: ids.count),
      tape.embedding(positions, table: tokenPositions, sequence: ids.count))
  }

  /// Adds the mean cross-entropy of next tokens to the tape.
  ///
  /// - Parameters:
  ///   - targets: of every sequence, as many as its text has tokens: the next token at each, −1 where none counts.
  ///   - weight: of this term in the objective.
  /// - Returns: the mean over counted tokens, and each token's loss in the order of the sequences, in nats.
  public func nextTokenLoss(
    _ states: PackedStates, targets: [[Int32]], weight: Float, _ tape: Tape
  ) -> (mean: Double, losses: [Float]) {
    let chosen = zip(states.plan.textRanges, targets).filter { range, own in
      precondition(range.count == own.count, "\(own.count) targets for \(range.count) tokens")
      return own.contains { $0 >= 0 }
    }
    guard !chosen.isEmpty else { return (0, []) }
    let rows = tape.selectRows(states.rows, chosen.flatMap { $0.0.map(Int32.init) })
    return tape.projectedCrossEntropy(rows, head: languageHead, targets: chosen.flatMap { $0.1 }, weight: weight)
  }

  /// The mean patch of every image, `[I, d]`.
  public func imageMeans(_ states: PackedStates, _ tape: Tape) -> Tensor {
    tape.meanRows(states.rows, of: states.plan.imageRanges)
  }

  /// Where images are compared with texts, `[I, embedding]`; not normalised.
  public func imageEmbeddings(_ means: Tensor, _ tape: Tape) -> Tensor {
    imageProjection(means, tape, name: "image projection")
  }

  /// Where the texts of some sequences without an image are compared with images, `[sequences, embedding]`.
  public func textEmbeddings(_ states: PackedStates, of sequences: [Int], _ tape: Tape) -> Tensor {
    let means = tape.meanRows(states.rows, of: sequences.map { states.plan.textRanges[$0] })
    return textProjection(means, tape, name: "text projection")
  }

  /// Adds the contrastive loss of images and their texts to the tape.
  public func contrastiveLoss(
    images: Tensor, texts: Tensor, weight: Float, _ tape: Tape
  ) -> (loss: Double, accuracy: Double) {
    tape.contrastiveLoss(images, texts, logScale: logScale, weight: weight)
  }

  /// Logits `[I, classes]`; nil without classes.
  public func classLogits(_ means: Tensor, _ tape: Tape) -> Tensor? {
    classifier?(means, tape, name: "classifier")
  }

  /// Caches for one image and its text.
  public func makeCaches() -> [KeyValueCache] {
    (0..<config.layers).map { _ in
      KeyValueCache(capacity: config.tokens, columns: config.keyValueHeads * config.headWidth)
    }
  }

  /// Reads one image `[1, channels, S, S]` into empty caches.
  public func read(_ image: Tensor, caches: [KeyValueCache], _ pass: ForwardPass) {
    precondition(caches[0].count == 0, "an image stands at the beginning")
    let plan = PackedPlan([PackedSequences.Sequence(image: 0)], images: 1, patches: config.vision.tokens)
    pass.modalities = TokenModalities(names: FusionConfig.modalities, of: plan.modalities)
    _ = backbone(
      embed(image, plan, pass.tape), sequence: plan.layout.rows, layout: plan.layout, caches: caches, pass)
  }

  /// Continues the text after an image: the logits `[V]` after its next tokens.
  ///
  /// - Parameters:
  ///   - ids: the tokens that follow those in the caches.
  ///   - position: of the first of them in the text.
  public func next(_ ids: [Int32], position: Int, caches: [KeyValueCache], _ pass: ForwardPass) -> Tensor {
    let (tape, d) = (pass.tape, config.width)
    let x = embedTokens(ids, positions: ids.indices.map { Int32(position + $0) }, tape)
    pass.modalities = TokenModalities(names: FusionConfig.modalities, of: ids.map { _ in 1 })
    let rows = norm(backbone(x, sequence: ids.count, caches: caches, pass), tape)
    let last = Tensor(uninitialised: [1, d])
    last.pointer.update(from: rows.pointer + (ids.count - 1) * d, count: d)
    return tape.linear(last, weight: languageHead, name: "head")
  }

  /// Moves the routers' selection biases; called after each optimiser step.
  public func updateSelectionBiases() { backbone.updateSelectionBiases() }
}
