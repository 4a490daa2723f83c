import Foundation

/// Whatever a text, JSONL or packed file holds, it is refused in one line or read to its end.
///
/// The first byte chooses the kind of file, the way to divide it and whether parts are small.
func fuzzText(_ input: UnsafeBufferPointer<UInt8>) {
  let bytes = Array(input)
  guard let kind = bytes.first else { return }
  let names = ["a.txt", "a.jsonl", "a.txt.gz", "a.jsonl.gz", "a.txt.zst", "a.jsonl.zst", "a.md", "a.ndjson"]
  let content = Array(bytes.dropFirst())
  let path = fuzzFile(names[Int(kind & 7)], content)
  let rule = DocumentRule.allCases[Int(kind >> 3 & 3)]
  let limits =
    kind & 32 == 0 ? PieceReader.Limits(part: 8, unbroken: 64, document: 1 << 20) : PieceReader.Limits()
  mayRefuse {
    guard let file = try TextFiles(path).files.first else { return }
    var reader = try PieceReader(file, rule: rule, cut: kind & 64 == 0 || rule != .file ? nil : 5, limits: limits)
    var whole: [UInt8] = []
    while let piece = try reader.next() {
      if case .text = piece.source { precondition(!piece.bytes.isEmpty) }
      whole += try piece.text(field: "text")
    }
    // What is packed inside, by its content, is another text.
    let isPacked = FileKind.signed(content) != nil || content.dropFirst().starts(with: [0x2A, 0x4D, 0x18])
    if file.name == "a.txt", rule == .file, !isPacked {
      precondition(whole == content || FileKind.byteOrderMark + whole == content)
    }
  }
  unlink(path)
}
