import MMoETensor

/// What stands between samples or tokens and the heads of a multimodal model: how modalities come together.
protocol FusionBody: AnyObject {
  /// What a tied language head is.
  var tokens: TokenEmbedding { get }
  /// Width of a modality's rows that `callAsFunction` gives.
  func width(of modality: any Modality) -> Int

  /// Runs the blocks over packed sequences.
  func callAsFunction(_ batch: PackedSequences, _ pass: ForwardPass) -> PackedStates
  func makeCache() -> FusionCache
  /// Reads one sample `[1, …]` of a modality after what the cache has.
  func read(_ sample: Tensor, of modality: any SampledModality, _ cache: FusionCache, _ pass: ForwardPass)
  /// Continues the text after samples: `[ids, d]` of its next tokens, the first at `position` of the text.
  func next(_ ids: [Int32], position: Int, _ cache: FusionCache, _ pass: ForwardPass) -> Tensor
  func afterStep()
  /// Parameters on which nothing depends.
  var unreached: [UnreachedParameters] { get }
  /// Parameters that only some readings need.
  var parts: FusionParts { get }
}

/// Parts of a multimodal model that some tasks do not need.
struct FusionParts {
  /// By modality: what only its samples need.
  let samples: [String: [Parameter]]
  /// What only texts need, and only texts that read samples.
  let texts, cross: [Parameter]
  /// Whether a caption reads what is before it.
  let captionsReadSamples: Bool
}
