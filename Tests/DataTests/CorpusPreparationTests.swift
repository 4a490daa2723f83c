import Foundation
import Testing

@testable import MMoEData

/// From a text to a folder of shards, once.
@Suite struct CorpusPreparationTests {
  private let folder: TemporaryFolder
  private var cache: String { folder.path + "/cache" }
  private let text = [UInt8]((0..<400).map { "line number \($0) of a small text\n" }.joined().utf8)

  init() throws { folder = try TemporaryFolder() }

  private func prepare(_ data: String, _ tokenizer: any Tokenizer = ByteTokenizer()) throws -> String {
    try CorpusPreparation.prepare(data: data, tokenizer: tokenizer, cache: cache)
  }

  private func decoded(_ made: String, _ split: DatasetSplit) throws -> [UInt8] {
    let tokenizer = try TokenizerFiles.tokenizer(made + "/tokenizer")
    let corpus = try TokenCorpus(made, split: split, tokenizer: tokenizer)
    return try tokenizer.decode(corpus.ids(0..<corpus.tokens))
  }

  @Test func aTextIsCutAtALine() throws {
    let path = try folder.write("text.txt", text)
    var trainer = BytePairTrainer(text)
    for tokenizer in [ByteTokenizer() as any Tokenizer, try trainer.train(vocabularySize: 300)] {
      let made = try prepare(path, tokenizer)
      let (train, val) = (try decoded(made, .train), try decoded(made, .val))
      #expect(train + val == text)
      #expect(train.last == 0x0A && abs(Double(val.count) / Double(text.count) - 0.1) < 0.01)
      #expect(try TokenizerFiles.tokenizer(made + "/tokenizer").fingerprint == tokenizer.fingerprint)
    }
  }

  /// Made once; made again for another text, another tokenizer and other options; no traces of the making.
  @Test func madeOnce() throws {
    let path = try folder.write("text.txt", text)
    var notes = 0
    func made(_ options: CorpusTokenizer.Options = .init(), _ tokenizer: any Tokenizer = ByteTokenizer()) throws
      -> String
    {
      try CorpusPreparation.prepare(
        data: path, tokenizer: tokenizer, cache: cache, options: options, note: { _ in notes += 1 })
    }
    let first = try made()
    #expect(try made() == first && notes == 1)
    #expect(try made(.trainOnly) != first && notes == 2)
    var trainer = BytePairTrainer(text)
    #expect(try made(.init(), try trainer.train(vocabularySize: 300)) != first && notes == 3)
    try folder.write("text.txt", text + text)
    #expect(try made() != first && notes == 4)
    #expect(try FileManager.default.contentsOfDirectory(atPath: cache).count == 4)
  }

  /// The content decides: a text of the same size and time is another one, the same text in another place is not.
  @Test func namedByContent() throws {
    let path = try folder.write("text.txt", text)
    let old = [timespec(tv_sec: 1000, tv_nsec: 5), timespec(tv_sec: 1000, tv_nsec: 5)]
    #expect(utimensat(AT_FDCWD, path, old, 0) == 0)
    let first = try prepare(path)
    #expect(try prepare(folder.write("elsewhere/text.txt", text)) == first)
    try folder.write("text.txt", text.map { $0 == UInt8(ascii: "m") ? UInt8(ascii: "n") : $0 })
    #expect(utimensat(AT_FDCWD, path, old, 0) == 0)
    let second = try prepare(path)
    #expect(second != first)
    #expect(try decoded(second, .train).contains(UInt8(ascii: "m")) == false)
  }

  /// What changes while it is read is kept under no name.
  @Test func changesWhileReadAreRefused() throws {
    let path = try folder.write("text.txt", text)
    let found = message {
      _ = try CorpusPreparation.prepare(
        data: path, tokenizer: ByteTokenizer(), cache: cache,
        progress: { _, _ in _ = try? folder.write("text.txt", [UInt8](text.reversed())) })
    }
    #expect(found?.contains("has changed while it was read") == true, "\(found ?? "")")
    #expect(try FileManager.default.contentsOfDirectory(atPath: cache).isEmpty)
  }

  /// A name as long as the system allows leaves room for the key.
  @Test func longNames() throws {
    let path = try folder.write(String(repeating: "é", count: 120) + ".txt", text)
    #expect(try decoded(prepare(path), .train).count > 0)
  }

  @Test func foldersOfShardsAreUsedAsTheyAre() throws {
    let made = try prepare(try folder.write("text.txt", text))
    #expect(try prepare(made) == made && prepare(made + "/") == made + "/")
    var trainer = BytePairTrainer(text)
    let other = try trainer.train(vocabularySize: 300)
    let found = message { _ = try prepare(made, other) }
    #expect(found?.contains("made with the tokenizer bytes of 256 tokens, expected bpe-300-") == true, "\(found ?? "")")
  }

  /// What a full disk or a crash of the machine may leave is not trained on.
  @Test func damagedCache() throws {
    let path = try folder.write("text.txt", text)
    let shard = try prepare(path) + "/train-00000.tokens"
    var bytes = try readFile(shard, limit: 1 << 20)
    bytes[600] ^= 1
    try writeFile(shard, bytes)
    let found = message { _ = try prepare(path) }
    #expect(
      found?.contains("checksum differs") == true && found?.contains("remove the folder") == true, "\(found ?? "")")
  }

  @Test func nothingToLearnFrom() throws {
    let empty = try folder.write("empty.txt", [])
    #expect(message { _ = try prepare(empty) }?.contains("empty.txt: 0 bytes of text") == true)
    #expect(message { _ = try prepare(folder.path + "/none.txt") }?.contains("no such file or folder") == true)
    try FileManager.default.createDirectory(atPath: folder.path + "/nothing", withIntermediateDirectories: true)
    try folder.write("nothing/picture.png", [1])
    #expect(message { _ = try prepare(folder.path + "/nothing") }?.contains("no text in this folder") == true)
    try folder.write("blank/a.txt", [])
    try folder.write("blank/b.txt", [])
    #expect(message { _ = try prepare(folder.path + "/blank") }?.contains("no text in any file") == true)
    // Nothing half-made is left.
    #expect((try? FileManager.default.contentsOfDirectory(atPath: cache)) ?? [] == [])
  }
}
