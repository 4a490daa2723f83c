import MMoETensor

/// What a multimodal model reads in one pass: sequences of an image's patches, a text, or both, side by side without
/// padding.
public struct PackedSequences {
  /// One sequence: patches first, then the text.
  public struct Sequence: Sendable, Equatable {
    /// Which of the images stands at its beginning; nil = none. Each image stands in one sequence.
    public let image: Int?
    /// Ids that are read, such as the begin token and a caption; may be empty after an image.
    public let text: [Int32]
    /// What it is read for, a `FusionConfig.Task`; gates that know tasks are told.
    public let task: Int32
    /// Which reading of the batch's samples this belongs to, such as 0 = images with captions and 1 = captions alone; every
    /// part of a batch has as many sequences of each.
    public let reading: Int

    public init(image: Int? = nil, text: [Int32] = [], task: Int32 = 0, reading: Int = 0) {
      precondition(image != nil || !text.isEmpty, "a sequence of nothing")
      (self.image, self.text, self.task, self.reading) = (image, text, task, reading)
    }
  }

  /// `[I, channels, S, S]`, normalized; nil = no images.
  public let images: Tensor?
  public let sequences: [Sequence]

  /// - Parameter sequences: each image stands in exactly one of them: gradients of its patches are not added up.
  public init(images: Tensor?, _ sequences: [Sequence]) {
    var places = [Int](repeating: 0, count: images?.shape[0] ?? 0)
    for image in sequences.lazy.compactMap(\.image) {
      precondition(places.indices.contains(image), "image \(image) of \(places.count)")
      places[image] += 1
      precondition(places[image] == 1, "image \(image) stands in two sequences")
    }
    precondition(places.allSatisfy { $0 == 1 }, "an image that no sequence shows")
    (self.images, self.sequences) = (images, sequences)
  }

  /// The place of every sequence in the whole batch, of which this is one of several parts.
  func places(part: Int) -> [UInt64] {
    let counts = Dictionary(grouping: sequences, by: \.reading).mapValues(\.count)
    var seen: [Int: Int] = [:]
    return sequences.map { sequence in
      let reading = sequence.reading
      let own = seen[reading, default: 0]
      seen[reading] = own + 1
      return UInt64(reading) * BatchPlaces.samples + UInt64(part * counts[reading]! + own)
    }
  }
}

/// Where the parts of packed sequences stand among the rows.
struct PackedPlan {
  let layout: SequenceLayout
  /// Row of every patch, in the order of the images.
  let patchRows: [Int32]
  /// Row, id and position of every token of text, in the order of the sequences.
  let textRows: [Int32]
  let ids: [Int32]
  let positions: [Int32]
  /// Rows of each image, in the order of the images.
  let imageRanges: [Range<Int>]
  /// Rows of each sequence's text; empty ones of images alone included.
  let textRanges: [Range<Int>]
  /// 0 = a patch, 1 = a token of text: `FusionConfig.modalities`.
  let modalities: [Int32]
  /// Of every row.
  let tasks: [Int32]

  /// - Parameter patches: of an image.
  init(_ sequences: [PackedSequences.Sequence], images: Int, patches: Int) {
    var spans: [SequenceLayout.Span] = []
    var imageRanges = [Range<Int>](repeating: 0..<0, count: images)
    var (textRanges, textRows, ids, positions): ([Range<Int>], [Int32], [Int32], [Int32]) = ([], [], [], [])
    var (modalities, tasks): ([Int32], [Int32]) = ([], [])
    var row = 0
    for sequence in sequences {
      let prefix = sequence.image == nil ? 0 : patches
      if let image = sequence.image {
        imageRanges[image] = row..<row + patches
      }
      let text = row + prefix..<row + prefix + sequence.text.count
      textRanges.append(text)
      textRows += text.map(Int32.init)
      ids += sequence.text
      positions += sequence.text.indices.map(Int32.init)
      modalities += Array(repeating: 0, count: prefix) + Array(repeating: 1, count: text.count)
      tasks += Array(repeating: sequence.task, count: prefix + text.count)
      spans.append(SequenceLayout.Span(start: row, length: prefix + text.count, prefix: prefix))
      row = text.upperBound
    }
    layout = SequenceLayout(spans)
    patchRows = imageRanges.flatMap { $0.map(Int32.init) }
    (self.imageRanges, self.textRanges, self.textRows) = (imageRanges, textRanges, textRows)
    (self.ids, self.positions, self.modalities, self.tasks) = (ids, positions, modalities, tasks)
  }
}

/// What the blocks made of packed sequences.
public struct PackedStates {
  /// Rows of one modality, after the last norm, and those of each image or sequence.
  struct Part {
    /// `[rows, d]`; nil where the pass had none.
    let rows: Tensor?
    let ranges: [Range<Int>]
  }

  /// One range an image, and one a sequence; empty where it has no text.
  let images: Part
  let texts: Part
}

/// What a model remembers while it writes about one image.
public final class FusionCache {
  /// One a block that reads text.
  let blocks: [BlockCache]
  /// Keys and values of the image, one a block with cross-attention; nil = no image yet.
  var keyValues: [Tensor]?

  init(blocks: Int, capacity: Int, columns: Int) {
    self.blocks = (0..<blocks).map { _ in BlockCache(capacity: capacity, columns: columns) }
  }
}
