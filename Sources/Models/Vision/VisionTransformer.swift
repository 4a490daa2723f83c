import Foundation
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
    embedding = Linear(
      store, "patch_embedding", .embeddings, in: config.vision.channels * config.vision.patch * config.vision.patch,
      out: config.width)
    classToken =
      config.vision.classToken ? store.table("class_token", .embeddings, [config.width], decays: false) : nil
    positions = store.table(
      "position_embedding", .embeddings, [config.vision.tokens, config.width],
      VisionTransformer.initialPositions(config),
      decays: true)
    backbone = try Backbone(store, config: config, causal: false, dispatcher: dispatcher)
    norm = Norm(store, "norm", config)
    head = Linear(store, "head", .head, in: config.width, out: config.vision.classes)
    parameters = store.parameters
    buffers = store.buffers
  }

  /// - Parameter images: `[B, channels, S, S]`, normalised.
  /// - Returns: logits `[B, classes]`.
  public func callAsFunction(_ images: Tensor, _ pass: ForwardPass) -> Tensor {
    let tape = pass.tape
    let patches = tape.patches(images, patch: config.vision.patch)
    var x = tape.addPositions(
      embedding(patches, tape, name: "embedding"), positions: positions, classToken: classToken)
    x = backbone(x, sequence: config.vision.tokens, pass)
    // The head reads one row a sample. Norm first, then pool, for the class token as for the mean.
    let pooled = tape.pool(norm(x, tape), sequence: config.vision.tokens, mean: classToken == nil)
    return head(pooled, tape, name: "head")
  }

  public func unreached(by tasks: Set<FusionConfig.Task>) -> [UnreachedParameters] { backbone.unreached }

  /// Moves the routers' selection biases; called after each optimiser step.
  public func updateSelectionBiases() { backbone.updateSelectionBiases() }

  /// Where the learned positions start: sines and cosines of row and column at geometric frequencies (Beyer et al.,
  /// arXiv 2205.01580), zero for the class token. Random ones of deviation 0.02 carry so little beside the patches
  /// that outlines, which are nothing but positions, stay unlearned for many epochs.
  static func initialPositions(_ config: ModelConfig) -> [Float] {
    let side = config.vision.image / config.vision.patch
    let quarter = config.width / 4
    var values: [Float] = config.vision.classToken ? Array(repeating: 0, count: config.width) : []
    for row in 0..<side {
      for column in 0..<side {
        var features: [Float] = []
        for coordinate in [Double(column), Double(row)] {
          for i in 0..<quarter {
            let angle = coordinate * pow(10_000, -Double(i) / Double(max(quarter - 1, 1)))
            features.append(Float(sin(angle)))
            features.append(Float(cos(angle)))
          }
        }
        // A width that four does not divide leaves the last columns zero.
        values += features + Array(repeating: 0, count: config.width - features.count)
      }
    }
    return values
  }
}
