import MMoETensor

/// What a multimodal model reads in one pass: sequences of samples and texts, in any order and number, side by side without
/// padding.
///
/// The rows of a sample see one another and nothing else; a token sees everything before it in its sequence. So a sample is
/// read the same in any sequence.
public struct PackedSequences {
  /// A part of a sequence.
  public enum Segment: Sendable, Equatable {
    /// One of a modality's samples, by the modality's name and its place in the tensor of `samples`.
    case sample(String, Int)
    /// Ids that are read, such as the begin token and a caption. Their positions go on from one text of a sequence to the next.
    case text([Int32])
  }

  public struct Sequence: Sendable, Equatable {
    /// At least one, no text empty.
    public let segments: [Segment]
    /// What it is read for, a `FusionConfig.Task`; gates that know tasks are told.
    public let task: Int32
    /// Which reading of the batch's samples this belongs to, such as 0 = images with captions and 1 = captions alone.
    package let reading: Int
    /// Which of its reading in this part of the batch, where parts may lack some of it; nil = the sequences are counted, of
    /// which every part has as many.
    package let place: Place?

    /// A number, below how many there are in a part of a batch.
    package struct Place: Sendable, Equatable {
      let index, count: Int
      package init(_ index: Int, of count: Int) { (self.index, self.count) = (index, count) }
    }

    /// - Parameter segments: empty texts are left out.
    package init(_ segments: [Segment], task: Int32 = 0, reading: Int = 0, place: Place? = nil) {
      self.segments = segments.filter { $0 != .text([]) }
      precondition(!self.segments.isEmpty, "a sequence of nothing")
      (self.task, self.reading, self.place) = (task, reading, place)
    }

    /// An image, a text, or a text after an image.
    package init(image: Int? = nil, text: [Int32] = [], task: Int32 = 0, reading: Int = 0) {
      let images = image.map { [Segment.sample(VisionModality.name, $0)] } ?? []
      self.init(images + [.text(text)], task: task, reading: reading)
    }

    /// The ids of all its texts.
    package var text: [Int32] {
      segments.flatMap { segment -> [Int32] in
        if case .text(let ids) = segment { return ids }
        return []
      }
    }

    /// Samples of all modalities.
    var sampleCount: Int {
      segments.count { segment in
        if case .sample = segment { return true }
        return false
      }
    }

    /// The samples of a modality.
    package func samples(of modality: String) -> [Int] {
      segments.compactMap { segment in
        if case .sample(modality, let index) = segment { return index }
        return nil
      }
    }
  }

  /// By modality: `[n]` and the shape of a sample, normalized.
  public let samples: [String: Tensor]
  public let sequences: [Sequence]
  /// Modalities without a sample here whose parameters the pass reaches all the same, with gradients of 0: what a step trains,
  /// and which exchanges ranks start, must not follow from what a batch holds. A blank sample is read that counts nowhere.
  package let blanks: Set<String>

  /// - Parameter sequences: each sample stands in exactly one of them: gradients of its rows are not added up.
  package init(_ samples: [String: Tensor], _ sequences: [Sequence], blanks: Set<String> = []) {
    precondition(blanks.isDisjoint(with: samples.keys), "blank samples beside others")
    var places = samples.mapValues { [Int](repeating: 0, count: $0.shape[0]) }
    for case .sample(let name, let index) in sequences.lazy.flatMap(\.segments) {
      let count = places[name]?.count ?? 0
      precondition((0..<count).contains(index), "\(name) \(index) of \(count)")
      places[name]![index] += 1
      precondition(places[name]![index] == 1, "\(name) \(index) stands in two sequences")
    }
    precondition(places.values.joined().allSatisfy { $0 == 1 }, "a sample that no sequence shows")
    (self.samples, self.sequences, self.blanks) = (samples, sequences, blanks)
  }

  /// - Parameter images: `[I, channels, S, S]`, normalized; nil = no images.
  package init(images: Tensor?, _ sequences: [Sequence]) {
    self.init(images.map { [VisionModality.name: $0] } ?? [:], sequences)
  }

