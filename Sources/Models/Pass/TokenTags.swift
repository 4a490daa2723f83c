/// What a model says about the rows of one call of its blocks besides their values. Handed down to the gates.
public struct TokenTags {
  /// The modality of every token; nil = all of one.
  public let modalities: TokenModalities?
  /// The task of every token, a `FusionConfig.Task`; nil = the gates are told none.
  public let tasks: [Int32]?
  /// Where rows and sequences are in the step's whole batch, for models whose parts are uneven; nil = every part has as many.
  let places: BatchPlaces?
  /// Whether the rows are no part of the batch: loads and balance do not count them.
  var isBlank = false
  /// Rows of each sequence, side by side; the backbone adds them.
  public internal(set) var sequences: [Range<Int>]

  public init(modalities: TokenModalities? = nil, tasks: [Int32]? = nil, sequences: [Range<Int>] = []) {
    (self.modalities, self.tasks, places, self.sequences) = (modalities, tasks, nil, sequences)
  }

  init(modalities: TokenModalities? = nil, tasks: [Int32]? = nil, places: BatchPlaces?) {
    (self.modalities, self.tasks, self.places, sequences) = (modalities, tasks, places, [])
  }
}
