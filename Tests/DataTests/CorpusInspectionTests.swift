import Foundation
import Testing

@testable import MMoEData

/// What `mmoe data inspect` says about texts.
@Suite struct CorpusInspectionTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func write(_ name: String, _ text: String) throws { try folder.write(name, Array(text.utf8)) }

  @Test func namedPartsByHand() throws {
    try write(
      "train.jsonl",
      ["{\"text\": \"one\"}", "", "{\"text\": \"zwölf\"}", "{\"text\": \"one\"}", "{\"text\": \"\"}"].joined(
        separator: "\n"))
    try write("val.jsonl", "{\"text\": \"zwölf\"}\n{\"text\": \"four\"}\n")
    try write("test.jsonl", "{\"text\": \"left out\"}\n")
    let found = try CorpusInspection(path: folder.path)
    let (train, val) = (found.parts[0], found.parts[1])
    #expect(found.files == 2 && found.division == "the files' names say what is train and what is val")
    #expect((train.documents, train.bytes, train.characters) == (3, 12, 11))
    #expect((val.documents, val.bytes, val.characters) == (2, 10, 9))
    #expect(found.emptyDocuments == 1 && found.brokenLines == 0 && train.invalidBytes == 0)
    let file = folder.path + "/train.jsonl"
    #expect(
      train.shortest == .init(place: file + ":1", bytes: 3) && train.longest == .init(place: file + ":3", bytes: 6))
    #expect((found.duplicates.train, found.duplicates.val, found.duplicates.across) == (1, 0, 1))
    #expect(
      found.duplicates.pairs == [
        .init(kind: .across, first: folder.path + "/val.jsonl:1", second: file + ":3"),
        .init(kind: .train, first: file + ":1", second: file + ":4"),
      ])
    #expect(found.leftOut.count == 1)
    let lines = found.text().split(separator: "\n")
    #expect(lines[0] == "\(folder.path): 2 text files, 3 train and 2 val documents")
    #expect(lines.contains { $0.split(separator: " ") == ["characters", "11", "9"] })
    #expect(lines.contains("1 empty document, which training passes over"))
    #expect(lines.contains { $0.hasPrefix("left out: ") })
  }

  /// Documents and bytes of both parts are those that training gets, whatever the rule.
  @Test(arguments: DocumentRule.allCases, [false, true]) func countsAreThoseOfShards(rule: DocumentRule, isFolder: Bool)
    throws
  {
    let parts = (0..<40).map { "= Title \($0 % 30) =\n\nSome tëxt of \($0 % 30).\n<|endoftext|>\n" }
    try write("texts/a.txt", " " + parts.joined(separator: "\n "))
    if isFolder { for number in 0..<20 { try write("texts/b\(number).md", "file \(number % 15)\n") } }
    var options = CorpusTokenizer.Options()
    (options.documents, options.validationShare) = (rule, 0.3)
    let path = folder.path + (isFolder ? "/texts" : "/texts/a.txt")
    let found = try CorpusInspection(path: path, options: options)
    // Every document ends with a line end, so that nothing is added to its text.
    let summary = try CorpusTokenizer(path, tokenizer: ByteTokenizer(), options: options).write(
      to: folder.path + "/shards")
    #expect(found.parts.map(\.documents) == summary.parts.map(\.documents))
    #expect(found.parts.map(\.bytes) == summary.parts.map(\.textBytes))
    // By content, equal documents are on one side.
    #expect(found.duplicates.across == 0)
    let isCut = rule == .file && !isFolder
    #expect(found.duplicates.isEmpty == isCut && found.division.contains(isCut ? "cut at a line" : "content decides"))
  }

  /// A document that is read in parts is one.
  @Test func longDocumentsAreOne() throws {
    let long = String(repeating: "word ", count: 500_000)
    try write("a.txt", long)
    try write("b.txt", long)
    try write("c.txt", "short")
    let found = try CorpusInspection(path: folder.path)
    #expect(found.parts.reduce(0) { $0 + $1.documents } == 3)
    #expect(found.parts.compactMap(\.longest?.bytes).max() == long.utf8.count)
    #expect(found.duplicates.train + found.duplicates.val == 1)
  }

  /// In files that are texts bytes are kept as they are; a line of JSON that is not valid stops training, and is counted here.
  @Test func whatIsNotValid() throws {
    try folder.write("a.txt", Array("ok ".utf8) + [0xFF, 0xC3, 0x28] + Array("\nmore\nlines\nof text".utf8))
    let kept = try CorpusInspection(path: folder.path + "/a.txt")
    #expect(
      kept.parts.reduce(0) { $0 + $1.invalidBytes } == 2 && kept.parts.reduce(0) { $0 + $1.invalidDocuments } == 1)
    #expect(kept.text().contains("1 document has bytes that are no UTF-8; training keeps these bytes as they are"))
    #expect(throws: Never.self) { try kept.requireUsable() }

    let lines = (0..<9).map { Array("{\"text\": \"line \($0)\"}\n".utf8) }
    try folder.write(
      "b.jsonl", Array("{\n".utf8) + lines.joined() + Array("{\"text\": \"".utf8) + [0xFF] + Array("\"}\n".utf8))
    let broken = try CorpusInspection(path: folder.path + "/b.jsonl")
    #expect(broken.brokenLines == 2 && broken.parts.reduce(0) { $0 + $1.documents } == 9)
    let file = folder.path + "/b.jsonl"
    #expect(broken.firstBroken?.hasPrefix("\(file):1: no valid JSON") == true)
    #expect(
      message { try broken.requireUsable() }?.hasPrefix("2 lines are no documents, the first: \(file):1: ") == true)
    let training = message { _ = try CorpusTokenizer(file, tokenizer: ByteTokenizer()).write(to: folder.path + "/out") }
    #expect(training == broken.firstBroken)
  }

  @Test func whatPrevails() throws {
    try write("a/README.md", "x")
    for name in ["1.png", "2.tiff"] { try write("a/\(name)", "") }
    #expect(try !TextInspection.prevails(in: folder.path))
    for name in ["1.txt", "2.jsonl.gz"] { try write("b/\(name)", "") }
    #expect(try TextInspection.prevails(in: folder.path))
  }
}
