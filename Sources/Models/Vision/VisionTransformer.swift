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
  public func callAsFunction(_ images: Tensor, _ pass: ForwardPass) -> Tensor {
    let tape = pass.tape
    let x = backbone(embedding(images, tape), sequence: config.vision.tokens, pass)
    // The head reads one row a sample. Norm first, then pool, for the class token as for the mean.
    let pooled = tape.pool(norm(x, tape), sequence: config.vision.tokens, mean: !config.vision.classToken)
    return head(pooled, tape, name: "head")
  }

  public func unreached(by tasks: Set<FusionConfig.Task>) -> [UnreachedParameters] { backbone.unreached }

  /// Moves the routers' state, such as selection biases; called after each optimizer step.
  public func afterStep() { backbone.afterStep() }
}
