import Foundation
import MMoEFiles

/// What a text for `--data` holds, read to its end: documents of both parts, their lengths, duplicates and what is not valid.
/// What `mmoe data inspect` shows.
package struct CorpusInspection: Sendable, Codable, Equatable {
  /// A document and its size.
  package struct Document: Sendable, Codable, Equatable {
    package let place: String
    package let bytes: Int
  }

  package struct Part: Sendable, Codable, Equatable {
    package let split: DatasetSplit
    /// With text; empty ones are passed over.
    package internal(set) var documents = 0
    package internal(set) var bytes = 0
    /// Unicode scalars.
    package internal(set) var characters = 0
    /// Bytes that are no valid UTF-8. Training keeps them as they are.
    package internal(set) var invalidBytes = 0
    package internal(set) var invalidDocuments = 0
    package internal(set) var shortest: Document?
    package internal(set) var longest: Document?
  }

  package let path: String
  package let files: Int
  /// How the parts are told, in one line.
  package let division: String
  package private(set) var parts = DatasetSplit.allCases.map { Part(split: $0) }
  package private(set) var emptyDocuments = 0
  package private(set) var duplicates = Duplicates()
  /// Lines that are no documents, which training stops at: how many, and what is wrong with the first.
  package private(set) var brokenLines = 0
  package private(set) var firstBroken: String?
  package let leftOut: LeftOut

  /// A document, by the number of its file and its number or line in it.
  private struct Place: Comparable {
    let file, number: Int

    static func < (a: Place, b: Place) -> Bool { (a.file, a.number) < (b.file, b.number) }
  }

  /// What one piece holds.
  private struct Facts {
    var piece: TextPiece
    var text: [UInt8] = []
    var split = DatasetSplit.train
    var counts = (scalars: 0, invalid: 0)
    var broken: String?
  }

  /// Reads a text to its end, on all cores; memory grows with the number of documents, by some hundred bytes each.
  ///
  /// - Parameters:
  ///   - path: a text file, a JSONL file, one of these packed, or a folder of them.
  ///   - options: how it is read and divided.
  ///   - progress: called with the bytes read of the files and their total.
  /// - Throws: `DataError` for a path without text, a file that is no text or damaged, and a text that cannot be divided.
  package init(
    path: String, options: CorpusTokenizer.Options = .init(), progress: ((_ done: Int, _ total: Int) -> Void)? = nil
  ) throws {
    let corpus = try TextFiles(path)
    let plan = try SplitPlan(
      corpus, rule: options.documents, field: options.field, share: options.validationShare, seed: options.seed,
      passesBroken: true)
    (self.path, files, leftOut) = (corpus.path, corpus.files.count, corpus.leftOut)
    division = CorpusInspection.words(for: plan, options)
    var source = PieceSource(corpus, rule: options.documents, plan: plan, limits: PieceReader.Limits())
    var state = State(corpus)
    try OrderedPipeline<PieceSource.Batch, (facts: [Facts], fileBytes: Int)>.run(
      threads: ProcessInfo.processInfo.activeProcessorCount, read: { try source.next() },
      work: { batch in
        (batch.pieces.map { CorpusInspection.look(at: $0, options.field, plan) }, batch.fileBytes)
      },
      deliver: { found in
        for facts in found.facts { state.add(facts) }
        progress?(min(found.fileBytes, corpus.bytes), corpus.bytes)
      })
    (parts, emptyDocuments) = (state.parts, state.empty)
    (brokenLines, firstBroken) = (state.broken, state.firstBroken)
    duplicates = state.finder.result(state.name)
  }

  private static func look(at piece: TextPiece, _ field: String, _ plan: SplitPlan) -> Facts {
    var facts = Facts(piece: piece)
    do {
      facts.text = try piece.text(field: field)
    } catch {
      facts.broken = "\(error)"
      return facts
    }
    facts.split = piece.split ?? plan.side(of: ContentHash(facts.text))
    facts.counts = facts.text.withUnsafeBufferPointer(PreSplitter.count)
    return facts
  }

  /// The document that is being read, and all that came before it.
  private struct State {
    var parts = DatasetSplit.allCases.map { Part(split: $0) }
    var finder = DuplicateFinder<Place>()
    var (empty, broken) = (0, 0)
    var firstBroken: String?
    private let corpus: TextFiles
    private var hasher = ContentHasher()
    private var (bytes, invalid) = (0, 0)
    private var place = Place(file: 0, number: 0)

    init(_ corpus: TextFiles) { self.corpus = corpus }

    mutating func add(_ facts: Facts) {
      if facts.piece.file != place.file { place = Place(file: facts.piece.file, number: 0) }
      if let reason = facts.broken {
        broken += 1
        firstBroken = firstBroken ?? reason
        return
      }
      let index = facts.split == .train ? 0 : 1
      facts.text.withUnsafeBytes(hasher.add)
      (bytes, invalid) = (bytes + facts.text.count, invalid + facts.counts.invalid)
      parts[index].bytes += facts.text.count
      parts[index].characters += facts.counts.scalars
      parts[index].invalidBytes += facts.counts.invalid
      guard facts.piece.endsDocument else { return }
      if case .jsonLine(_, let number) = facts.piece.source {
        place = Place(file: place.file, number: number)
      } else {
        place = Place(file: place.file, number: place.number + 1)
      }
      if bytes == 0 { empty += 1 } else { end(index, facts.split) }
      (hasher, bytes, invalid) = (ContentHasher(), 0, 0)
    }

    private mutating func end(_ index: Int, _ split: DatasetSplit) {
      parts[index].documents += 1
      if invalid > 0 { parts[index].invalidDocuments += 1 }
      if bytes < parts[index].shortest?.bytes ?? .max {
        parts[index].shortest = Document(place: name(place), bytes: bytes)
      }
      if bytes > parts[index].longest?.bytes ?? 0 {
        parts[index].longest = Document(place: name(place), bytes: bytes)
      }
      finder.add(hasher.value, split, at: place)
    }

    /// `a.jsonl:12`, or `a.txt, document 3`.
    func name(_ place: Place) -> String {
      let file = corpus.files[place.file]
      return file.isJSONLines ? "\(file.path):\(place.number)" : "\(file.path), document \(place.number)"
    }
  }

  private static func words(for plan: SplitPlan, _ options: CorpusTokenizer.Options) -> String {
    switch plan {
    case .trainOnly: "all of it is for training (data.validation_share 0)"
    case .named: "the files' names say what is train and what is val"
    case .hashed:
      "a document's content decides whether it is for train or val (data.validation_share \(options.validationShare))"
    case .cut:
      "one document, which is cut at a line: its end is for validation (data.validation_share \(options.validationShare))"
    }
  }

  /// - Throws: `DataError` for lines that training stops at.
  package func requireUsable() throws(DataError) {
    guard let firstBroken else { return }
    throw brokenLines == 1
      ? DataError(firstBroken) : DataError("\(brokenLines) lines are no documents, the first: \(firstBroken)")
  }

  /// The inspection for a terminal.
  package func text() -> String {
    var lines = [
      "\(oneLine(path)): \(files) text file\(files == 1 ? "" : "s"), "
        + parts.map { "\($0.documents) \($0.split.rawValue)" }.joined(separator: " and ") + " documents", division, "",
      InspectionText.row("", "train", "val"),
    ]
    func row(_ name: String, _ value: (Part) -> Int) {
      lines.append(InspectionText.row(name, "\(value(parts[0]))", "\(value(parts[1]))"))
    }
    row("documents") { $0.documents }
    row("bytes") { $0.bytes }
    row("characters") { $0.characters }
    row("bytes that are no UTF-8") { $0.invalidBytes }
    row("bytes of the shortest") { $0.shortest?.bytes ?? 0 }
    row("bytes of the longest") { $0.longest?.bytes ?? 0 }
    lines.append("")
    for part in parts {
      guard let shortest = part.shortest, let longest = part.longest, part.documents > 1 else { continue }
      lines.append(oneLine("\(part.split.rawValue): shortest \(shortest.place); longest \(longest.place)"))
    }
    lines += duplicates.lines("documents", by: "text", limit: 5)
    let invalid = parts.reduce(0) { $0 + $1.invalidDocuments }
    if invalid > 0 {
      lines.append(
        InspectionText.counted(invalid, "document has", "documents have")
          + " bytes that are no UTF-8; training keeps these bytes as they are"
      )
    }
    if emptyDocuments > 0 {
      lines.append(InspectionText.counted(emptyDocuments, "empty document") + ", which training passes over")
    }
    if let firstBroken {
      lines.append(
        InspectionText.counted(brokenLines, "line that is no document", "lines that are no documents")
          + ", at which training stops: \(firstBroken)")
    }
    if let text = leftOut.text { lines.append(oneLine(text)) }
    return lines.joined(separator: "\n")
  }
}
