import Foundation

/// Reads and writes byte-level BPE vocabularies: GPT-2's pair of files, and `tokenizer.json` of such models.
public enum TokenizerFiles {
  private static let limit = 256 << 20
  private static let vocabularyNames = ["vocab.json", "encoder.json"]
  private static let mergeNames = ["merges.txt", "vocab.bpe"]

  /// Reads the tokenizer in a folder, or a `tokenizer.json`.
  ///
  /// - Throws: `DataError` naming file and line: missing, malformed, or merges of unknown tokens.
  public static func load(_ path: String) throws -> BytePairTokenizer {
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
      throw DataError(
        "\(path): no such tokenizer; expected a folder with vocab.json and merges.txt, or a tokenizer.json")
    }
    guard isFolder.boolValue else { return try loadJSON(path) }
    func first(_ names: [String]) -> String? {
      names.map { path + "/" + $0 }.first(where: FileManager.default.fileExists(atPath:))
    }
    if let vocabulary = first(vocabularyNames), let merges = first(mergeNames) {
      let lines = try lines(of: merges).enumerated().filter { !$0.element.hasPrefix("#version") && !$0.element.isEmpty }
      return try assemble(
        try decode([String: Int32].self, vocabulary), vocabulary,
        lines.map { (pair: names($0.element), place: "\(merges):\($0.offset + 1)") },
        named: [:])
    }
    guard FileManager.default.fileExists(atPath: path + "/tokenizer.json") else {
      throw DataError(
        "\(path): found no tokenizer; expected vocab.json (encoder.json) with merges.txt (vocab.bpe), or tokenizer.json"
      )
    }
    return try loadJSON(path + "/tokenizer.json")
  }

  /// Writes `vocab.json` and `merges.txt`, which GPT-2's tools read.
  ///
  /// - Throws: `DataError` when the folder cannot be written.
  public static func save(_ tokenizer: BytePairTokenizer, to folder: String) throws {
    try makeFolder(folder)
    let names = tokenizer.tokens.map { String(String.UnicodeScalarView($0.map { ByteAlphabet.scalars[Int($0)] })) }
    var vocabulary = tokenizer.specialTokens
    for (id, name) in names.enumerated() where !name.isEmpty && !tokenizer.isSpecial(Int32(id)) {
      vocabulary[name] = Int32(id)
    }
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys]
    try writeFile(folder + "/vocab.json", [UInt8](encoder.encode(vocabulary)))
    let lines = tokenizer.merges.map { names[Int($0.left)] + " " + names[Int($0.right)] }
    try writeFile(
      folder + "/merges.txt", [UInt8]((["#version: 0.2"] + lines).joined(separator: "\n").utf8) + [10])
  }

  /// The file of a tokenizer that needs none but its name.
  static let nameFile = "tokenizer.txt"

  /// The byte tokenizer for the word `bytes`, or what a folder or `tokenizer.json` holds.
  ///
  /// - Throws: `DataError` naming what is missing or broken.
  public static func tokenizer(_ name: String) throws -> any Tokenizer {
    if name == ByteTokenizer().fingerprint { return ByteTokenizer() }
    let file = name + "/" + nameFile
    guard FileManager.default.fileExists(atPath: file) else { return try load(name) }
    let found = String(decoding: try readFile(file, limit: 1 << 20), as: UTF8.self)
    let words = found.split(whereSeparator: \.isWhitespace)
    guard words == ["bytes"] else {
      throw DataError("\(file): '\(words.joined(separator: " ").prefix(40))', expected the word bytes")
    }
    return ByteTokenizer()
  }

  static func makeFolder(_ folder: String) throws {
    do {
      try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    } catch {
      throw DataError("\(folder): cannot be created; choose a folder that you can write to")
    }
  }

  // MARK: Reading

  /// The parts of a `tokenizer.json` that a byte-level BPE needs.
  private struct Document: Decodable {
    struct Model: Decodable {
      let type: String?
      let vocab: [String: Int32]
      let merges: [Pair]
    }
    struct AddedToken: Decodable {
      let id: Int32
      let content: String
    }
    struct PreTokenizer: Decodable {
      let type: String
      let pretokenizers: [PreTokenizer]?
    }
    /// `"a b"` in older files, `["a", "b"]` in newer ones.
    struct Pair: Decodable {
      let parts: [String]
      init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if let text = try? container.decode(String.self) {
          parts = TokenizerFiles.names(text)
        } else {
          parts = try container.decode([String].self)
        }
      }
    }
    let model: Model
    let addedTokens: [AddedToken]?
    let preTokenizer: PreTokenizer?

    enum CodingKeys: String, CodingKey {
      case model
      case addedTokens = "added_tokens"
      case preTokenizer = "pre_tokenizer"
    }
  }

  private static func loadJSON(_ path: String) throws -> BytePairTokenizer {
    let document = try decode(Document.self, path)
    let kinds = document.preTokenizer.map { [$0.type] + ($0.pretokenizers ?? []).map(\.type) } ?? []
    guard document.model.type ?? "BPE" == "BPE", kinds.contains("ByteLevel") else {
      throw DataError(
        "\(path): model \(document.model.type ?? "unknown") with pre-tokenizer \(kinds.joined(separator: ", ")); expected BPE with ByteLevel, as GPT-2's"
      )
    }
    return try assemble(
      document.model.vocab, path,
      document.model.merges.enumerated().map { (pair: $0.element.parts, place: "\(path): merge \($0.offset + 1)") },
      named: Dictionary((document.addedTokens ?? []).map { ($0.content, $0.id) }, uniquingKeysWith: { $1 }))
  }

  /// - Parameter named: tokens whose names are plain text, not the byte alphabet's.
  private static func assemble(
    _ vocabulary: [String: Int32], _ file: String, _ lines: [(pair: [String], place: String)],
    named: [String: Int32]
  ) throws -> BytePairTokenizer {
    let ids = Array(vocabulary.values) + named.values
    guard let first = ids.min(), let last = ids.max(), first >= 0, last < 1 << 24 else {
      throw DataError("\(file): ids from \(ids.min() ?? 0) to \(ids.max() ?? -1); expected 0 to at most 16777215")
    }
    try requireOneName(vocabulary.merging(named) { $1 }, file)
    var tokens = [[UInt8]](repeating: [], count: Int(last) + 1)
    var special = named
    for (name, id) in vocabulary where named[name] == nil {
      guard let bytes = ByteAlphabet.bytes(of: name) else {
        special[name] = id
        continue
      }
      tokens[Int(id)] = bytes
    }
    var made: Set<Int32> = []
    let merges = try lines.map { line in
      guard line.pair.count == 2 else {
        throw DataError("\(line.place): \(line.pair.count) names found, two expected, divided by a space")
      }
      let (left, right) = (line.pair[0], line.pair[1])
      guard let a = vocabulary[left], let b = vocabulary[right], let result = vocabulary[left + right] else {
        let unknown = [left, right, left + right].first { vocabulary[$0] == nil } ?? ""
        throw DataError("\(line.place): the token '\(unknown)' is not in \(file); both files must be of one vocabulary")
      }
      made.insert(result)
      return BytePairTokenizer.Merge(left: a, right: b, result: result)
    }
    // What no merge makes and no byte is can only be meant as special.
    for (name, id) in vocabulary where tokens[Int(id)].count > 1 && !made.contains(id) { special[name] = id }
    return try BytePairTokenizer(tokens: tokens, merges: merges, specialTokens: special, name: file)
  }

  /// Two names of one id would give back other text than was encoded.
  private static func requireOneName(_ vocabulary: [String: Int32], _ file: String) throws {
    var names: [Int32: String] = [:]
    for (name, id) in vocabulary {
      guard let other = names.updateValue(name, forKey: id) else { continue }
      throw DataError(
        "\(file): the id \(id) has two names, '\(min(name, other))' and '\(max(name, other))'; expected one for each id"
      )
    }
  }

  private static func decode<Value: Decodable>(_ type: Value.Type, _ path: String) throws -> Value {
    let bytes = try readFile(path, limit: limit)
    do {
      return try JSONDecoder().decode(type, from: Data(bytes))
    } catch DecodingError.dataCorrupted {
      throw DataError("\(path): no valid JSON; expected a vocabulary")
    } catch {
      throw DataError("\(path): valid JSON, but not the layout of a byte-level BPE vocabulary")
    }
  }

  private static func lines(of path: String) throws -> [String] {
    // By bytes: a `Character` may be a whole `\r\n`, or a blank with an accent on it.
    try readFile(path, limit: limit).split(separator: 0x0A, omittingEmptySubsequences: false)
      .map { String(decoding: $0.last == 0x0D ? $0.dropLast() : $0, as: UTF8.self) }
  }

  /// The two names of a merge.
  private static func names(_ line: String) -> [String] {
    line.utf8.split(separator: 0x20).map { String(Substring($0)) }
  }
}

/// GPT-2's spelling of bytes as visible characters: printable Latin-1 stands for itself, the rest follows from U+0100 on.
enum ByteAlphabet {
  static let scalars: [Unicode.Scalar] = {
    var next: UInt32 = 256
    return (0..<256).map { (byte: UInt32) -> Unicode.Scalar in
      let isVisible = (33...126).contains(byte) || (161...172).contains(byte) || (174...255).contains(byte)
      defer { if !isVisible { next += 1 } }
      return Unicode.Scalar(isVisible ? byte : next)!
    }
  }()

  private static let bytes: [Unicode.Scalar: UInt8] = Dictionary(
    uniqueKeysWithValues: scalars.enumerated().map { ($1, UInt8($0)) })

  /// The bytes that a name spells, or nil where a character is not of the alphabet.
  static func bytes(of name: String) -> [UInt8]? {
    var result: [UInt8] = []
    for scalar in name.unicodeScalars {
      guard let byte = bytes[scalar] else { return nil }
      result.append(byte)
    }
    return result
  }
}
