import Foundation
import MMoEFiles

/// Reads and writes byte-level BPE vocabularies: GPT-2's pair of files, and `tokenizer.json` of such models.
public enum TokenizerFiles {
  private static let limit = 256 << 20
  private static let vocabularyNames = ["vocab.json", "encoder.json"]
  private static let mergeNames = ["merges.txt", "vocab.bpe"]

  /// Reads the tokenizer in a folder, or a `tokenizer.json`. Where a folder has both kinds of files, both must say the same.
  ///
  /// - Throws: `DataError` naming file and line or field: missing, malformed, merges of unknown tokens, or a rule that is not
  ///   computed here.
  package static func load(_ path: String) throws -> BytePairTokenizer {
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
      throw DataError(
        "\(path): no such tokenizer; expected a folder with vocab.json and merges.txt, or a tokenizer.json")
    }
    guard isFolder.boolValue else { return try loadJSON(path) }
    func first(_ names: [String]) -> String? {
      names.map { path + "/" + $0 }.first(where: FileManager.default.fileExists(atPath:))
    }
    let json = first(["tokenizer.json"])
    try TokenizerSettings.check(path, hasRules: json != nil)
    guard let vocabulary = first(vocabularyNames), let merges = first(mergeNames) else {
      if let json { return try loadJSON(json) }
      throw DataError(
        "\(path): found no tokenizer; expected vocab.json (encoder.json) with merges.txt (vocab.bpe), or tokenizer.json"
      )
    }
    let pair = try loadPair(vocabulary, merges)
    guard let json else {
      try TokenizerSettings.requireNoMoreTokens(path, than: pair)
      return pair
    }
    let whole = try loadJSON(json)
    try requireSame(whole, json, pair, vocabulary)
    return whole
  }

  /// What GPT-2's two files say; names that text never gives are special.
  private static func loadPair(_ vocabulary: String, _ merges: String) throws -> BytePairTokenizer {
    guard case .object(let fields) = try JSONTree(readFile(vocabulary, limit: limit), file: vocabulary) else {
      throw DataError("\(vocabulary): no JSON object; expected names and ids")
    }
    let names = try fields.map { field in
      guard case .whole(let id) = field.value else {
        throw DataError(
          "\(vocabulary)", field: "'\(field.name.prefix(40))'", found: "\(field.value.description)",
          expected: "a whole number")
      }
      return (name: field.name, id: id)
    }
    let lines = try lines(of: merges).enumerated().filter { !$0.element.hasPrefix("#version") && !$0.element.isEmpty }
    return try BytePairAssembly(names, of: vocabulary).tokenizer(
      lines.map { (pair: TokenizerFiles.names($0.element), place: "\(merges):\($0.offset + 1)") }, added: nil)
  }

  private static func loadJSON(_ path: String) throws -> BytePairTokenizer {
    let document = try TokenizerDocument(readFile(path, limit: limit), file: path)
    return try BytePairAssembly(document.vocabulary, of: path).tokenizer(
      document.merges.enumerated().map { (pair: $0.element, place: "\(path): model.merges[\($0.offset)]") },
      added: document.added.map { ($0.name, $0.id) })
  }

  /// Two vocabularies of one folder: the pair of files may lack added tokens, nothing else.
  private static func requireSame(
    _ whole: BytePairTokenizer, _ json: String, _ pair: BytePairTokenizer, _ vocabulary: String
  ) throws {
    func refuse(_ what: String) -> DataError {
      DataError("\(vocabulary)", found: "\(what) \(json) beside it has", remedy: "remove the file that is wrong")
    }
    guard pair.merges == whole.merges else { throw refuse("its merges are others than those that") }
    func bytes(_ id: Int, _ tokenizer: BytePairTokenizer) -> [UInt8] {
      id < tokenizer.tokens.count ? tokenizer.tokens[id] : []
    }
    for id in 0..<max(whole.tokens.count, pair.tokens.count) where bytes(id, whole) != bytes(id, pair) {
      throw refuse("id \(id) is another token than the one that")
    }
    for (name, id) in pair.specialTokens.sorted(by: { $0.value < $1.value }) where whole.specialTokens[name] != id {
      throw refuse("'\(name.prefix(40))' (id \(id)) is none of the added tokens that")
    }
  }

  /// Writes `vocab.json` and `merges.txt`, which GPT-2's tools read.
  ///
  /// - Throws: `DataError` when the folder cannot be written.
  package static func save(_ tokenizer: BytePairTokenizer, to folder: String) throws {
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
      throw DataError(file, found: "'\(words.joined(separator: " ").prefix(40))'", expected: "the word bytes")
    }
    return ByteTokenizer()
  }

  static func makeFolder(_ folder: String) throws {
    do {
      try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    } catch {
      throw DataError(folder, found: "cannot be created", remedy: "choose a folder that you can write to")
    }
  }

  // MARK: Reading

  private static func lines(of path: String) throws -> [String] {
    // By bytes: a `Character` may be a whole `\r\n`, or a blank with an accent on it.
    try readFile(path, limit: limit).split(separator: 0x0A, omittingEmptySubsequences: false)
      .map { String(decoding: $0.last == 0x0D ? $0.dropLast() : $0, as: UTF8.self) }
  }

  /// The two names of a merge.
  static func names(_ line: String) -> [String] {
    line.utf8.split(separator: 0x20).map { String(Substring($0)) }
  }
}
