/// Writes the shards of one split; none where nothing comes.
struct SplitWriter {
  private(set) var part: CorpusTokenizer.Part

  private let folder: String
  private let tokenizer: any Tokenizer
  private let lengths: TokenLengths
  private let shardTokens: Int
  private var shard: TokenShardWriter?
  private var isInDocument = false

  init(
    _ folder: String, _ split: DatasetSplit, _ tokenizer: any Tokenizer, _ lengths: TokenLengths, shardTokens: Int
  ) {
    self.folder = folder
    self.tokenizer = tokenizer
    self.lengths = lengths
    self.shardTokens = shardTokens
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
      let bytes = lengths.bytes(of: taken)
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
      TokenCorpus.shardPath(folder, part.split, part.shards), vocabularySize: tokenizer.vocabularySize,
      fingerprint: tokenizer.fingerprint, continuesDocument: isInDocument)
    shard = writer
    part.shards += 1
    return writer
  }
}
