/// Text: tokens that are read in order, each seeing what is before it.
public struct LanguageModality: Modality {
  public static let name = "language"

  public init() {}

  public var name: String { LanguageModality.name }
  public var sample: String { "text" }
  public var single: SingleModel? {
    SingleModel(
      .gpt,
      arrays: [
        "position_embedding": "position_embedding", "token_embedding": "token_embedding",
        "head.weight": "language_head.weight",
      ],
      adopt: { $0.text = $1.text })
  }

  public func rows(_ config: ModelConfig) -> Int { config.text.context }

  public func shape(tower: inout ModelConfig, of config: ModelConfig) {
    let fusion = config.fusion
    tower.vision = VisionConfig()
    if fusion.textLayers > 0 { tower.layers = fusion.textLayers }
    if fusion.textWidth > 0 { tower.width = fusion.textWidth }
    if fusion.textHeads > 0 { tower.heads = fusion.textHeads }
    if fusion.textHidden > 0 { tower.hidden = fusion.textHidden }
  }
}
