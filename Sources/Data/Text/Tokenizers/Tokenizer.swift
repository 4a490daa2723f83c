import MMoEFiles

/// Turns bytes into token ids and back. `decode(encode(x)) == x` for all bytes that have a token, valid UTF-8 or not.
public protocol Tokenizer: Sendable {
  /// Ids are `0 ..< vocabularySize`.
  var vocabularySize: Int { get }
  /// A name that only this vocabulary has, such as `bytes` or `bpe-8192-53a1…`: equal fingerprints mean that equal
  /// texts have equal ids. At most 64 bytes; stored in token shards and checkpoints.
  var fingerprint: String { get }
  /// The token that ends a document, where the vocabulary has one.
  var endOfText: Int32? { get }
  /// Ids of ordinary text: special tokens are never recognized in it.
  ///
  /// - Throws: `DataError` naming the first byte that the vocabulary lacks, and its place.
  func encode(_ bytes: [UInt8]) throws -> [Int32]
  /// The bytes of one id.
  ///
  /// - Throws: `DataError` naming an id beyond the vocabulary.
  func bytes(of id: Int32) throws -> [UInt8]
  /// Whether an id is a special token, which stands for no bytes of the text.
  func isSpecial(_ id: Int32) -> Bool
  /// Writes the files from which `TokenizerFiles.tokenizer` makes the same tokenizer again.
  ///
  /// - Throws: `DataError` when the folder cannot be written.
  func save(to folder: String) throws
}

extension Tokenizer {
  /// Ids of a text's UTF-8 bytes.
  ///
  /// - Throws: as `encode` of bytes.
  public func encode(_ text: String) throws -> [Int32] { try encode([UInt8](text.utf8)) }

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
  public let fingerprint = "bytes"
  public let endOfText: Int32? = nil

  public init() {}

  public func encode(_ bytes: [UInt8]) -> [Int32] { bytes.map(Int32.init) }

  public func bytes(of id: Int32) throws -> [UInt8] {
    guard let byte = UInt8(exactly: id) else {
      throw DataError("token id \(id): expected 0 to 255, the ids of the byte tokenizer")
    }
    return [byte]
  }

  public func isSpecial(_ id: Int32) -> Bool { false }

  public func save(to folder: String) throws {
    try TokenizerFiles.makeFolder(folder)
    try writeFile(folder + "/" + TokenizerFiles.nameFile, [UInt8]((fingerprint + "\n").utf8))
  }
}
