import Foundation

/// Whatever bytes a token shard has, it is refused in one line or gives ids of its vocabulary.
///
/// A long input is the file; a short one changes bytes of a good file: two bytes for the place, one for the value. Both
/// are read as they are, and again with checksums made right, as a program with a fault would write them.
func fuzzShard(_ input: UnsafeBufferPointer<UInt8>) {
  var bytes = Array(input)
  if input.count < TokenShardHeader.size {
    let changes = bytes
    bytes = good
    for i in stride(from: 0, to: input.count - 2, by: 3) {
      bytes[(Int(changes[i]) << 8 | Int(changes[i + 1])) % bytes.count] = changes[i + 2]
    }
  }
  read(bytes)
  bytes.replaceSubrange(0..<12, with: TokenShardMark.bytes + [1, 0, 0, 0])
  let content = ContentHash(Array(bytes[TokenShardHeader.size...])).low
  withUnsafeBytes(of: content.littleEndian) { bytes.replaceSubrange(56..<64, with: $0) }
  let header = ContentHash(Array(bytes[..<248])).low
  withUnsafeBytes(of: header.littleEndian) { bytes.replaceSubrange(248..<256, with: $0) }
  read(bytes)
}

private let good: [UInt8] = {
  do {
    let path = fuzzFolder + "/good"
    let writer = try TokenShardWriter(path, vocabularySize: 300, fingerprint: "bpe-300-0123456789abcdef")
    for document in 1...9 {
      try writer.append((0..<document).map { Int32($0 * 33) }, textBytes: document * 2)
      writer.endDocument()
    }
    try writer.finish()
    return try readFile(path, limit: 1 << 20)
  } catch {
    fatalError("\(error)")
  }
}()

private func read(_ bytes: [UInt8]) {
  let path = fuzzFile("train-00000.tokens", bytes)
  mayRefuse {
    try TokenShard(path).verify()
    let corpus = try TokenCorpus(fuzzFolder, split: .train, tokenizer: nil)
    var next = 0
    for index in 0..<corpus.documents {
      let document = corpus.document(index)
      precondition(document.lowerBound == next && !document.isEmpty)
      for id in try corpus.ids(document) { precondition(id >= 0 && Int(id) < corpus.vocabularySize) }
      next = document.upperBound
    }
    precondition(next == corpus.tokens)
  }
}
