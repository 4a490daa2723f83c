/// All pieces of a corpus in order, in batches of about the same size.
struct PieceSource {
  /// Work for one thread.
  struct Batch: Sendable {
    var pieces: [TextPiece] = []
    /// Bytes of the files that were read so far.
    var fileBytes = 0
  }

  private static let batchBytes = 256 << 10

  private let corpus: TextFiles
  private let rule: DocumentRule
  private let plan: SplitPlan
  private let limits: PieceReader.Limits
  private var nextFile = 0
  private var reader: PieceReader?
  private var finishedBytes = 0

  init(_ corpus: TextFiles, rule: DocumentRule, plan: SplitPlan, limits: PieceReader.Limits) {
    self.corpus = corpus
    self.rule = rule
    self.plan = plan
    self.limits = limits
  }

  /// The next batch, or nil at the end.
  ///
  /// - Throws: `DataError` for a broken file.
  mutating func next() throws -> Batch? {
    var batch = Batch()
    var bytes = 0
    while bytes < PieceSource.batchBytes {
      if reader == nil {
        guard nextFile < corpus.files.count else { break }
        reader = try open(corpus.files[nextFile])
        nextFile += 1
      }
      if var piece = try reader?.next() {
        piece.file = nextFile - 1
        bytes += piece.bytes.count
        batch.pieces.append(piece)
      } else {
        finishedBytes += reader?.fileBytes ?? 0
        reader = nil
      }
    }
    batch.fileBytes = finishedBytes + (reader?.fileBytes ?? 0)
    return batch.pieces.isEmpty ? nil : batch
  }

  private func open(_ file: TextFile) throws -> PieceReader {
    switch plan {
    case .trainOnly: return try PieceReader(file, rule: rule, split: .train, limits: limits)
    case .named: return try PieceReader(file, rule: rule, split: file.named, limits: limits)
    case .cut(let place): return try PieceReader(file, rule: rule, cut: place, limits: limits)
    case .hashed:
      // A whole file may be larger than memory: its side must be known before its first part is written.
      guard rule == .file, !file.isJSONLines else { return try PieceReader(file, rule: rule, limits: limits) }
      var hashes = DocumentHashes(file, rule: rule, field: "")
      let side = try hashes.next().map(plan.side) ?? .train
      return try PieceReader(file, rule: rule, split: side, limits: limits)
    }
  }
}
