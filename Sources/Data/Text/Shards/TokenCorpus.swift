import Foundation
import MMoEFiles

/// One split of a folder of token shards, as one long row of tokens:
/// `DIR/train-00000.tokens`, `DIR/train-00001.tokens`, …, `DIR/val-00000.tokens`, and `DIR/tokenizer`.
public final class TokenCorpus: Sendable {
  public let folder: String
  public let split: DatasetSplit
  package let shards: [TokenShard]
  public let vocabularySize: Int
  /// Of the tokenizer that made the ids.
  package let fingerprint: String
  public let tokens: Int
  /// Documents; one that spans shards counts once.
  public let documents: Int
  /// Bytes of the text; nil for imported tokens.
  package let textBytes: Int?

  /// Tokens before every shard, and all.
  private let starts: [Int]
  /// Documents that begin before every shard, and all.
  private let documentStarts: [Int]
  private let lengths: TokenLengths?

  /// Maps the shards of a split.
  ///
  /// - Parameter tokenizer: what the ids will be used with; shards of another one are refused.
  /// - Throws: `DataError` naming a missing, damaged or foreign shard.
  public init(_ folder: String, split: DatasetSplit, tokenizer: (any Tokenizer)?) throws {
    let paths = try TokenCorpus.shardPaths(folder, split)
    guard !paths.isEmpty else {
      throw DataError(
        folder, found: "no \(split.rawValue)-00000.tokens",
        remedy: "tokenize a text with mmoe data tokenize, with a larger --val-share where only that part is missing")
    }
    shards = try paths.map(TokenShard.init)
    self.folder = folder
    self.split = split
    vocabularySize = shards[0].vocabularySize
    fingerprint = shards[0].fingerprint
    let expected = tokenizer?.fingerprint ?? fingerprint
    for shard in shards where shard.fingerprint != expected || shard.vocabularySize != vocabularySize {
      throw DataError(
        "\(shard.path)", found: "made with the tokenizer \(shard.fingerprint) of \(shard.vocabularySize) tokens",
        expected: "\(expected)", remedy: "tokenize the text again or name that tokenizer")
    }
    starts = shards.reduce(into: [0]) { $0.append($0.last! + $1.tokens) }
    documentStarts = shards.enumerated().reduce(into: [0]) { sums, shard in
      sums.append(sums.last! + shard.element.documents - (shard.offset > 0 && shard.element.isContinuation ? 1 : 0))
    }
    tokens = starts.last!
    documents = documentStarts.last!
    textBytes = shards.contains { $0.textBytes == nil } ? nil : shards.reduce(0) { $0 + $1.textBytes! }
    lengths = tokenizer.map(TokenLengths.init)
  }

  /// Whether a folder holds token shards of any split.
  package static func isShardFolder(_ path: String) -> Bool {
    DatasetSplit.allCases.contains { FileManager.default.fileExists(atPath: shardPath(path, $0, 0)) }
  }

  /// Copies ids; `destination` holds `range.count`.
  ///
  /// - Throws: `DataError` naming a shard with an id beyond the vocabulary.
  package func copy(_ range: Range<Int>, to destination: UnsafeMutablePointer<Int32>) throws {
    precondition(range.lowerBound >= 0 && range.upperBound <= tokens, "tokens \(range) of \(tokens)")
    var position = range.lowerBound
    var shard = place(of: position, in: starts)
    while position < range.upperBound {
      let end = min(range.upperBound, starts[shard + 1])
      let local = position - starts[shard]..<end - starts[shard]
      try shards[shard].copy(local, to: destination + (position - range.lowerBound))
      position = end
      shard += 1
    }
  }

  /// The ids of a range.
  ///
  /// - Throws: `DataError` for a range that the corpus does not have, and naming a shard with an id beyond the vocabulary.
  public func ids(_ range: Range<Int>) throws -> [Int32] {
    guard range.lowerBound >= 0, range.upperBound <= tokens else {
      throw DataError(
        folder, field: "the range of tokens", found: "\(range.lowerBound) to \(range.upperBound)",
        expected: "within 0 to \(tokens)")
    }
    var failure: (any Error)?
    let ids = [Int32](unsafeUninitializedCapacity: range.count) { buffer, count in
      guard let start = buffer.baseAddress else { return }
      do {
        try copy(range, to: start)
        count = range.count
      } catch {
        failure = error
      }
    }
    if let failure { throw failure }
    return ids
  }

  /// The tokens of a document, its closing token among them.
  package func document(_ index: Int) -> Range<Int> {
    documentStart(index)..<(index + 1 == documents ? tokens : documentStart(index + 1))
  }

  /// Bytes and words of a range of tokens, special tokens left out; nil for a corpus opened without a tokenizer.
  ///
  /// - Throws: `DataError` naming a shard with an id beyond the vocabulary.
  package func extent(of range: Range<Int>) throws -> TextExtent? {
    guard let lengths else { return nil }
    var extent = TextExtent()
    var afterSpace = true
    let part = 1 << 16
    for first in stride(from: range.lowerBound, to: range.upperBound, by: part) {
      try ids(first..<min(first + part, range.upperBound)).withUnsafeBufferPointer {
        lengths.add($0, to: &extent, afterSpace: &afterSpace)
      }
    }
    return extent
  }

  /// Reads every shard to its end.
  ///
  /// - Throws: `DataError` for a damaged one.
  package func verify() throws { for shard in shards { try shard.verify() } }

  private func documentStart(_ index: Int) -> Int {
    precondition(index >= 0 && index < documents, "document \(index) of \(documents)")
    let shard = place(of: index, in: documentStarts)
    let isContinuation = shard > 0 && shards[shard].isContinuation
    return starts[shard] + shards[shard].documentStart(index - documentStarts[shard] + (isContinuation ? 1 : 0))
  }

  /// The last entry of `sums` that is not above `value`, of equal ones the last: shards without tokens are passed over.
  private func place(of value: Int, in sums: [Int]) -> Int {
    var (low, high) = (0, sums.count - 2)
    while low < high {
      let middle = (low + high + 1) / 2
      if sums[middle] <= value { low = middle } else { high = middle - 1 }
    }
    return low
  }

  // MARK: Names

  /// `DIR/train-00012.tokens`.
  static func shardPath(_ folder: String, _ split: DatasetSplit, _ index: Int) -> String {
    let digits = String(index)
    return
      "\(folder)/\(split.rawValue)-\(String(repeating: "0", count: max(0, 5 - digits.count)))\(digits).tokens"
  }

  /// The shards of a split in order.
  ///
  /// - Throws: `DataError` for a folder that cannot be read and for a missing shard.
  static func shardPaths(_ folder: String, _ split: DatasetSplit) throws -> [String] {
    guard let names = try? FileManager.default.contentsOfDirectory(atPath: folder) else {
      throw DataError(folder, found: "no such folder of token shards", remedy: "make one with mmoe data tokenize")
    }
    let count = names.count { $0.hasPrefix(split.rawValue + "-") && $0.hasSuffix(".tokens") }
    let paths = (0..<count).map { shardPath(folder, split, $0) }
    if let missing = paths.first(where: { !FileManager.default.fileExists(atPath: $0) }) {
      throw DataError(
        "\(missing)", found: "missing beside \(count) shards of this split", remedy: "tokenize the text again")
    }
    return paths
  }
}
