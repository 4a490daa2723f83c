import MMoEFiles

/// Windows over a row of tokens for evaluation: every token but the first is a target exactly once.
///
/// The first window counts all its targets, every later one only the last S: those see at least T − S tokens before
/// them. With S = T windows do not overlap. All windows are T long: the last one reaches back far enough, and where the
/// whole row is shorter than a window its end is filled with id 0 and targets that do not count.
public struct SlidingWindows: Sendable {
  /// T
  public let length: Int
  /// S
  public let stride: Int
  /// Windows.
  public let count: Int
  /// Targets that count, over all windows.
  public var targets: Int { max(0, range.count - 1) }

  private let corpus: TokenCorpus
  private let range: Range<Int>

  /// - Parameters:
  ///   - range: tokens of the corpus, such as those of a document; all of them without it.
  ///   - length: T, the model's context.
  ///   - stride: S, 1 to T.
  /// - Throws: `DataError` for a row of less than 2 tokens, or a stride out of range.
  public init(_ corpus: TokenCorpus, range: Range<Int>? = nil, length: Int, stride: Int) throws {
    let range = range ?? 0..<corpus.tokens
    guard range.lowerBound >= 0, range.upperBound <= corpus.tokens, range.count >= 2 else {
      throw DataError(
        "\(corpus.folder)",
        found:
          "tokens \(range.lowerBound) to \(range.upperBound) of \(corpus.tokens) in the \(corpus.split.rawValue) part",
        remedy: "evaluation needs at least 2 tokens")
    }
    guard length >= 1, 1...length ~= stride else {
      throw DataError(field: "evaluation stride", found: "\(stride)", expected: "1 to \(length), the window's length")
    }
    self.corpus = corpus
    self.range = range
    self.length = length
    self.stride = stride
    count = 1 + (max(0, range.count - 1 - length) + stride - 1) / stride
  }

  /// The windows `first ..< first + size`, fewer at the end.
  ///
  /// - Throws: `DataError` for windows that there are not, and naming a shard with an id beyond the vocabulary.
  public func batch(first: Int, size: Int) throws -> TokenBatch {
    guard 0..<count ~= first, size >= 1 else {
      throw DataError(
        field: "a batch of windows", found: "\(size) from \(first)", expected: "at least 1 of the \(count), from 0")
    }
    let windows = first..<min(first + min(size, count), count)
    var inputs: [Int32] = []
    var targets: [Int32] = []
    inputs.reserveCapacity(windows.count * length)
    targets.reserveCapacity(windows.count * length)
    for index in windows {
      // Targets 0 ..< covered were counted before; target i is the token i + 1 of the row.
      let covered = index == 0 ? 0 : length + (index - 1) * stride
      let end = min(covered + (index == 0 ? length : stride), self.targets)
      let start = max(0, end - length)
      let ids = try corpus.ids(range.lowerBound + start..<range.lowerBound + end + 1)
      let padding = [Int32](repeating: 0, count: length - (end - start))
      inputs += ids.dropLast() + padding
      targets += [Int32](repeating: -1, count: covered - start) + ids.dropFirst(1 + covered - start)
      targets += padding.map { _ in -1 }
    }
    return TokenBatch(inputs: inputs, targets: targets, count: windows.count, length: length, step: first)
  }
}
