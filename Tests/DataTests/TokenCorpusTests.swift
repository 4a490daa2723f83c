import Foundation
import Testing

@testable import MMoEData

/// Several shards as one row of tokens and documents.
@Suite struct TokenCorpusTests {
  /// Shard borders within documents, at their ends, a document over several shards, and a shard without any token.
  @Test(arguments: [[95], [10, 20, 65], [3, 4, 2, 1, 5, 0, 17, 3], [1, 1, 1, 40], [0, 25]])
  func borders(sizes: [Int]) throws {
    let folder = try TemporaryFolder()
    let corpus = try TokenCorpus(folder.makeShards(sizes), split: .train, tokenizer: ByteTokenizer())
    let total = sizes.reduce(0, +)
    #expect(corpus.tokens == total && corpus.textBytes == total && corpus.documents == (total + 9) / 10)
    for start in 0..<total {
      for end in [start, min(start + 1, total), min(start + 17, total), total] where end >= start {
        #expect(try corpus.ids(start..<end) == (start..<end).map { Int32($0 % 256) })
      }
    }
    for index in 0..<corpus.documents {
      #expect(corpus.document(index) == 10 * index..<min(10 * index + 10, total))
    }
  }

  @Test func measuresText() throws {
    let folder = try TemporaryFolder()
    let text = "  The cat,\nthe caf\u{E9}'s cat\tsat.\n \nEnd"
    var trainer = BytePairTrainer([UInt8](String(repeating: text + " the cat sat. ", count: 30).utf8))
    for tokenizer in [ByteTokenizer() as any Tokenizer, try trainer.train(vocabularySize: 300)] {
      let path = try folder.write("\(tokenizer.fingerprint).txt", [UInt8](text.utf8))
      let made = try CorpusPreparation.prepare(
        data: path, tokenizer: tokenizer, cache: folder.path + "/cache", options: .trainOnly)
      let corpus = try TokenCorpus(made, split: .train, tokenizer: tokenizer)
      #expect(corpus.textBytes == text.utf8.count)
      #expect(try corpus.extent(of: 0..<corpus.tokens) == TextExtent(bytes: text.utf8.count, words: 7))
      // From the middle of a word a word begins too.
      let rest = try corpus.ids(3..<corpus.tokens)
      let words = String(decoding: try tokenizer.decode(rest), as: UTF8.self).split(whereSeparator: \.isWhitespace)
      #expect(try corpus.extent(of: 3..<corpus.tokens)?.words == words.count)
    }
    let anonymous = try TokenCorpus(folder.makeShards([10]), split: .train, tokenizer: nil)
    #expect(try anonymous.extent(of: 0..<10) == nil)
  }

  @Test func foreignAndMissingShards() throws {
    let folder = try TemporaryFolder()
    let path = try folder.makeShards([10, 10, 10])
    func found(_ tokenizer: (any Tokenizer)? = ByteTokenizer(), _ split: DatasetSplit = .train) -> String {
      message { _ = try TokenCorpus(path, split: split, tokenizer: tokenizer) } ?? "nothing"
    }
    #expect(found() == "nothing")
    #expect(found(nil, .val).contains("no val-00000.tokens"))
    var trainer = BytePairTrainer([UInt8]("aaaa aaaa".utf8))
    let other = try trainer.train(vocabularySize: 257)
    #expect(found(other).contains("train-00000.tokens: made with the tokenizer bytes of 256 tokens, expected bpe-257-"))
    let foreign = try TokenShardWriter(path + "/train-00002.tokens", vocabularySize: 300, fingerprint: "other")
    try foreign.append([299], textBytes: 1)
    try foreign.finish()
    #expect(found(nil).contains("train-00002.tokens: made with the tokenizer other of 300 tokens, expected bytes"))
    try FileManager.default.removeItem(atPath: path + "/train-00001.tokens")
    #expect(found().contains("train-00001.tokens: missing beside 2 shards"))
    #expect(
      message { _ = try TokenCorpus(path + "x", split: .train, tokenizer: nil) }?.contains("no such folder") == true)
  }

  /// An id that a damaged file gives must never reach an embedding table.
  @Test func idsBeyondTheVocabulary() throws {
    let folder = try TemporaryFolder()
    let path = try folder.makeShards([40], vocabulary: 1000)
    let file = path + "/train-00000.tokens"
    var bytes = try readFile(file, limit: 1 << 20)
    (bytes[256 + 2 * 17], bytes[257 + 2 * 17]) = (0xE8, 0x03)
    try writeFile(file, bytes)
    let corpus = try TokenCorpus(path, split: .train, tokenizer: nil)
    #expect(try corpus.ids(0..<17).count == 17)
    #expect(message { _ = try corpus.ids(10..<20) }?.contains("token id 1000 among the tokens 10 to 19") == true)
    let loader = try TokenLoader(corpus, options: .init(batchSize: 2, length: 39), order: .overfit)
    for _ in 0..<2 { #expect(message { _ = try loader.next() }?.contains("token id 1000") == true) }
  }
}

extension CorpusTokenizer.Options {
  static var trainOnly: Self {
    var options = Self()
    options.validationShare = 0
    return options
  }
}
