import Foundation
import MMoEFiles

/// Reads nanoGPT's `train.bin` and `val.bin`: token ids as raw little-endian numbers of 16 or 32 bits without a header.
package enum TokenImport {
  /// What the ids mean, which such a file does not say.
  package enum Vocabulary: Sendable {
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
  ///   - tokenBytes: of an id in the files: 2 or 4.
  /// - Throws: `DataError` for a missing or odd file, an id beyond the vocabulary, or a folder that cannot be written.
  @discardableResult
  package static func write(
    _ input: String, _ vocabulary: Vocabulary, tokenBytes: Int = 2, to folder: String, shardTokens: Int = 100_000_000
  ) throws -> CorpusTokenizer.Summary {
    guard tokenBytes == 2 || tokenBytes == 4 else {
      throw DataError("\(tokenBytes) bytes of an id: expected 2 or 4")
    }
    let largest = tokenBytes == 2 ? 1 << 16 : 1 << 31
    guard 1...largest ~= vocabulary.size else {
      throw DataError(
        "vocabulary of \(vocabulary.size) tokens: expected 1 to \(largest), ids of \(8 * tokenBytes) bits\(tokenBytes == 2 ? "; for ids of 32 bits give --token-bytes 4" : "")"
      )
    }
    let (files, leftOut) = try files(input)
    let staged = try StagedFolder(for: folder)
    var parts: [CorpusTokenizer.Part] = []
    for (split, file) in files {
      var writer = SplitWriter(staged.path, split, vocabulary, shardTokens: shardTokens)
      try copy(file, vocabulary, tokenBytes, to: &writer)
      parts.append(writer.part)
    }
    if case .tokenizer(let tokenizer) = vocabulary { try tokenizer.save(to: staged.path + "/tokenizer") }
    try staged.commit()
    return CorpusTokenizer.Summary(parts: parts, leftOut: leftOut)
  }

  private static func files(_ input: String) throws -> (files: [(DatasetSplit, String)], leftOut: LeftOut) {
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: input, isDirectory: &isFolder) else {
      throw DataError("\(input): no such file or folder; expected nanoGPT's train.bin, or the folder that holds it")
    }
    guard isFolder.boolValue else {
      return ([(TextFiles.namedSplit(FilePath.name(of: input)) ?? .train, input)], LeftOut())
    }
    let found = DatasetSplit.allCases.map { ($0, "\(input)/\($0.rawValue).bin") }
      .filter { FileManager.default.fileExists(atPath: $0.1) }
    guard found.contains(where: { $0.0 == .train }) else {
      throw DataError(input, found: "no train.bin in this folder", remedy: "name the file, or the folder that holds it")
    }
    let listing = try FolderListing(input)
    var leftOut = listing.leftOut
    for entry in listing.entries where !found.contains(where: { $0.1 == "\(input)/\(entry.name)" }) {
      leftOut.add("files beside train.bin and val.bin", entry.name)
    }
    return (found, leftOut)
  }

  private static func copy(
    _ file: String, _ vocabulary: Vocabulary, _ width: Int, to writer: inout SplitWriter
  ) throws {
    let window = TextWindow(try ByteStream(file, of: .numbers))
    var endOfText: Int32?
    if case .tokenizer(let tokenizer) = vocabulary { endOfText = tokenizer.endOfText }
    while true {
      try window.fill(1 << 20)
      guard window.count > 0 else { break }
      let position = window.position / width
      let bytes = window.take(window.count / width * width)
      guard !bytes.isEmpty else {
        throw DataError(
          file, found: "\(window.position + window.count) bytes",
          expected: "a multiple of \(width), the bytes of a token")
      }
      let numbers = stride(from: 0, to: bytes.count, by: width).map { at in
        (0..<width).reduce(0) { $0 | Int(bytes[at + $1]) << (8 * $1) }
      }
      if position == 0 { try requireWidth(numbers, width, file) }
      if let place = numbers.firstIndex(where: { $0 >= vocabulary.size }) {
        throw DataError(
          file, found: "token id \(numbers[place]) at token \(position + place)",
          expected: "at most \(vocabulary.size - 1), the vocabulary",
          remedy: "is it of another tokenizer\(width == 4 ? ", or are the ids of 16 bits (--token-bytes 2)" : "")?")
      }
      for document in numbers.map(Int32.init).split(after: endOfText) {
        try writer.append(Array(document), endsDocument: document.last == endOfText)
      }
    }
    try writer.append([], endsDocument: true)
    try writer.finish()
    guard writer.part.tokens > 0 else { throw DataError(file, found: "empty", expected: "token ids of \(width) bytes") }
  }

  /// Every second number of a text is 0 only where each id takes two of them.
  private static func requireWidth(_ numbers: [Int], _ width: Int, _ file: String) throws {
    let isHalf =
      numbers.count >= 32 && stride(from: 1, to: numbers.count, by: 2).allSatisfy { numbers[$0] == 0 }
      && numbers.contains { $0 != 0 }
    guard isHalf else { return }
    throw DataError(
      "\(file): every second number of \(8 * width) bits is 0, so the ids have \(16 * width) bits; "
        + (width == 2 ? "give --token-bytes 4" : "write them as uint32 and give --token-bytes 4"))
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
