/// How a batch's rows are cut into sequences, and what each position sees: the first `prefix` positions of a sequence see
/// one another, every later one sees all up to itself.
///
/// Sequences of different lengths lie side by side without padding.
public struct SequenceLayout: Sendable, Equatable {
  public struct Span: Sendable, Equatable {
    /// First row, and how many follow it, itself included.
    public let start: Int
    public let length: Int
    /// Leading positions that see one another; 0 = causal throughout, `length` = every position sees every other.
    public let prefix: Int

    public init(start: Int, length: Int, prefix: Int) {
      precondition(length >= 1 && (0...length).contains(prefix), "span of \(length) with a prefix of \(prefix)")
      (self.start, self.length, self.prefix) = (start, length, prefix)
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
  let keys: Int
  /// Whether row `t` of them sees keys `≤ t` only.
  let isCausal: Bool

  /// The blocks of a sequence in ascending order; the last one reaches every key.
  static func blocks(of span: SequenceLayout.Span) -> [AttentionBlock] {
    func cut(_ range: Range<Int>, isCausal: Bool) -> [AttentionBlock] {
      guard !range.isEmpty else { return [] }
      let tiles = Tiling(range.count, target: 128)
      return (0..<tiles.count).map { index in
        let tile = tiles[index]
        let rows = tile.lowerBound + range.lowerBound..<tile.upperBound + range.lowerBound
        return AttentionBlock(rows: rows, keys: isCausal ? rows.upperBound : range.upperBound, isCausal: isCausal)
      }
    }
    return cut(0..<span.prefix, isCausal: false) + cut(span.prefix..<span.length, isCausal: true)
  }
}