  /// The place of every sequence in the whole batch, of which this is one of several parts.
  func places(part: Int) -> [UInt64] {
    let counts = Dictionary(grouping: sequences, by: \.reading).mapValues(\.count)
    var seen: [Int: Int] = [:]
    return sequences.map { sequence in
      let reading = sequence.reading
      let counted = seen[reading, default: 0]
      seen[reading] = counted + 1
      let (own, count) = (sequence.place?.index ?? counted, sequence.place?.count ?? counts[reading]!)
      return UInt64(reading) * BatchPlaces.samples + UInt64(part * count + own)
    }
  }

  /// Where each sample of a modality stands: the number of its sequence, and how many of its modality stand there before it.
  func holders(of modality: String) -> [(sequence: Int, turn: Int)] {
    var holders = Array(repeating: (sequence: 0, turn: 0), count: samples[modality]?.shape[0] ?? 0)
    for (number, sequence) in sequences.enumerated() {
      for (turn, sample) in sequence.samples(of: modality).enumerated() { holders[sample] = (number, turn) }
    }
    return holders
  }
}

/// Where the parts of packed sequences stand among the rows of one transformer.
struct PackedPlan {
  let layout: SequenceLayout
  /// Rows of each sample of a modality, in the order of the samples.
  private(set) var samples: [String: [Range<Int>]]
  /// Rows of each sequence's texts.
  private(set) var texts: [[Range<Int>]] = []
  /// Row, id and position of every token of text, in the order of the sequences.
  private(set) var textRows: [Int32] = []
  private(set) var ids: [Int32] = []
  private(set) var positions: [Int32] = []
  /// Of every row, an index into the model's modalities.
  private(set) var modalities: [Int32] = []
  /// Of every row.
  private(set) var tasks: [Int32] = []

  init(_ batch: PackedSequences, _ config: ModelConfig) {
    samples = batch.samples.mapValues { [Range<Int>](repeating: 0..<0, count: $0.shape[0]) }
    let known = Dictionary(
      uniqueKeysWithValues: config.modalities.enumerated().map { ($1.name, (number: Int32($0), rows: $1.rows(config))) }
    )
    var spans: [SequenceLayout.Span] = []
    var row = 0
    for sequence in batch.sequences {
      let start = row
      var (texts, position): ([Range<Int>], Int) = ([], 0)
      var segments: [SequenceLayout.Segment] = []
      for segment in sequence.segments {
        switch segment {
        case .sample(let name, let index):
          guard let (number, rows) = known[name] else { preconditionFailure("a model without \(name)") }
          samples[name]![index] = row..<row + rows
          modalities += Array(repeating: number, count: rows)
          segments.append(.init(length: rows, isCausal: false))
          row += rows
        case .text(let own):
          let range = row..<row + own.count
          texts.append(range)
          textRows += range.map(Int32.init)
          ids += own
          positions += own.indices.map { Int32(position + $0) }
          modalities += Array(repeating: known[LanguageModality.name]!.number, count: own.count)
          segments.append(.init(length: own.count, isCausal: true))
          position += own.count
          row = range.upperBound
        }
      }
      self.texts.append(texts)
      tasks += Array(repeating: sequence.task, count: row - start)
      spans.append(SequenceLayout.Span(start: start, segments))
    }
    layout = SequenceLayout(spans)
  }
}

/// What the blocks made of packed sequences.
public struct PackedStates {
  /// The rows of a modality's samples, after the last norm, and those of each.
  struct Samples {
    /// `[rows, d]`.
    let rows: Tensor
    let ranges: [Range<Int>]
  }

  /// By modality, of those that the pass had; without ranges for blank ones.
  let samples: [String: Samples]
  /// `[rows, d]`; nil where the pass had no text.
  let textRows: Tensor?
  /// One list for each sequence.
  let texts: [[Range<Int>]]
}

/// What a model remembers while it writes about samples.
package final class FusionCache {
  /// One a block that reads text.
  let blocks: [BlockCache]
  /// The other towers' rows so far, and keys and values of them, one a block with cross-attention.
  var rows: [Tensor] = []
  var keyValues: [Tensor] = []

  init(blocks: Int, capacity: Int, columns: Int) {
    self.blocks = (0..<blocks).map { _ in BlockCache(capacity: capacity, columns: columns) }
  }
}
