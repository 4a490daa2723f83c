import Foundation
import MMoEFiles

/// Writes one token shard; the file appears under its name only when it is complete.
package final class TokenShardWriter {
  /// Tokens so far.
  package var tokens: Int { header.tokens }

  private let path: String
  private let file: DurableFile
  private var header: TokenShardHeader
  private let hasher = ContentHasher()
  private var buffer: [UInt8] = []
  private var written = TokenShardHeader.size
  /// Tokens and text bytes before every document.
  private var table: [UInt64] = []
  private var textBytes = 0
  private var isInDocument = false

  private static let bufferSize = 1 << 20

  /// - Parameters:
  ///   - fingerprint: of the tokenizer, at most 64 bytes.
  ///   - continuesDocument: the first document is the rest of one that the shard before begins.
  ///   - knowsText: whether the numbers of bytes given to `append` are true; false for imported tokens.
  /// - Throws: `DataError` when the file cannot be made, or for a fingerprint or vocabulary out of range.
  package init(
    _ path: String, vocabularySize: Int, fingerprint: String, continuesDocument: Bool = false, knowsText: Bool = true
  ) throws {
    guard fingerprint.utf8.count <= 64, 1...(1 << 31) ~= vocabularySize else {
      throw DataError(
        "\(path): tokenizer '\(fingerprint)' of \(vocabularySize) tokens; expected a name of at most 64 bytes and 1 to 2147483648 tokens"
      )
    }
    self.path = path
    file = try DurableFile(path)
    header = TokenShardHeader(vocabularySize: vocabularySize, fingerprint: fingerprint)
    header.continuesDocument = continuesDocument
    header.textBytes = knowsText ? 0 : nil
    buffer.reserveCapacity(TokenShardWriter.bufferSize + 8)
  }

  /// Adds tokens to the current document, or begins one.
  ///
  /// - Parameter textBytes: the bytes that these tokens stand for.
  /// - Throws: `DataError` naming an id beyond the vocabulary, or when the disk is full.
  package func append(_ ids: some Collection<Int32>, textBytes: Int) throws {
    guard !ids.isEmpty else { return }
    if !isInDocument { beginDocument() }
    for id in ids {
      guard id >= 0, Int(id) < header.vocabularySize else {
        throw DataError(path, found: "token id \(id)", expected: "0 to \(header.vocabularySize - 1), the vocabulary")
      }
      if header.tokenBytes == 2 {
        buffer.append(UInt8(truncatingIfNeeded: id))
        buffer.append(UInt8(truncatingIfNeeded: id >> 8))
      } else {
        withUnsafeBytes(of: id.littleEndian) { buffer.append(contentsOf: $0) }
      }
      if buffer.count >= TokenShardWriter.bufferSize { try flush() }
    }
    header.tokens += ids.count
    self.textBytes += textBytes
  }

  /// Ends the current document; without one nothing happens.
  package func endDocument() { isInDocument = false }

  /// Writes what is left and gives the file its name. The writer is then of no more use.
  ///
  /// - Throws: `DataError` when the disk is full.
  package func finish() throws {
    header.documents = table.count / 2
    if header.textBytes != nil { header.textBytes = textBytes }
    buffer += [UInt8](repeating: 0, count: header.tableOffset - written - buffer.count)
    table += [UInt64(header.tokens), UInt64(textBytes)]
    for number in table {
      withUnsafeBytes(of: number.littleEndian) { buffer.append(contentsOf: $0) }
      if buffer.count >= TokenShardWriter.bufferSize { try flush() }
    }
    try flush()
    header.checksum = hasher.value.low
    try header.encoded().withUnsafeBytes { try file.write($0, at: 0) }
    try file.commit()
  }

  private func beginDocument() {
    table += [UInt64(header.tokens), UInt64(textBytes)]
    isInDocument = true
  }

  private func flush() throws {
    try buffer.withUnsafeBytes { bytes in
      hasher.add(bytes)
      try file.write(bytes, at: written)
    }
    written += buffer.count
    buffer.removeAll(keepingCapacity: true)
  }
}
