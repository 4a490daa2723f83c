/// Turns bytes into token ids and back. `decode(encode(x)) == x` for all bytes, valid UTF-8 or not.
public protocol Tokenizer: Sendable {
  /// Ids are `0 ..< vocabularySize`.
  var vocabularySize: Int { get }
  /// Ids of ordinary text: special tokens are never recognised in it.
  func encode(_ bytes: [UInt8]) -> [Int32]
  /// The bytes of one id.
  ///
  /// - Throws: `DataError` naming an id beyond the vocabulary.
  func bytes(of id: Int32) throws -> [UInt8]
}

extension Tokenizer {
  /// Ids of a text's UTF-8 bytes.
  public func encode(_ text: String) -> [Int32] { encode([UInt8](text.utf8)) }

  /// The bytes of all ids, one after the other.
  ///
  /// - Throws: `DataError` naming an id beyond the vocabulary.
  public func decode(_ ids: [Int32]) throws -> [UInt8] {
    try ids.reduce(into: []) { $0 += try bytes(of: $1) }
  }
}

/// Every byte is a token.
public struct ByteTokenizer: Tokenizer {
  public let vocabularySize = 256

  public init() {}

  public func encode(_ bytes: [UInt8]) -> [Int32] { bytes.map(Int32.init) }

  public func bytes(of id: Int32) throws -> [UInt8] {
    guard let byte = UInt8(exactly: id) else {
      throw DataError("token id \(id): expected 0 to 255, the ids of the byte tokenizer")
    }
    return [byte]
  }
}
