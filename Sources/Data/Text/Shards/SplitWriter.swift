/// Writes the shards of one split; none where nothing comes.
struct SplitWriter {
  private(set) var part: CorpusTokenizer.Part

  private let folder: String
  private let vocabularySize: Int
  private let fingerprint: String
  /// Nil where nobody knows what the ids stand for.
  private let lengths: TokenLengths?
  private let shardTokens: Int
  private var shard: TokenShardWriter?
  private var isInDocument = false

  init(_ folder: String, _ split: DatasetSplit, _ vocabulary: TokenImport.Vocabulary, shardTokens: Int) {
    self.folder = folder
    self.shardTokens = shardTokens
    vocabularySize = vocabulary.size
    switch vocabulary {
    case .size(let size):
      fingerprint = "unknown-\(size)"
      lengths = nil
    case .tokenizer(let tokenizer):
      fingerprint = tokenizer.fingerprint
      lengths = TokenLengths(tokenizer)
    }
    part = CorpusTokenizer.Part(split: split)
  }

  /// Adds tokens to the current document. A document that does not fit goes on in the next shard.
  ///
  /// - Throws: `DataError` when the disk is full.
  mutating func append(_ ids: [Int32], endsDocument: Bool) throws {
    var rest = ids[...]
    while !rest.isEmpty {
      let writer = try shard ?? nextShard()
      let taken = rest.prefix(shardTokens - writer.tokens)
      let bytes = lengths?.bytes(of: taken) ?? 0
      try writer.append(taken, textBytes: bytes)
      if !isInDocument { part.documents += 1 }
      isInDocument = true
      part.tokens += taken.count
      part.textBytes += bytes
      rest = rest.dropFirst(taken.count)
      if writer.tokens == shardTokens { try finish() }
    }
    if endsDocument {
      shard?.endDocument()
      isInDocument = false
    }
  }

  /// Completes the last shard.
  ///
  /// - Throws: `DataError` when the disk is full.
  mutating func finish() throws {
    try shard?.finish()
    shard = nil
  }

  private mutating func nextShard() throws -> TokenShardWriter {
    let writer = try TokenShardWriter(
      TokenCorpus.shardPath(folder, part.split, part.shards), vocabularySize: vocabularySize,
      fingerprint: fingerprint, continuesDocument: isInDocument, knowsText: lengths != nil)
    shard = writer
    part.shards += 1
    return writer
  }
}
