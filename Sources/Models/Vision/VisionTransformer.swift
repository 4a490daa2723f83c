import MMoETensor

/// A vision transformer with mixture-of-experts blocks: patches → linear embedding → positions → blocks → norm →
/// pooling → linear head (Dosovitskiy et al., arXiv 2010.11929; V-MoE, arXiv 2106.05974).
public final class VisionTransformer: TrainableModel {
  public let config: ModelConfig
  public let parameters: [Parameter]
  /// Saved state that gradients do not train.
  public let buffers: [(path: String, value: Tensor)]
  private let embedding: PatchEmbedding
  private let backbone: Backbone
  private let norm: Norm
  private let head: Linear

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
    embedding = PatchEmbedding(
      store, "patch_embedding", positions: "position_embedding", config.vision.grid, width: config.width)
    backbone = try Backbone(store, config: config, causal: false, dispatcher: dispatcher)
    norm = Norm(store, "norm", config)
    head = Linear(store, "head", .head, in: config.width, out: config.vision.classes)
    parameters = store.parameters
    buffers = store.buffers
  }

  /// - Parameter images: `[B, channels, S, S]`, normalized.
  /// - Returns: logits `[B, classes]`.
  package func callAsFunction(_ images: Tensor, _ pass: ForwardPass) -> Tensor {
    let tape = pass.tape
    let x = backbone(embedding(images, tape), sequence: config.vision.tokens, pass)
    // The head reads one row a sample. Norm first, then pool, for the class token as for the mean.
    let pooled = tape.pool(norm(x, tape), sequence: config.vision.tokens, mean: !config.vision.classToken)
    return head(pooled, tape, name: "head")
  }

  /// Adds the mean cross-entropy of the classes to the pass's objective, for programs outside of the package.
  ///
  /// - Parameters:
  ///   - images: `[B, channels, S, S]`, normalized; labels: B classes.
  /// - Returns: loss and ranks of the right classes.
  /// - Throws: `ModelError` or `EngineError` for numbers that do not fit; what a router outside of the package throws.
  public func loss(of images: Tensor, labels: [Int32], pass: ForwardPass) throws -> CrossEntropyResult {
    try pass.tape.checked.crossEntropy(logits(of: images, pass: pass), targets: labels)
  }

  /// Logits `[B, classes]` of images `[B, channels, S, S]`, for programs outside of the package.
  ///
  /// - Throws: as `loss(of:labels:pass:)`.
  public func logits(of images: Tensor, pass: ForwardPass) throws -> Tensor {
    let own = [config.vision.channels, config.vision.image, config.vision.image]
    guard images.shape.count == 4, Array(images.shape.dropFirst()) == own else {
      throw ModelError(field: "images", found: "of shape \(images.shape)", expected: "[B] + \(own)")
    }
    let logits = self(images, pass)
    try pass.tape.requireNoFailure()
    return logits
  }

  public func unreached(by tasks: Set<FusionConfig.Task>) -> [UnreachedParameters] { backbone.unreached }

  /// Moves the routers' state, such as selection biases; called after each optimizer step.
  public func afterStep() { backbone.afterStep() }
}
