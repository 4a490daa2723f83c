import MMoEFiles

/// Reads one text file piece by piece.
struct PieceReader {
  /// Sizes in bytes; only tests choose others.
  struct Limits: Sendable {
    /// Parts of a document that is read in parts.
    var part = 1 << 20
    /// A run without white space that is cut all the same.
    var unbroken = 16 << 20
    /// Documents that are parts of a file, and lines of JSON.
    var document = 256 << 20
  }

  private let file: TextFile
  private let rule: DocumentRule
  private let limits: Limits
  private let window: TextWindow
  /// Where training ends and validation begins, in a file that is cut in two.
  private let cut: Int?
  private let split: DatasetSplit?
  private var lineNumber = 0

  /// - Parameters:
  ///   - split: of every piece; nil where content decides.
  ///   - cut: position in the text at which a file of one document is cut in two.
  /// - Throws: `DataError` for a file that cannot be opened.
  init(
    _ file: TextFile, rule: DocumentRule, split: DatasetSplit? = nil, cut: Int? = nil, limits: Limits = Limits()
  ) throws {
    self.file = file
    self.rule = rule
    self.split = split
    self.cut = cut
    self.limits = limits
    window = TextWindow(try ByteStream(file.path))
  }

  /// Bytes of the file that were read so far.
  var fileBytes: Int { window.stream.fileBytes }

  /// The next piece, or nil at the end.
  ///
  /// - Throws: `DataError` for a damaged file or a document beyond the limit.
  mutating func next() throws -> TextPiece? {
    if file.isJSONLines { return try nextLine() }
    return rule == .file ? try nextPart() : try nextSection()
  }

  // MARK: JSONL

  private mutating func nextLine() throws -> TextPiece? {
    while true {
      let end = try window.find(0x0A, from: 0, limit: limits.document)
      guard end != nil || window.count > 0 else { return nil }
      lineNumber += 1
      var bytes = window.take(end ?? window.count)
      if end != nil { window.drop(1) }
      if bytes.last == 0x0D { bytes.removeLast() }
      guard bytes.contains(where: { $0 != 0x20 && $0 != 0x09 }) else { continue }
      return TextPiece(bytes: bytes, source: .jsonLine(file: file.path, number: lineNumber), split: split)
    }
  }

  // MARK: Files as they are

  private func nextPart() throws -> TextPiece? {
    // One byte more tells whether the part is the last one.
    try window.fill(limits.part + 1)
    guard window.count > 0 else { return nil }
    if let cut, window.position < cut, cut - window.position <= limits.part {
      let count = min(cut - window.position, window.count)
      return TextPiece(bytes: window.take(count), source: .text, split: .train)
    }
    let side = cut.map { window.position < $0 ? .train : .val } ?? split
    if window.count <= limits.part {
      return TextPiece(bytes: window.take(window.count), source: .text, split: side)
    }
    var end: Int?
    var searched = 0
    repeat {
      end = window.withBytes { PreSplitter.boundary(in: $0, near: limits.part, searched: searched) }
      searched = window.count
      if end == nil, window.count > limits.unbroken { end = limits.part }
    } while try end == nil && window.readMore()
    var count = end ?? window.count
    if let cut, window.position < cut { count = min(count, cut - window.position) }
    let bytes = window.take(count)
    return TextPiece(
      bytes: bytes, source: .text, split: side,
      endsDocument: window.position == cut || window.count == 0 && window.isAtEnd)
  }

  // MARK: Sections

  private func nextSection() throws -> TextPiece? {
    var end = 0
    var hasText = false
    var afterBlank = false
    while true {
      let next = try lineEnd(from: end)
      guard next > end else { break }
      let kind = line(end..<next)
      if rule == .endOfText && kind == .endOfText {
        let bytes = window.take(end)
        window.drop(next - end)
        if hasText { return TextPiece(bytes: bytes, source: .text, split: split) }
        (end, afterBlank) = (0, false)
        continue
      }
      if hasText, afterBlank, try begins(kind, end: next) { break }
      hasText = hasText || kind != .blank
      afterBlank = kind == .blank
      end = next
      guard end <= limits.document else {
        throw DataError(
          "\(file.path)", found: "a document of more than \(limits.document) bytes after \(window.position)",
          remedy: "read it with another rule than \(rule.rawValue)")
      }
    }
    // Blank lines alone are no document.
    guard hasText else { return nil }
    return TextPiece(bytes: window.take(end), source: .text, split: split)
  }

  /// Whether a line after a blank one begins a document.
  private func begins(_ kind: SectionLine, end: Int) throws -> Bool {
    switch rule {
    case .file, .endOfText: return false
    case .blankLines: return kind != .blank
    case .headings:
      // WikiText has lines such as ` = 14.1 years ) = ` in its tables; a heading stands alone.
      return try kind == .heading && line(end..<lineEnd(from: end)) == .blank
    }
  }

  /// The end of a line, its line end included.
  private func lineEnd(from start: Int) throws -> Int {
    try window.find(0x0A, from: start, limit: limits.document).map { $0 + 1 } ?? window.count
  }

  private func line(_ range: Range<Int>) -> SectionLine {
    window.withBytes { SectionLine(UnsafeBufferPointer(rebasing: $0[range])) }
  }
}

/// What a line means for the sections of a text.
private enum SectionLine {
  case blank, heading, endOfText, text

  init(_ line: UnsafeBufferPointer<UInt8>) {
    func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || 0x09...0x0D ~= byte }
    guard let first = line.firstIndex(where: { !isSpace($0) }), let last = line.lastIndex(where: { !isSpace($0) })
    else {
      self = .blank
      return
    }
    let text = line[first...last]
    if text.elementsEqual("<|endoftext|>".utf8) {
      self = .endOfText
    } else if text.count > 4, text.starts(with: "= ".utf8), text.suffix(2).elementsEqual(" =".utf8),
      !text.starts(with: "= =".utf8), !text.suffix(3).elementsEqual("= =".utf8)
    {
      self = .heading
    } else {
      self = .text
    }
  }
}
