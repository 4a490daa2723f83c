import MMoETensor

/// What stands between pixels or tokens and the heads of a multimodal model: how images and texts come together.
protocol FusionBody: AnyObject {
  /// What a tied language head is.
  var tokens: TokenEmbedding { get }
  /// Widths of the rows that `callAsFunction` gives.
  var imageWidth: Int { get }
  var textWidth: Int { get }

  /// Runs the blocks over packed sequences.
  func callAsFunction(_ batch: PackedSequences, _ pass: ForwardPass) -> PackedStates
  func makeCache() -> FusionCache
  /// Reads one image `[1, channels, S, S]` into an empty cache.
  func read(_ image: Tensor, _ cache: FusionCache, _ pass: ForwardPass)
  /// Continues the text after an image: `[ids, d]` of its next tokens, the first at `position` of the text.
  func next(_ ids: [Int32], position: Int, _ cache: FusionCache, _ pass: ForwardPass) -> Tensor
  func afterStep()
  /// Parameters on which nothing depends.
  var unreached: [UnreachedParameters] { get }
  /// Parameters that only images, only texts, and only texts that read an image need.
  var parts: FusionParts { get }
}

/// Parts of a multimodal model that some tasks do not need.
struct FusionParts {
  let images, texts, cross: [Parameter]
  /// Whether a caption reads its image.
  let captionsReadImages: Bool
}
