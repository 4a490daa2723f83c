import MMoETensor

/// A causal language model with mixture-of-experts blocks: token embedding → positions → blocks → norm → head
/// (GPT-2; with RMS norm, rotary positions, SwiGLU and grouped-query attention Llama's shape).
public final class GPT: TrainableModel {
  public let config: ModelConfig
  public let parameters: [Parameter]
  /// Saved state that gradients do not train.
  public let buffers: [(path: String, value: Tensor)]
  private let embedding: Parameter
  private let positions: Parameter?
  private let backbone: Backbone
  private let norm: Norm
  /// The token embedding where the head is tied.
  private let head: Parameter

  /// - Parameters:
  ///   - seed: of the random weights; nil leaves them unset, for one that is loaded or only looked at.
  ///   - describes: parameters are shapes alone, without memory; no pass may run.
  /// - Throws: `ModelError` for an impossible configuration.
  public init(
    _ config: ModelConfig, seed: UInt64?, engine: Engine,
    dispatcher: any Dispatcher = LocalDispatcher(),
    describes: Bool = false
  ) throws {
    try config.validate()
    self.config = config
    let text = config.text
    let store = ParameterStore(
      engine: engine, seed: seed, initStd: config.initStd, lora: config.lora, describes: describes)
    embedding = store.table("token_embedding", .embeddings, [text.vocabulary, config.width], decays: true)
    positions =
      text.positions == .learned
      ? store.table("position_embedding", .embeddings, [text.context, config.width], decays: true) : nil
    backbone = try Backbone(store, config: config, causal: true, dispatcher: dispatcher)
    norm = Norm(store, "norm", config)
    head =
      text.tiedHead ? embedding : store.weight("head.weight", .head, [text.vocabulary, config.width])
    parameters = store.parameters
    buffers = store.buffers
  }

  /// Runs B windows of T tokens up to the last norm.
  ///
  /// - Parameters: ids: B · T of them, below the vocabulary; sequence: T, at most the context.
  /// - Returns: `[B · T, d]`, what the head reads.
  public func callAsFunction(_ ids: [Int32], sequence: Int, _ pass: ForwardPass) -> Tensor {
    let x = pass.tape.embedding(ids, table: embedding, positions: positions, sequence: sequence)
    return norm(backbone(x, sequence: sequence, pass), pass.tape)
  }

  /// Adds the mean cross-entropy of the next tokens to the tape; the logits are never held as a whole.
  ///
  /// - Parameters:
  ///   - ids: B · T tokens; targets: as many next tokens, −1 where none counts.
  ///   - divisor: as in `Tape.crossEntropy`.
  /// - Returns: the mean loss over counted tokens, and each token's loss, in nats.
  public func loss(
    _ ids: [Int32], targets: [Int32], over divisor: Double? = nil, sequence: Int, _ pass: ForwardPass
  ) -> (mean: Double, losses: [Float]) {
    let rows = self(ids, sequence: sequence, pass)
    return pass.tape.projectedCrossEntropy(
      rows, head: head, targets: targets, over: divisor, weight: pass.lossWeight)
  }

  /// Logits `[rows, V]` of rows that `callAsFunction` gave.
  public func logits(_ rows: Tensor, _ tape: Tape) -> Tensor {
    tape.linear(rows, weight: head, name: "head")
  }

  /// Caches for one sequence of at most the context.
  public func makeCaches() -> [BlockCache] {
    (0..<config.layers).map { _ in
      BlockCache(
        capacity: config.text.context, columns: config.keyValueHeads * config.headWidth)
    }
  }

  /// Continues one sequence: the logits `[V]` after its next tokens.
  ///
  /// - Parameters:
  ///   - ids: the tokens that follow those in the caches; together at most the context.
  ///   - caches: of `makeCaches()`; the tokens are added.
  public func next(_ ids: [Int32], caches: [BlockCache], _ pass: ForwardPass) -> Tensor {
    let (tape, d) = (pass.tape, config.width)
    let x = tape.embedding(
      ids, table: embedding, positions: positions, sequence: ids.count, first: caches[0].count)
    let rows = norm(backbone(x, sequence: ids.count, caches: caches, pass), tape)
    let last = Tensor(uninitialised: [1, d])
    last.pointer.update(from: rows.pointer + (ids.count - 1) * d, count: d)
    return logits(last, tape)
  }

  public func unreached(by tasks: Set<FusionConfig.Task>) -> [UnreachedParameters] { backbone.unreached }

  /// Moves the routers' selection biases; called after each optimiser step.
  public func updateSelectionBiases() { backbone.updateSelectionBiases() }
}
