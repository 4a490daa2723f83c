import Foundation
import MMoEConfig
import MMoEData
import MMoEFiles
import MMoEReport

/// The text that `lm` uses without `--data`: the dictionary entries of WordNet 3.0, one document each.
///
/// Of the English texts that Debian 12 carries, the Debian package `wordnet-base` is the best to learn from: 117,659
/// entries of words, definition and example sentences, 13 MB of modern English of all subjects, in a documented plain
/// format, under a license that allows every use (WordNet license, Princeton University). Each entry stands for itself,
/// so that dividing entries by content leaves no text on both sides. `bible-kjv-text` is 4 MB of 1611's English in a
/// format of its own; collections of fortunes are small and of unclear origin; manuals repeat themselves.
package enum BuiltInText {
  /// Where the Debian package puts its files.
  package static let source = "/usr/share/wordnet"
  /// The Debian package.
  package static let package = "wordnet-base"
  /// Another form of the text needs another version here, or an old file would be taken for a new one.
  package static let fileName = "wordnet-glosses-1.jsonl"

  private static let partsOfSpeech = [("noun", "noun"), ("verb", "verb"), ("adj", "adjective"), ("adv", "adverb")]

  /// Where the text is made without another folder.
  package static var folder: String { FilePath.folder(of: ProjectHome.cached(fileName)) }

  /// The path of the text, a JSONL file with the field `text`; it is made first where it is missing.
  ///
  /// - Throws: `DataError` with the command that installs the package, or when the folder cannot be written.
  package static func prepare(
    cacheFolder: String = BuiltInText.folder, source: String = BuiltInText.source, sink: any TextSink
  ) throws -> String {
    let path = cacheFolder + "/" + fileName
    guard !FileManager.default.fileExists(atPath: path) else { return path }
    do {
      try FileManager.default.createDirectory(atPath: cacheFolder, withIntermediateDirectories: true)
    } catch {
      throw DataError(
        "\(cacheFolder)", found: "cannot be created (\(systemReason(of: error)))", remedy: "name a text with --data")
    }
    sink.line("writing the entries of WordNet to \(path)")
    var content = Data()
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.withoutEscapingSlashes]
    for (file, name) in partsOfSpeech {
      for entry in try entries(of: "\(source)/data.\(file)", name) {
        content += try encoder.encode(["text": entry])
        content.append(0x0A)
      }
    }
    try DurableFile.write(content, to: path)
    return path
  }

  /// `dog, domestic dog, Canis familiaris (noun): a member of the genus Canis …; "the dog barked all night"`.
  ///
  /// A line of WordNet's data files (`man 5 wndb`) is `offset lexfile type count word id [word id …] … | gloss`, the
  /// count in hexadecimal; lines that begin with a space hold the license.
  private static func entries(of file: String, _ partOfSpeech: String) throws -> [String] {
    guard let bytes = FileManager.default.contents(atPath: file) else {
      throw DataError(
        file, found: "missing",
        remedy:
          "the text of --task lm comes from a Debian package: sudo apt-get install -y --no-install-recommends \(package), or name a text with --data"
      )
    }
    let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false)
    return try lines.enumerated().compactMap { index, line -> String? in
      guard let first = line.first, first != " " else { return nil }
      let halves = line.split(separator: "|", maxSplits: 1)
      let fields = halves.first?.split(separator: " ") ?? []
      guard halves.count == 2, fields.count > 3, let count = Int(fields[3], radix: 16), count > 0,
        fields.count >= 4 + 2 * count
      else {
        throw DataError(
          "\(file):\(index + 1)", found: "no entry of WordNet 3.0",
          remedy: "install the package again: sudo apt-get install --reinstall \(package)")
      }
      let words = (0..<count).map { number -> String in
        // `aground(a)`: where an adjective may stand.
        let word = fields[4 + 2 * number]
        return String(word.prefix { $0 != "(" }).replacing("_", with: " ")
      }
      let gloss = halves[1].trimmingCharacters(in: .whitespaces)
      return "\(words.joined(separator: ", ")) (\(partOfSpeech)): \(gloss)\n"
    }
  }
}
