import Foundation
import MMoEFiles

/// What a folder of token shards holds, every byte of it checked. What `mmoe data inspect` shows.
package struct ShardInspection: Sendable, Codable, Equatable {
  /// One file.
  package struct Shard: Sendable, Codable, Equatable {
    package var path: String
    package var tokens: Int
    package var documents: Int
    /// Bytes of the text; nil for imported tokens.
    package var textBytes: Int?
  }

  /// One split.
  package struct Part: Sendable, Codable, Equatable {
    package var split: DatasetSplit
    package var tokens: Int
    /// One that spans shards counts once.
    package var documents: Int
    package var textBytes: Int?
    /// Tokens of the longest document.
    package var longestDocument: Int
    package var shards: [Shard]
  }

  package var path: String
  package var tokenizer: String
  package var vocabularySize: Int
  package var parts: [Part]

  /// Reads every shard of a folder to its end.
  ///
  /// - Throws: `DataError` for a missing or damaged shard, or splits of different tokenizers.
  package init(path: String) throws {
    let corpora = try DatasetSplit.allCases.filter { try !TokenCorpus.shardPaths(path, $0).isEmpty }
      .map { try TokenCorpus(path, split: $0, tokenizer: nil) }
    guard let first = corpora.first else {
      throw DataError(path, found: "no token shards", remedy: "make them with mmoe data tokenize")
    }
    for corpus in corpora where corpus.fingerprint != first.fingerprint {
      throw DataError(
        "\(corpus.shards[0].path)",
        found:
          "made with the tokenizer \(corpus.fingerprint), but the \(first.split.rawValue) part with \(first.fingerprint)",
        remedy: "tokenize the text again")
    }
    self.path = path
    tokenizer = first.fingerprint
    vocabularySize = first.vocabularySize
    parts = try corpora.map { corpus in
      try corpus.verify()
      return Part(
        split: corpus.split, tokens: corpus.tokens, documents: corpus.documents, textBytes: corpus.textBytes,
        longestDocument: (0..<corpus.documents).map { corpus.document($0).count }.max() ?? 0,
        shards: corpus.shards.map {
          Shard(path: $0.path, tokens: $0.tokens, documents: $0.documents, textBytes: $0.textBytes)
        })
    }
  }

  /// The inspection for a terminal, at most `limit` shards of a split.
  package func text(limit: Int = 8) -> String {
    var lines = ["\(path): tokenizer \(tokenizer), \(vocabularySize) tokens; all checksums and ids are right"]
    for part in parts {
      var line =
        "\(part.split.rawValue): \(part.tokens) tokens in \(part.documents) documents, the longest of \(part.longestDocument)"
      if let bytes = part.textBytes {
        line += String(format: "; %d bytes of text, %.3f a token", bytes, Double(bytes) / Double(max(part.tokens, 1)))
      }
      lines += ["", line]
      for shard in part.shards.prefix(limit) {
        lines.append("  \(shard.path): \(shard.tokens) tokens, \(shard.documents) documents")
      }
      if part.shards.count > limit { lines.append("  … and \(part.shards.count - limit) more shards") }
    }
    return lines.joined(separator: "\n")
  }
}
