import MMoEFiles

/// A kind of transformer by its word in `model.kind`, and what the rest of the project asks of a kind.
public struct ModelKind: RawRepresentable, CaseIterable, Hashable, Sendable {
  /// Images to classes.
  public static let vit = ModelKind(
    "vit", "images to classes", readsImages: true, readsText: false, samples: { [$0.towerRows ?? $0.vision.tokens] })
  /// Tokens to next tokens.
  public static let gpt = ModelKind(
    "gpt", "tokens to next tokens", readsImages: false, readsText: true, scalesResidualsByDepth: true,
    mayRotatePositions: true, samples: { _ in [] })
  /// Images and texts together.
  public static let multimodal = ModelKind(
    "multimodal", "images and texts", readsImages: true, readsText: true,
    samples: { config in config.sampledModalities.map { $0.rows(config) } })

  /// All there are: a further one is a further line.
  public static let allCases: [ModelKind] = [vit, gpt, multimodal]

  public let rawValue: String
  public let summary: String
  /// Whether the model has the ends of `VisionConfig`, and those of `TextConfig`.
  public let readsImages, readsText: Bool
  /// Whether layers that write to the residual stream start smaller the more of them there are.
  let scalesResidualsByDepth: Bool
  /// Whether the model has rotary positions where its configuration asks for them.
  let mayRotatePositions: Bool
  /// Rows of each sample beside the text that a sequence may hold; all rows of one see each other, and the text sees them.
  let samples: @Sendable (ModelConfig) -> [Int]

  private init(
    _ name: String, _ summary: String, readsImages: Bool, readsText: Bool, scalesResidualsByDepth: Bool = false,
    mayRotatePositions: Bool = false, samples: @escaping @Sendable (ModelConfig) -> [Int]
  ) {
    (rawValue, self.summary) = (name, summary)
    (self.readsImages, self.readsText) = (readsImages, readsText)
    (self.scalesResidualsByDepth, self.mayRotatePositions) = (scalesResidualsByDepth, mayRotatePositions)
    self.samples = samples
  }

  public init?(rawValue: String) {
    guard let kind = ModelKind.allCases.first(where: { $0.rawValue == rawValue }) else { return nil }
    self = kind
  }

  public static func == (a: Self, b: Self) -> Bool { a.rawValue == b.rawValue }
  public func hash(into hasher: inout Hasher) { hasher.combine(rawValue) }
}
