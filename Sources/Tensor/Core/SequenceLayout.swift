/// How a batch's rows are cut into sequences, and what each position sees. A sequence is a row of segments: positions of a
/// causal segment see all positions of the sequence up to themselves, those of any other see their own segment, all of it and
/// nothing else.
///
/// Sequences of different lengths lie side by side without padding.
public struct SequenceLayout: Sendable, Equatable {
  /// Neighboring positions of a sequence that see by one rule.
  public struct Segment: Sendable, Equatable {
    public let length: Int
    public let isCausal: Bool

    public init(length: Int, isCausal: Bool) { (self.length, self.isCausal) = (length, isCausal) }
  }

  public struct Span: Sendable, Equatable {
    /// First row, and how many follow it, itself included.
    public let start: Int
    public let length: Int
    /// One after the other, together `length`, none empty.
    public let segments: [Segment]

    public init(start: Int, _ segments: [Segment]) {
      precondition(!segments.isEmpty && segments.allSatisfy { $0.length >= 1 }, "a span with an empty segment")
      (self.start, self.segments) = (start, segments)
      length = segments.reduce(0) { $0 + $1.length }
    }

    /// - Parameter prefix: leading positions that see one another, before causal ones; 0 = causal throughout, `length` = every
    ///   position sees every other.
    public init(start: Int, length: Int, prefix: Int) {
      precondition(length >= 1 && (0...length).contains(prefix), "span of \(length) with a prefix of \(prefix)")
      self.init(
        start: start,
        [Segment(length: prefix, isCausal: false), Segment(length: length - prefix, isCausal: true)]
          .filter { $0.length > 0 })
    }
  }

  public let spans: [Span]
  /// Rows of all sequences.
  public let rows: Int

  /// - Parameter spans: side by side, beginning at row 0.
  public init(_ spans: [Span]) {
    var next = 0
    for span in spans {
      precondition(span.start == next, "a span at row \(span.start), expected \(next)")
      next += span.length
    }
    self.spans = spans
    rows = next
  }

  /// Sequences of one length.
  public init(rows: Int, sequence: Int, causal: Bool) {
    precondition(rows % sequence == 0, "\(rows) rows, sequences of \(sequence)")
    self.init(
      (0..<rows / sequence).map { Span(start: $0 * sequence, length: sequence, prefix: causal ? 0 : sequence) })
  }
}

/// Queries of one sequence that are multiplied at a time, and the keys that reach them: positions from 0.
struct AttentionBlock {
  let rows: Range<Int>
  let keys: Range<Int>
  /// Whether row `t` of them sees keys `≤ t` only.
  let isCausal: Bool

  /// The blocks of a sequence in ascending order.
  static func blocks(of span: SequenceLayout.Span) -> [AttentionBlock] {
    var start = 0
    return span.segments.flatMap { segment in
      let own = start..<start + segment.length
      start = own.upperBound
      let tiles = Tiling(own.count, target: 128)
      return (0..<tiles.count).map { index in
        let tile = tiles[index]
        let rows = tile.lowerBound + own.lowerBound..<tile.upperBound + own.lowerBound
        return AttentionBlock(
          rows: rows, keys: segment.isCausal ? 0..<rows.upperBound : own, isCausal: segment.isCausal)
      }
    }
  }
}
