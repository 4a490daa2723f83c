/// What is mixed into every batch of pairs: labeled images and plain text, so many a step.
public struct MixtureConfig: Sendable, Equatable {
  /// A folder with train/<class>/*.png and val/<class>/*.png; nil = none.
  public var images: String?
  /// Labeled images of a step.
  public var imageBatch = 16
  /// Text, JSONL or shards of the pairs' tokenizer; nil = none.
  public var text: String?
  /// Windows of text of a step, each as long as the context.
  public var textBatch = 16
  public init() {}
}
