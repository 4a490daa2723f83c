import Foundation
import MMoEData
import MMoEFiles
import MMoEReport
import MMoETensor

/// What `mmoe tokenizer` does beyond a library call.
package enum TokenizerWork {
  /// Learns a tokenizer from text files, taken together, and writes it to a new folder.
  ///
  /// - Throws: `TrainError` for no text at all; `DataError` for a file that cannot be read or is no text, and for the size; `FileFailure` for a folder
  ///   that is not empty or cannot be written.
  package static func train(
    _ files: [String], vocabularySize: Int, to folder: String
  ) throws -> BytePairTokenizer {
    let staged = try StagedFolder(for: folder)
    let tokenizer = try train(files, vocabularySize: vocabularySize)
    try tokenizer.save(to: staged.path)
    try staged.commit()
    return tokenizer
  }

  private static func train(_ files: [String], vocabularySize: Int) throws -> BytePairTokenizer {
    let text = try files.flatMap(read)
    guard !text.isEmpty else {
      throw TrainError(
        "\(files.joined(separator: ", "))", found: "no text", expected: "at least one byte to learn from")
    }
    var trainer = BytePairTrainer(text)
    return try trainer.train(vocabularySize: vocabularySize)
  }

  /// Encodes the lines of a JSONL file with the field `text`.
  ///
  /// - Throws: `TrainError` naming the line that is not such an object.
  package static func encode(
    jsonl file: String, _ tokenizer: BytePairTokenizer, special: Bool, output: (String) -> Void
  ) throws {
    struct Line: Decodable { let text: String }
    try JSONLines.forEach(file, Line.self, expected: "\"text\"") { entry, _ in
      let ids = try special ? tokenizer.encodeWithSpecialTokens(entry.text) : tokenizer.encode(entry.text)
      output("{\"ids\": [" + ids.map(String.init).joined(separator: ", ") + "]}")
    }
  }

  /// What a vocabulary holds, and how well it fits a text.
  package static func describe(_ tokenizer: BytePairTokenizer, text file: String?) throws -> String {
    var lines = "\(tokenizer.vocabularySize) tokens, \(tokenizer.merges.count) merges\n"
    for (name, id) in tokenizer.specialTokens.sorted(by: { $0.value < $1.value }) {
      lines += "special \(id): \(name)\n"
    }
    let longest = tokenizer.tokens.enumerated().sorted { $0.element.count > $1.element.count }.prefix(8)
    lines +=
      "longest tokens: "
      + longest.map { "\($0.offset) \(String(reflecting: String(decoding: $0.element, as: UTF8.self)))" }
      .joined(separator: ", ") + "\n"
    guard let file else { return lines }
    let bytes = try read(file)
    let start = monotonicSeconds()
    let ids = try tokenizer.encode(bytes)
    let seconds = monotonicSeconds() - start
    guard try tokenizer.decode(ids) == bytes else {
      throw TrainError(
        file, found: "decoding gives other bytes than were encoded", remedy: "the vocabulary is inconsistent")
    }
    return lines
      + "\(file): \(HumanFormat.grouped(ids.count)) tokens of \(HumanFormat.grouped(bytes.count)) bytes, "
      + "\(HumanFormat.fixed(Double(bytes.count) / Double(max(ids.count, 1)), 3)) bytes a token, "
      + "\(HumanFormat.fixed(Double(bytes.count) / seconds / 1e6, 1)) MB/s on one thread\n"
  }

  private static func read(_ file: String) throws -> [UInt8] { try readText(file) }
}
