import MMoEFiles
import MMoETensor

/// Which documents are for training and which for validation, so that no text is on both sides.
enum SplitPlan: Sendable, Equatable {
  /// All documents are for training.
  case trainOnly
  /// The files' names say it.
  case named
  /// A document's content says it, so that equal documents are on one side: validation where the draw of its hash is
  /// below the threshold.
  case hashed(below: UInt64, seed: UInt64)
  /// The only document is cut at this byte of its text, the rest is for validation.
  case cut(Int)

  /// The side of a whole document.
  func side(of hash: ContentHash) -> DatasetSplit {
    guard case .hashed(let threshold, let seed) = self else { return .train }
    return SplitPlan.draw(hash, seed) < threshold ? .val : .train
  }

  /// - Parameters:
  ///   - share: of the documents, or of the only document's text, that is for validation; 0 for none.
  ///   - passesBroken: whether lines that are no documents are passed over; else they are errors.
  /// - Throws: `DataError` for a share out of range, a broken file, or a corpus that cannot be divided.
  init(
    _ corpus: TextFiles, rule: DocumentRule, field: String, share: Double, seed: UInt64, passesBroken: Bool = false
  ) throws {
    guard share >= 0, share < 1 else {
      throw DataError(field: "validation share", found: "\(share)", expected: "0 to less than 1")
    }
    if corpus.isNamed {
      self = .named
    } else if share == 0 {
      self = .trainOnly
    } else if corpus.isOneDocument(rule) {
      self = .cut(try SplitPlan.cut(corpus.files[0], share: share))
    } else {
      self = try SplitPlan.hashed(
        corpus, rule: rule, field: field, share: share, seed: seed, passesBroken: passesBroken)
    }
  }

  private static func draw(_ hash: ContentHash, _ seed: UInt64) -> UInt64 {
    let words = CounterRandom(seed: seed, purpose: .split, a: hash.low, b: hash.high).block(0)
    return UInt64(words[0]) << 32 | UInt64(words[1])
  }

  // MARK: Many documents

  /// The threshold for a share. Few documents may all fall on one side: then the one of the lowest or highest draw goes
  /// to the other.
  private static func hashed(
    _ corpus: TextFiles, rule: DocumentRule, field: String, share: Double, seed: UInt64, passesBroken: Bool
  ) throws -> SplitPlan {
    let threshold = UInt64(share * 0x1p53) << 11
    var lowest: UInt64?
    var highest: UInt64 = 0
    var documents = 0
    for file in corpus.files {
      var reader = DocumentHashes(file, rule: rule, field: field, passesBroken: passesBroken)
      while let hash = try reader.next() {
        let draw = draw(hash, seed)
        documents += 1
        lowest = min(lowest ?? draw, draw)
        highest = max(highest, draw)
        if let lowest, lowest < threshold, highest >= threshold { return .hashed(below: threshold, seed: seed) }
      }
    }
    guard let lowest else {
      throw DataError("\(corpus.path)", found: "no text in any file", remedy: "nothing to learn from")
    }
    guard lowest < highest else {
      throw DataError(
        "\(corpus.path)", found: "\(documents == 1 ? "one document only" : "all \(documents) documents are equal")",
        expected: "at least two different ones to divide", remedy: "use --val-share 0, or name files train and val")
    }
    return .hashed(below: lowest < threshold ? highest : lowest + 1, seed: seed)
  }

  // MARK: One document

  /// Where a text is cut: at the start of a line near the wanted place, or else at the start of a character.
  private static func cut(_ file: TextFile, share: Double) throws -> Int {
    var total = 0
    try eachPart(of: file) { total += $0.count }
    guard total >= 2 else {
      throw DataError(
        "\(file.path)", found: "\(total) bytes of text", expected: "at least two to divide into train and val")
    }
    let wanted = min(max(Int(Double(total) * (1 - share)), 1), total - 1)
    // Lines are looked for this far around the place.
    let reach = 64 << 10
    var near: [UInt8] = []
    let first = max(0, wanted - reach)
    var position = 0
    try eachPart(of: file) { part in
      let (start, end) = (max(first - position, 0), min(wanted + reach - position, part.count))
      if start < end { near += part[start..<end] }
      position += part.count
    }
    func isGood(_ place: Int, _ test: (Int) -> Bool) -> Bool {
      first + place > 0 && first + place < total && place < near.count && test(place)
    }
    let places = Array(wanted - first..<near.count) + (0..<wanted - first).reversed()
    let line = places.first { isGood($0) { $0 > 0 && near[$0 - 1] == 0x0A } }
    let character = places.first { isGood($0) { near[$0] & 0xC0 != 0x80 } }
    return first + (line ?? character ?? wanted - first)
  }

  private static func eachPart(of file: TextFile, _ body: (UnsafeRawBufferPointer) -> Void) throws {
    let stream = try ByteStream(file.path)
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 16)
    defer { buffer.deallocate() }
    while true {
      let count = try stream.read(into: buffer)
      guard count > 0 else { return }
      body(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
    }
  }
}

/// The hashes of a file's documents, one after the other.
struct DocumentHashes {
  private let file: TextFile
  private let rule: DocumentRule
  private let field: String
  private let passesBroken: Bool
  private var reader: PieceReader?

  init(_ file: TextFile, rule: DocumentRule, field: String, passesBroken: Bool = false) {
    (self.file, self.rule, self.field, self.passesBroken) = (file, rule, field, passesBroken)
  }

  /// The hash of the next document with text, or nil at the end.
  ///
  /// - Throws: `DataError` for a broken file.
  mutating func next() throws -> ContentHash? {
    if reader == nil { reader = try PieceReader(file, rule: rule) }
    let hasher = ContentHasher()
    var isEmpty = true
    while let piece = try reader?.next() {
      let text: [UInt8]
      do {
        text = try piece.text(field: field)
      } catch  where passesBroken {
        continue
      }
      text.withUnsafeBytes(hasher.add)
      isEmpty = isEmpty && text.isEmpty
      guard piece.endsDocument else { continue }
      if !isEmpty { return hasher.value }
    }
    return nil
  }
}
