import MMoETensor

/// Images: square, cut into square patches.
public struct VisionModality: SampledModality {
  public static let name = "vision"

  public init() {}

  public var name: String { VisionModality.name }
  public var sample: String { "image" }
  public var classHead: String? { "classifier" }
  public var single: SingleModel? {
    SingleModel(
      .vit,
      arrays: [
        "position_embedding": "patch_positions", "head.weight": "classifier.weight", "head.bias": "classifier.bias",
        "class_token": "class_token", "patch_embedding.weight": "patch_embedding.weight",
        "patch_embedding.bias": "patch_embedding.bias",
      ],
      adopt: { $0.vision = $1.vision })
  }

  public func shape(_ config: ModelConfig) -> [Int] {
    [config.vision.channels, config.vision.image, config.vision.image]
  }
  public func rows(_ config: ModelConfig) -> Int { config.vision.tokens }
  public func pooling(_ config: ModelConfig) -> RowPooling { config.vision.classToken ? .first : .mean }
  public func classes(_ config: ModelConfig) -> Int { config.vision.classes }

  public func makeEncoder(_ store: ParameterStore, _ config: ModelConfig) -> any SampleEncoder {
    ImageEncoder(store, config)
  }

  public func operations(_ config: ModelConfig) -> [ModelOperation] {
    ModelOperation.patchEmbedding(config.vision.grid, width: config.width)
      + (config.vision.preNorm ? [.norm(config, rows: config.vision.tokens)] : [])
  }
}

/// Patches with positions, and in CLIP a norm after them.
private struct ImageEncoder: SampleEncoder {
  private let embedding: PatchEmbedding
  private let norm: Norm?

  init(_ store: ParameterStore, _ config: ModelConfig) {
    embedding = PatchEmbedding(
      store, "patch_embedding", positions: "patch_positions", config.vision.grid, width: config.width)
    norm = config.vision.preNorm ? Norm(store, "image_pre_norm", config) : nil
  }

  var parameters: [Parameter] { embedding.parameters + [norm?.weight, norm?.bias].compactMap { $0 } }

  func callAsFunction(_ samples: Tensor, _ tape: Tape) -> Tensor {
    let rows = embedding(samples, tape)
    return norm.map { $0(rows, tape) } ?? rows
  }
}

extension VisionConfig {
  var grid: PatchGrid {
    PatchGrid(
      channels: channels, height: image, width: image, patchHeight: patch, patchWidth: patch,
      hasClassToken: classToken)
  }
}
