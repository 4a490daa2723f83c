import MMoEFiles

/// How images and texts come together, and the ends that join them.
public struct FusionConfig: Sendable, Equatable {
  public enum Kind: String, CaseIterable, Sendable, Codable {
    /// One transformer over patches and tokens.
    case early
    /// A transformer for each, joined by cross-attention and where they are compared.
    case late
  }

  /// Which of a text's rows stands for it where it is compared.
  public enum Pooling: String, CaseIterable, Sendable, Codable {
    case mean
    /// The last token, which has read all (CLIP).
    case last
  }

  public var kind = Kind.early
  /// Width in which images and texts are compared.
  public var embedding = 128
  public var textPooling = Pooling.mean
  /// Late fusion: last blocks of the text tower whose tokens read the image.
  public var crossBlocks = 1
  /// Late fusion: the text tower's own sizes; 0 = as the image tower's.
  public var textLayers = 0
  public var textWidth = 0
  public var textHeads = 0
  public var textHidden = 0

  public init() {}

  /// Whether the losses are weighted by learned uncertainties.
  public var uncertainty = false

  /// What a model of images and texts is trained for: the tasks that a gate may know, in the order of its table.
  public enum Task: Int32, CaseIterable, Sendable {
    case caption, contrastive, classification, language
  }

  /// The modalities of an image's patches and of a text's tokens.
  public static let modalities = ["vision", "language"]
}

extension ModelConfig {
  /// The image tower of late fusion: blocks 0 ..< layers.
  public var visionTower: ModelConfig { tower(.vit, "vision") }
  /// The text tower of late fusion, whose blocks are numbered after the image tower's.
  public var textTower: ModelConfig {
    var text = tower(.gpt, "language")
    text.vision = VisionConfig()
    if fusion.textLayers > 0 { text.layers = fusion.textLayers }
    if fusion.textWidth > 0 { text.width = fusion.textWidth }
    if fusion.textHeads > 0 { text.heads = fusion.textHeads }
    if fusion.textHidden > 0 { text.hidden = fusion.textHidden }
    return text
  }

  /// The stacks of blocks in the order of their numbers, which go on from one to the next: two in late fusion, else one.
  public var towers: [ModelConfig] {
    kind == .multimodal && fusion.kind == .late ? [visionTower, textTower] : [self]
  }

  /// Blocks of each stack.
  public var stacks: [Int] { towers.map(\.layers) }

  /// The block that the backward pass must have left before a parameter's gradient can be complete, routes between blocks
  /// apart; −1 = only the end of the pass will do. Keys and values of cross-attention are made of the image tower's output
  /// before the text tower begins, and so get their gradient after it.
  public func completingBlock(of path: String) -> Int {
    let parts = path.split(separator: ".")
    guard parts.count > 2, parts[0] == "blocks", let block = Int(parts[1]) else { return -1 }
    return parts[2...].starts(with: ["cross", "key_value"]) ? layers - 1 : block
  }

  /// A tower has its modality's group of experts as its bank; without groups each has a bank of all.
  private func tower(_ kind: ModelKind, _ modality: String) -> ModelConfig {
    var tower = self
    (tower.kind, tower.fusion, tower.moe.groups) = (kind, FusionConfig(), nil)
    if let groups = moe.groups.flatMap({ try? ExpertGroups($0) }) {
      tower.moe.experts = groups.groups.first { $0.name == modality }?.experts.count ?? 0
    }
    return tower
  }
}
