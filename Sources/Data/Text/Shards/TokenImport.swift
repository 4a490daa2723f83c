import Foundation
import MMoEFiles

/// Reads nanoGPT's `train.bin` and `val.bin`: token ids as raw 16-bit numbers without a header.
public enum TokenImport {
  /// What the ids mean, which such a file does not say.
  public enum Vocabulary: Sendable {
    /// Ids below this number, of a tokenizer that is not at hand: the text cannot be measured or shown.
    case size(Int)
    case tokenizer(any Tokenizer)

    var size: Int {
      switch self {
      case .size(let size): size
      case .tokenizer(let tokenizer): tokenizer.vocabularySize
      }
    }
  }

  /// Writes a folder of shards.
  ///
  /// - Parameters:
  ///   - input: a `.bin` file, or a folder with `train.bin` and perhaps `val.bin`. A single file is for training, unless
  ///     its name says `val`.
  ///   - vocabulary: with a tokenizer its end-of-text tokens end documents; without one a file is one document.
  /// - Throws: `DataError` for a missing or odd file, an id beyond the vocabulary, or a folder that cannot be written.
  @discardableResult
  public static func write(
    _ input: String, _ vocabulary: Vocabulary, to folder: String, shardTokens: Int = 100_000_000
  ) throws -> CorpusTokenizer.Summary {
    guard 1...65_536 ~= vocabulary.size else {
      throw DataError("vocabulary of \(vocabulary.size) tokens: expected 1 to 65536, ids of 16 bits")
    }
    let files = try files(input)
    let staged = try StagedFolder(for: folder)
    var parts: [CorpusTokenizer.Part] = []
    for (split, file) in files {
      var writer = SplitWriter(staged.path, split, vocabulary, shardTokens: shardTokens)
      try copy(file, vocabulary, to: &writer)
      parts.append(writer.part)
    }
    if case .tokenizer(let tokenizer) = vocabulary { try tokenizer.save(to: staged.path + "/tokenizer") }
    try staged.commit()
    return CorpusTokenizer.Summary(parts: parts, leftOut: [])
  }

  private static func files(_ input: String) throws -> [(DatasetSplit, String)] {
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: input, isDirectory: &isFolder) else {
      throw DataError("\(input): no such file or folder; expected nanoGPT's train.bin, or the folder that holds it")
    }
    guard isFolder.boolValue else {
      return [(TextFiles.namedSplit(FilePath.name(of: input)) ?? .train, input)]
    }
    let found = DatasetSplit.allCases.map { ($0, "\(input)/\($0.rawValue).bin") }
      .filter { FileManager.default.fileExists(atPath: $0.1) }
    guard found.contains(where: { $0.0 == .train }) else {
      throw DataError("\(input): no train.bin in this folder; name the file, or the folder that holds it")
    }
    return found
  }

  private static func copy(_ file: String, _ vocabulary: Vocabulary, to writer: inout SplitWriter) throws {
    let window = TextWindow(try ByteStream(file))
    var endOfText: Int32?
    if case .tokenizer(let tokenizer) = vocabulary { endOfText = tokenizer.endOfText }
    while true {
      try window.fill(1 << 20)
      guard window.count > 0 else { break }
      let position = window.position / 2
      let bytes = window.take(window.count / 2 * 2)
      guard !bytes.isEmpty else {
        throw DataError("\(file): \(window.position + 1) bytes, expected an even number, two for a token")
      }
      let ids = stride(from: 0, to: bytes.count, by: 2).map { Int32(bytes[$0]) | Int32(bytes[$0 + 1]) << 8 }
      if let place = ids.firstIndex(where: { $0 >= vocabulary.size }) {
        throw DataError(
          "\(file): token id \(ids[place]) at token \(position + place), expected at most \(vocabulary.size - 1), the vocabulary; is it of another tokenizer?"
        )
      }
      for document in ids.split(after: endOfText) {
        try writer.append(Array(document), endsDocument: document.last == endOfText)
      }
    }
    try writer.append([], endsDocument: true)
    try writer.finish()
    guard writer.part.tokens > 0 else { throw DataError("\(file): empty, expected token ids of two bytes") }
  }
}

extension Array where Element: Equatable {
  /// Parts that end with an element; one part where it is nil.
  fileprivate func split(after end: Element?) -> [ArraySlice<Element>] {
    guard let end else { return [self[...]] }
    var parts: [ArraySlice<Element>] = []
    var start = 0
    for (index, element) in enumerated() where element == end {
      parts.append(self[start...index])
      start = index + 1
    }
    if start < count { parts.append(self[start...]) }
    return parts
  }
}
