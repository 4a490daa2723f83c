import Foundation
import MMoEFiles
import MMoETensor

/// Turns text into a folder of token shards.
public struct CorpusTokenizer: Sendable {
  /// How a text is read and divided.
  public struct Options: Sendable, Codable, Equatable {
    /// The text's field in JSONL files.
    public var field = "text"
    /// What in other files is a document.
    public var documents = DocumentRule.file
    /// Of the documents, or of the only document's text, for validation. Not used where file names say it.
    public var validationShare = 0.1
    /// Another seed chooses other documents for validation.
    public var seed: UInt64 = 0
    /// Tokens of a shard.
    public var shardTokens = 100_000_000

    public init() {}
  }

  /// What one split became.
  public struct Part: Sendable, Codable, Equatable {
    public var split: DatasetSplit
    public var documents = 0
    public var tokens = 0
    package var textBytes = 0
    package var shards = 0
  }

  /// What was written.
  public struct Summary: Sendable, Codable, Equatable {
    public var parts: [Part]
    /// Files of the folder that are left out.
    package var leftOut: LeftOut
  }

  /// Files of the folder that are left out.
  var leftOut: LeftOut { corpus.leftOut }

  private let corpus: TextFiles
  private let tokenizer: any Tokenizer
  private let options: Options
  private let limits: PieceReader.Limits

  /// Lists the files of a text; opens none of them.
  ///
  /// - Parameter path: a text file, a JSONL file, one of these with `.gz` or `.zst`, or a folder of them.
  /// - Throws: `DataError` for a path without text.
  public init(_ path: String, tokenizer: any Tokenizer, options: Options = Options()) throws {
    try self.init(path, tokenizer: tokenizer, options: options, limits: PieceReader.Limits())
  }

  init(_ path: String, tokenizer: any Tokenizer, options: Options, limits: PieceReader.Limits) throws {
    corpus = try TextFiles(path)
    self.tokenizer = tokenizer
    self.options = options
    self.limits = limits
    guard options.shardTokens >= 1 else {
      throw DataError(field: "tokens of a shard", found: "\(options.shardTokens)", expected: "at least 1")
    }
  }

  /// What the shards depend on: the files' contents, the names that say how they are read, the options and the tokenizer.
  ///
  /// - Parameter cache: where digests of large files are remembered.
  /// - Throws: `DataError` for a file that cannot be read.
  func key(cache: String) throws -> String {
    var digests = FileDigests(cache: cache)
    defer { digests.remember() }
    let hasher = ContentHasher()
    for line in ["2", tokenizer.fingerprint, "\(options)", "\(corpus.isNamed)"] { hasher.add(line) }
    for file in corpus.files {
      // A single file may have any name.
      if corpus.files.count > 1 { hasher.add(file.name) }
      hasher.add("\(file.isJSONLines) \(file.named?.rawValue ?? "")")
      hasher.add(try digests.digest(of: file.path))
    }
    return hasher.value.shortName
  }

  /// The beginning of the training text, what a tokenizer learns from.
  ///
  /// - Parameter limit: bytes at most.
  /// - Throws: `DataError` for a broken text or one without training text.
  func trainingText(limit: Int) throws -> [UInt8] {
    let plan = try SplitPlan(
      corpus, rule: options.documents, field: options.field, share: options.validationShare, seed: options.seed)
    var source = PieceSource(corpus, rule: options.documents, plan: plan, limits: limits)
    var result: [UInt8] = []
    while result.count < limit, let batch = try source.next() {
      for piece in batch.pieces {
        let text = try piece.text(field: options.field)
        if (piece.split ?? plan.side(of: ContentHash(text))) == .train { result += text }
      }
    }
    guard !result.isEmpty else {
      throw DataError("\(corpus.path)", found: "no text in any file for training", remedy: "nothing to learn from")
    }
    return Array(result.prefix(limit))
  }

  /// Writes `DIR/train-00000.tokens`, …, `DIR/val-00000.tokens`, … and `DIR/tokenizer`. The folder appears under its
  /// name only when it is complete; its content does not depend on the number of threads.
  ///
  /// Documents end with the tokenizer's end-of-text token, or, where it has none, with a line end; an only document as
  /// it does in its file.
  ///
  /// - Parameters:
  ///   - threads: 1 to 256; the number of cores when nil.
  ///   - progress: called with the bytes read of the files and their total.
  ///   - check: called before the folder gets its name.
  /// - Throws: `DataError` for a broken text, an empty one, or a folder that cannot be written.
  @discardableResult
  public func write(
    to folder: String, threads: Int? = nil, progress: ((_ done: Int, _ total: Int) -> Void)? = nil,
    check: () throws -> Void = {}
  ) throws -> Summary {
    let threads = threads ?? ProcessInfo.processInfo.activeProcessorCount
    guard 1...256 ~= threads else { throw DataError(field: "threads", found: "\(threads)", expected: "1 to 256") }
    let plan = try SplitPlan(
      corpus, rule: options.documents, field: options.field, share: options.validationShare, seed: options.seed)
    let staged = try StagedFolder(for: folder)
    var writers = DatasetSplit.allCases.map { split in
      SplitWriter(staged.path, split, .tokenizer(tokenizer), shardTokens: options.shardTokens)
    }
    var source = PieceSource(corpus, rule: options.documents, plan: plan, limits: limits)
    let total = corpus.bytes
    try OrderedPipeline<PieceSource.Batch, EncodedBatch>.run(
      threads: threads, read: { try source.next() },
      work: { try encode($0, plan) },
      deliver: { batch in
        for piece in batch.pieces {
          try writers[piece.split == .train ? 0 : 1].append(piece.ids, endsDocument: piece.endsDocument)
        }
        progress?(min(batch.fileBytes, total), total)
      })
    for index in writers.indices { try writers[index].finish() }
    guard writers[0].part.tokens > 0 else {
      throw DataError("\(corpus.path)", found: "no text in any file for training", remedy: "nothing to learn from")
    }
    try tokenizer.save(to: staged.path + "/tokenizer")
    try check()
    try staged.commit()
    return Summary(parts: writers.map(\.part), leftOut: corpus.leftOut)
  }

  private struct EncodedBatch: Sendable {
    var pieces: [EncodedPiece] = []
    var fileBytes: Int
  }

  private struct EncodedPiece: Sendable {
    var split: DatasetSplit
    var ids: [Int32]
    var endsDocument: Bool
  }

  private func encode(_ batch: PieceSource.Batch, _ plan: SplitPlan) throws -> EncodedBatch {
    var result = EncodedBatch(fileBytes: batch.fileBytes)
    result.pieces.reserveCapacity(batch.pieces.count)
    for piece in batch.pieces {
      var text = try piece.text(field: options.field)
      let split = piece.split ?? plan.side(of: ContentHash(text))
      if piece.endsDocument, tokenizer.endOfText == nil, let last = text.last, last != 0x0A,
        !corpus.isOneDocument(options.documents)
      {
        text.append(0x0A)
      }
      var ids: [Int32]
      do {
        ids = try tokenizer.encode(text)
      } catch let error as DataError {
        throw DataError("\(piece.place ?? corpus.path)", found: "\(error)")
      }
      if piece.endsDocument, let end = tokenizer.endOfText, !ids.isEmpty { ids.append(end) }
      result.pieces.append(EncodedPiece(split: split, ids: ids, endsDocument: piece.endsDocument))
    }
    return result
  }
}
