import Foundation
import MMoEFiles

/// A file of token ids, mapped into memory: only the pages that are read are loaded, so that it may be larger than
/// memory. The file must not be shortened while it is open.
package final class TokenShard: @unchecked Sendable {
  package let path: String
  /// Ids are `0 ..< vocabularySize`.
  package var vocabularySize: Int { header.vocabularySize }
  /// Of the tokenizer that made the ids.
  package var fingerprint: String { header.fingerprint }
  package var tokens: Int { header.tokens }
  /// Documents that begin here, and the rest of one that began in the shard before.
  package var documents: Int { header.documents }
  /// Whether the first document goes on from the shard before.
  package var isContinuation: Bool { header.continuesDocument && documents > 0 }
  /// Bytes of the text that the tokens stand for; nil for imported tokens.
  package var textBytes: Int? { header.textBytes }

  /// Of the tokens and the table of documents, as the header says.
  var checksum: UInt64 { header.checksum }

  private let header: TokenShardHeader
  private let file: MappedFile

  /// Maps a shard. Header, size and the table of documents are checked; the tokens are not read (see `verify`).
  ///
  /// - Throws: `DataError` naming the file and what is wrong with it.
  package init(_ path: String) throws {
    file = try MappedFile(path)
    let size = file.bytes.count
    header = try TokenShardHeader(Array(file.bytes.prefix(TokenShardHeader.size)), of: path)
    guard size == header.fileSize else {
      throw DataError(
        path, found: "\(size) bytes",
        expected: "\(header.fileSize) for \(header.tokens) tokens of \(header.documents) documents",
        remedy: "\(size < header.fileSize ? "the tail is cut" : "something was appended"), tokenize the text again")
    }
    self.path = path
    try checkTable()
  }

  private var base: UnsafeRawPointer { file.bytes.baseAddress! }

  /// Copies ids; `destination` holds `range.count`.
  ///
  /// - Throws: `DataError` naming an id beyond the vocabulary: a damaged file must not become an index.
  package func copy(_ range: Range<Int>, to destination: UnsafeMutablePointer<Int32>) throws {
    precondition(range.lowerBound >= 0 && range.upperBound <= tokens, "tokens \(range) of \(tokens)")
    var largest: UInt32 = 0
    let tokens = base + TokenShardHeader.size
    if header.tokenBytes == 2 {
      let ids = tokens.assumingMemoryBound(to: UInt16.self) + range.lowerBound
      for i in 0..<range.count {
        let id = UInt16(littleEndian: ids[i])
        destination[i] = Int32(id)
        largest = max(largest, UInt32(id))
      }
    } else {
      let ids = tokens.assumingMemoryBound(to: UInt32.self) + range.lowerBound
      for i in 0..<range.count {
        let id = UInt32(littleEndian: ids[i])
        destination[i] = Int32(bitPattern: id)
        largest = max(largest, id)
      }
    }
    guard range.isEmpty || Int(largest) < vocabularySize else {
      throw DataError(
        path, found: "token id \(largest) among the tokens \(range.lowerBound) to \(range.upperBound - 1)",
        expected: "at most \(vocabularySize - 1), the vocabulary", remedy: "tokenize the text again")
    }
  }

  /// Where a document begins: the number of tokens before it. `documents` itself gives the end.
  package func documentStart(_ index: Int) -> Int { Int(entry(2 * index)) }

  /// Text bytes before a document; 0 for imported tokens.
  package func documentTextStart(_ index: Int) -> Int { Int(entry(2 * index + 1)) }

  /// Reads everything: the checksum, and every id against the vocabulary.
  ///
  /// - Throws: `DataError` for a damaged file.
  package func verify() throws {
    let hasher = ContentHasher()
    // In parts, so that a file larger than memory does not have to stay there.
    let part = 1 << 20
    var position = TokenShardHeader.size
    while position < header.fileSize {
      let count = min(part, header.fileSize - position)
      hasher.add(UnsafeRawBufferPointer(start: base + position, count: count))
      position += count
    }
    guard hasher.value.low == header.checksum else {
      throw DataError(path, found: "the content is damaged, its checksum differs", remedy: "tokenize the text again")
    }
    let buffer = UnsafeMutablePointer<Int32>.allocate(capacity: part)
    defer { buffer.deallocate() }
    for first in stride(from: 0, to: tokens, by: part) {
      try copy(first..<min(first + part, tokens), to: buffer)
    }
  }

  private func entry(_ index: Int) -> UInt64 {
    precondition(index >= 0 && index < 2 * (documents + 1), "document \(index / 2) of \(documents)")
    return UInt64(littleEndian: (base + header.tableOffset).assumingMemoryBound(to: UInt64.self)[index])
  }

  /// Documents follow each other without gaps, from the first token to the last, none empty.
  private func checkTable() throws {
    var isGood = entry(0) == 0 && entry(1) == 0 && entry(2 * documents) == tokens
    let end = entry(2 * documents + 1)
    isGood = isGood && (textBytes.map { end == $0 } ?? (end <= TokenShardHeader.limit))
    var index = 0
    while isGood && index < documents {
      isGood = entry(2 * index) < entry(2 * index + 2) && entry(2 * index + 1) <= entry(2 * index + 3)
      index += 1
    }
    guard isGood else {
      throw DataError(
        path, found: "the table of documents is damaged at document \(index)", remedy: "tokenize the text again")
    }
  }
}
