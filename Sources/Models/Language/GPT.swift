import MMoETensor

/// A causal language model with mixture-of-experts blocks: token embedding → positions → blocks → norm → head
/// (GPT-2; with RMS norm, rotary positions, SwiGLU and grouped-query attention Llama's shape).
public final class GPT: TrainableModel {
  public let config: ModelConfig
  public let parameters: [Parameter]
  /// Saved state that gradients do not train.
  public let buffers: [(path: String, value: Tensor)]
  private let embedding: TokenEmbedding
  private let backbone: Backbone
  private let norm: Norm
  private let head: LanguageHead

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
    let store = ParameterStore(
      engine: engine, seed: seed, initStd: config.initStd, lora: config.lora, describes: describes)
    embedding = TokenEmbedding(store, config)
    backbone = try Backbone(store, config: config, causal: true, dispatcher: dispatcher)
    norm = Norm(store, "norm", config)
    head = LanguageHead(store, "head", config.text, width: config.width, embedding: embedding)
    parameters = store.parameters
    buffers = store.buffers
  }

  /// Runs B windows of T tokens up to the last norm.
  ///
  /// - Parameters: ids: B · T of them, below the vocabulary; sequence: T, at most the context.
  /// - Returns: `[B · T, d]`, what the head reads.
  package func callAsFunction(_ ids: [Int32], sequence: Int, _ pass: ForwardPass) -> Tensor {
    let x = embedding(ids, sequence: sequence, pass.tape)
    return norm(backbone(x, sequence: sequence, pass), pass.tape)
  }

  /// Adds the mean cross-entropy of the next tokens to the tape; the logits are never held as a whole.
  ///
  /// - Parameters:
  ///   - ids: B · T tokens; targets: as many next tokens, −1 where none counts.
  ///   - divisor: as in `Tape.crossEntropy`.
  /// - Returns: the mean loss over counted tokens, and each token's loss, in nats.
  package func loss(
    _ ids: [Int32], targets: [Int32], over divisor: Double? = nil, sequence: Int, _ pass: ForwardPass
  ) -> (mean: Double, losses: [Float]) {
    head.loss(
      self(ids, sequence: sequence, pass), targets: targets, over: divisor, weight: pass.lossWeight, pass.tape)
  }

  /// Logits `[rows, V]` of rows that `callAsFunction` gave.
  package func logits(_ rows: Tensor, _ tape: Tape) -> Tensor { head.logits(rows, tape) }

  /// Caches for one sequence of at most the context.
  package func makeCaches() -> [BlockCache] {
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
  package func next(_ ids: [Int32], caches: [BlockCache], _ pass: ForwardPass) -> Tensor {
    let x = embedding(ids, sequence: ids.count, first: caches[0].count, pass.tape)
    return head.lastLogits(norm(backbone(x, sequence: ids.count, caches: caches, pass), pass.tape), pass.tape)
  }

  /// Adds the mean cross-entropy of the next tokens to the pass's objective, for programs outside of the package.
  ///
  /// - Parameters:
  ///   - ids: B windows of `sequence` tokens; targets: as many next tokens, −1 where none counts.
  ///   - divisor: what the sum over the tokens is divided by, such as a `MicroBatch`'s; nil = how many targets count.
  /// - Returns: the mean loss over counted tokens, in nats.
  /// - Throws: `ModelError` for numbers that do not fit; what a router outside of the package throws.
  public func loss(
    of ids: [Int32], targets: [Int32], over divisor: Double? = nil, sequence: Int, pass: ForwardPass
  ) throws -> Double {
    try requireIDs(ids, sequence: sequence)
    guard targets.count == ids.count, targets.allSatisfy({ $0 >= -1 && $0 < config.text.vocabulary }) else {
      throw ModelError(
        field: "the targets of \(ids.count) tokens", found: "\(targets.count) numbers",
        expected: "as many, each from -1 to \(config.text.vocabulary - 1)")
    }
    if let divisor, !(divisor >= 0 && divisor.isFinite) {
      throw ModelError(field: "the divisor of a loss", found: "\(divisor)", expected: "0 or more")
    }
    let mean = loss(ids, targets: targets, over: divisor, sequence: sequence, pass).mean
    try pass.tape.requireNoFailure()
    return mean
  }

  /// Logits `[B · T, V]` of the tokens that follow each of B windows' tokens, for programs outside of the package.
  ///
  /// - Throws: as `loss(of:targets:sequence:pass:)`.
  public func logits(of ids: [Int32], sequence: Int, pass: ForwardPass) throws -> Tensor {
    try requireIDs(ids, sequence: sequence)
    let result = logits(self(ids, sequence: sequence, pass), pass.tape)
    try pass.tape.requireNoFailure()
    return result
  }

  private func requireIDs(_ ids: [Int32], sequence: Int) throws {
    guard sequence >= 1, sequence <= config.text.context, !ids.isEmpty, ids.count % sequence == 0 else {
      throw ModelError(
        field: "the windows of a language model", found: "\(ids.count) tokens in windows of \(sequence)",
        expected: "whole windows of at most the context, \(config.text.context)")
    }
    if let odd = ids.first(where: { $0 < 0 || $0 >= config.text.vocabulary }) {
      throw ModelError(field: "a token", found: "\(odd)", expected: "0 to \(config.text.vocabulary - 1)")
    }
  }

  public func unreached(by tasks: Set<FusionConfig.Task>) -> [UnreachedParameters] { backbone.unreached }

  /// Moves the routers' state, such as selection biases; called after each optimizer step.
  public func afterStep() { backbone.afterStep() }
}
