import MMoEFiles

/// Which modalities come together and how, and the ends that join them.
public struct FusionConfig: Sendable, Equatable {
  public enum Kind: String, CaseIterable, Sendable, Codable {
    /// One transformer over the rows of all modalities.
    case early
    /// A transformer for each modality, joined by cross-attention and where samples are compared.
    case late
  }

  /// Which of a text's rows stands for it where it is compared.
  public enum Pooling: String, CaseIterable, Sendable, Codable {
    case mean
    /// The last token, which has read all (CLIP).
    case last
  }

  /// What a caption is learned after.
  public enum CaptionContext: String, CaseIterable, Sendable, Codable {
    /// Every sample of its item alone.
    case each
    /// All samples of its item together.
    case joint
  }

  public var kind = Kind.early
  /// Names of the modalities that the model has (`ModalityTable`), in the order of its analyses.
  public var modalities = ["vision", "language"]
  /// Width in which samples are compared.
  public var embedding = 128
  public var textPooling = Pooling.mean
  public var captions = CaptionContext.each
  /// Late fusion: last blocks of the text tower whose tokens read the other towers.
  public var crossBlocks = 1
  /// Late fusion: the text tower's own sizes; 0 = as the image tower's.
  public var textLayers = 0
  public var textWidth = 0
  public var textHeads = 0
  public var textHidden = 0

  public init() {}

  /// Whether the losses are weighted by learned uncertainties.
  public var uncertainty = false

  /// What a model of several modalities is trained for: the tasks that a gate may know, in the order of its table.
  public enum Task: Int32, CaseIterable, Sendable {
    case caption, contrastive, classification, language
  }
}
