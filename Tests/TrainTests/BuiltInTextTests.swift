import Foundation
import MMoEData
import TestSupport
import Testing

@testable import MMoEReport
@testable import MMoETrain

/// The text without `--data`: WordNet's entries, or the command that brings them.
@Suite struct BuiltInTextTests {
  private let scratch = ScratchFolder()
  private let buffer = TextBuffer()

  private func prepare(_ source: String) throws -> String {
    try BuiltInText.prepare(cacheFolder: scratch("cache"), source: source, sink: buffer)
  }

  private func texts(_ path: String) throws -> [String] {
    try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n").map {
      try JSONDecoder().decode([String: String].self, from: Data($0.utf8))["text"] ?? ""
    }
  }

  /// A source of these lines, the same for every part of speech but nouns.
  private func source(_ nouns: [String], others: [String] = []) throws -> String {
    let folder = scratch("wordnet")
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    for (name, lines) in [("noun", nouns), ("verb", others), ("adj", others), ("adv", others)] {
      try lines.map { $0 + "\n" }.joined().write(toFile: "\(folder)/data.\(name)", atomically: true, encoding: .utf8)
    }
    return folder
  }

  @Test func readsEntries() throws {
    let path = try prepare(
      source(
        [
          "  1 This software and database is being provided to you | by",
          "02084071 05 n 03 dog 0 domestic_dog 0 Canis_familiaris 0 002 @ 02083346 n 0000 ~ 01322604 n 0000 | a member of the genus Canis; \"the dog barked all night\"  ",
        ], others: ["00001740 00 a 01 aground(p) 0 000 | stuck | in the shallows"]))
    #expect(
      try texts(path) == [
        "dog, domestic dog, Canis familiaris (noun): a member of the genus Canis; \"the dog barked all night\"\n",
        "aground (verb): stuck | in the shallows\n", "aground (adjective): stuck | in the shallows\n",
        "aground (adverb): stuck | in the shallows\n",
      ])
    #expect(buffer.text.contains("writing the entries of WordNet to \(path)"))
    // The second time nothing is read.
    #expect(try prepare(scratch("nowhere")) == path)
  }

  @Test func missingPackage() throws {
    let error = #expect(throws: DataError.self) { _ = try prepare(scratch("nowhere")) }
    #expect(
      error?.description
        == "\(scratch("nowhere"))/data.noun: missing; the text of --task lm comes from a Debian package: sudo apt-get install -y --no-install-recommends wordnet-base, or name a text with --data"
    )
    #expect(try FileManager.default.contentsOfDirectory(atPath: scratch("cache")).isEmpty)
  }

  @Test func otherFiles() throws {
    for line in [
      "02084071 05 n", "02084071 05 n 0x dog 0 | gloss", "02084071 05 n 02 dog 0 | gloss", "no entry at all",
    ] {
      let error = #expect(throws: DataError.self) { _ = try prepare(source(["  license", line])) }
      #expect(error?.description.contains("data.noun:2: no entry of WordNet 3.0") == true)
    }
  }

  /// The real one: large, ASCII nearly throughout, and divided without leaks.
  @Test(
    .enabled(
      if: FileManager.default.fileExists(atPath: BuiltInText.source + "/data.noun"),
      "needs the Debian package wordnet-base"))
  func wordNet() throws {
    let path = try prepare(BuiltInText.source)
    let found = try texts(path)
    #expect(found.count == 117_659)
    #expect(found.allSatisfy { $0.hasSuffix("\n") && $0.contains("): ") })
    let bytes = found.reduce(0) { $0 + $1.utf8.count }
    #expect(bytes > 12_000_000)
    let shards = scratch("shards")
    let summary = try CorpusTokenizer(path, tokenizer: ByteTokenizer()).write(to: shards)
    #expect(summary.parts.reduce(0) { $0 + $1.documents } == 117_659)
    #expect(summary.parts.reduce(0) { $0 + $1.textBytes } == bytes)
    let share = Double(summary.parts[1].documents) / 117_659
    #expect(abs(share - 0.1) < 0.005)
  }
}
