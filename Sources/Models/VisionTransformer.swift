import MMoETensor

/// A vision transformer with mixture-of-experts blocks: patches → linear embedding → positions → blocks → norm →
/// pooling → linear head (Dosovitskiy et al., arXiv 2010.11929; V-MoE, arXiv 2106.05974).
public final class VisionTransformer: TrainableModel {
  public let config: ModelConfig
  public let parameters: [Parameter]
  /// Saved state that gradients do not train.
  public let buffers: [(path: String, value: Tensor)]
  private let embedding: Linear
  private let positions: Parameter
  private let classToken: Parameter?
  private let backbone: Backbone
  private let norm: LayerNorm
  private let head: Linear

  /// - Throws: `ModelError` for an impossible configuration.
  public init(
    _ config: ModelConfig, seed: UInt64, engine: Engine,
    dispatcher: any Dispatcher = LocalDispatcher()
  ) throws {
    try config.validate()
    self.config = config
    let store = ParameterStore(engine: engine, seed: seed, initStd: config.initStd)
    embedding = Linear(
      store, "patch_embedding", in: config.channels * config.patch * config.patch,
      out: config.width)
    classToken =
      config.classToken ? store.table("class_token", [config.width], decays: false) : nil
    positions = store.table("position_embedding", [config.tokens, config.width], decays: true)
    backbone = try Backbone(store, config: config, causal: false, dispatcher: dispatcher)
    norm = LayerNorm(store, "norm", config.width, epsilon: config.normEpsilon)
    head = Linear(store, "head", in: config.width, out: config.classes)
    parameters = store.parameters
    buffers = store.buffers
  }

  /// - Parameter images: `[B, channels, image, image]`, normalised.
  /// - Returns: logits `[B, classes]`.
  public func callAsFunction(_ images: Tensor, _ pass: ForwardPass) -> Tensor {
    let tape = pass.tape
    let patches = tape.patches(images, patch: config.patch)
    var x = tape.addPositions(
      embedding(patches, tape, name: "embedding"), positions: positions, classToken: classToken)
    x = backbone(x, sequence: config.tokens, pass)
    // The head reads one row a sample. Norm first, then pool, for the class token as for the mean.
    let pooled = tape.pool(norm(x, tape), sequence: config.tokens, mean: classToken == nil)
    return head(pooled, tape, name: "head")
  }

  /// Moves the routers' selection biases; called after each optimiser step.
  public func updateSelectionBiases() {
    for block in backbone.blocks { block.moe?.updateSelectionBias() }
  }
}
