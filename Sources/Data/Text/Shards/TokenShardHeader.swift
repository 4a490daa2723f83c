import MMoEFiles

/// The first 256 bytes of a token shard. All numbers are little-endian.
///
/// | bytes | what |
/// |---|---|
/// | 0–7 | `MMoETOK\n` |
/// | 8–11 | version of the layout |
/// | 12–15 | bytes of a token: 2 or 4 |
/// | 16–23 | vocabulary size |
/// | 24–31 | tokens |
/// | 32–39 | documents, a part of one at either end counted as one |
/// | 40–47 | bytes of the text, or all ones where nobody knows |
/// | 48–51 | 1 where the first document goes on from the shard before |
/// | 56–63 | checksum of everything after the header |
/// | 64–127 | the tokenizer's fingerprint, padded with zeros |
/// | 248–255 | checksum of the bytes 0–247 |
///
/// Then the tokens, zeros up to a multiple of 8, and the table of documents: for every document and for the end the
/// number of tokens and of text bytes before it.
struct TokenShardHeader: Equatable {
  static let size = 256
  static let version = 1
  /// More is no file of this century, and products of such numbers do not overflow.
  static let limit = 1 << 48

  var tokenBytes: Int
  var vocabularySize: Int
  var tokens = 0
  var documents = 0
  /// Nil where the text is unknown.
  var textBytes: Int?
  var continuesDocument = false
  var checksum: UInt64 = 0
  var fingerprint: String

  /// - Parameter fingerprint: at most 64 bytes.
  init(vocabularySize: Int, fingerprint: String) {
    tokenBytes = TokenShardHeader.tokenBytes(vocabularySize)
    self.vocabularySize = vocabularySize
    self.fingerprint = fingerprint
  }

  /// 16 bits hold the ids of a vocabulary of up to 65,536 tokens.
  static func tokenBytes(_ vocabularySize: Int) -> Int { vocabularySize <= 1 << 16 ? 2 : 4 }

  /// Where the table of documents begins.
  var tableOffset: Int { TokenShardHeader.size + (tokens * tokenBytes + 7) / 8 * 8 }
  /// The size of the whole file.
  var fileSize: Int { tableOffset + (documents + 1) * 16 }

  func encoded() -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: TokenShardHeader.size)
    bytes.withUnsafeMutableBytes { raw in
      raw.copyBytes(from: TokenShardMark.bytes)
      func put<Number: FixedWidthInteger>(_ number: Number, _ offset: Int) {
        raw.storeBytes(of: number.littleEndian, toByteOffset: offset, as: Number.self)
      }
      put(UInt32(TokenShardHeader.version), 8)
      put(UInt32(tokenBytes), 12)
      put(UInt64(vocabularySize), 16)
      put(UInt64(tokens), 24)
      put(UInt64(documents), 32)
      put(textBytes.map(UInt64.init) ?? .max, 40)
      put(UInt32(continuesDocument ? 1 : 0), 48)
      put(checksum, 56)
      raw[64..<128].copyBytes(from: fingerprint.utf8.prefix(64))
      put(ContentHash(UnsafeRawBufferPointer(raw[..<248].rebased)).low, 248)
    }
    return bytes
  }

  /// - Throws: `DataError` naming the file and the field.
  init(_ bytes: [UInt8], of path: String) throws {
    let remedy = "tokenize the text again"
    guard bytes.starts(with: TokenShardMark.bytes) else {
      throw DataError("\(path): no token shard; expected a file made by mmoe data tokenize or import-bin")
    }
    guard bytes.count == TokenShardHeader.size else {
      throw DataError(
        path, found: "\(bytes.count) bytes, a token shard has at least 256", remedy: "the tail is cut, \(remedy)")
    }
    func get<Number: FixedWidthInteger>(_ offset: Int, _ type: Number.Type) -> Number {
      bytes.withUnsafeBytes { Number(littleEndian: $0.loadUnaligned(fromByteOffset: offset, as: type)) }
    }
    let version = get(8, UInt32.self)
    guard version == TokenShardHeader.version else {
      throw DataError(
        path, found: "layout version \(version)", expected: "\(TokenShardHeader.version)",
        remedy: "\(remedy) with this version of mmoe")
    }
    let hash = bytes.withUnsafeBytes { ContentHash(UnsafeRawBufferPointer(rebasing: $0[..<248])).low }
    guard hash == get(248, UInt64.self) else {
      throw DataError(path, found: "the header is damaged, its checksum differs", remedy: remedy)
    }
    func count(_ field: String, _ offset: Int, _ range: ClosedRange<Int>) throws -> Int {
      let value = get(offset, UInt64.self)
      guard let count = Int(exactly: value), range.contains(count) else {
        throw DataError(
          path, field: "\(field)", found: "\(value)", expected: "\(range.lowerBound) to \(range.upperBound)",
          remedy: remedy)
      }
      return count
    }
    vocabularySize = try count("vocabulary size", 16, 1...(1 << 31))
    tokenBytes = Int(get(12, UInt32.self))
    guard tokenBytes == TokenShardHeader.tokenBytes(vocabularySize) else {
      throw DataError(
        path, found: "\(tokenBytes) bytes a token",
        expected: "\(TokenShardHeader.tokenBytes(vocabularySize)) for \(vocabularySize) tokens", remedy: remedy)
    }
    tokens = try count("tokens", 24, 0...TokenShardHeader.limit)
    documents = try count("documents", 32, 0...tokens)
    textBytes = get(40, UInt64.self) == .max ? nil : try count("text bytes", 40, 0...TokenShardHeader.limit)
    continuesDocument = get(48, UInt32.self) == 1
    checksum = get(56, UInt64.self)
    fingerprint = String(decoding: bytes[64..<128].prefix { $0 != 0 }, as: UTF8.self)
  }

}

extension Slice where Base == UnsafeMutableRawBufferPointer {
  fileprivate var rebased: UnsafeMutableRawBufferPointer { UnsafeMutableRawBufferPointer(rebasing: self) }
}
