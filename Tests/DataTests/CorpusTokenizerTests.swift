import Foundation
import MMoETensor
import Testing

@testable import MMoEData

/// Text of all kinds to shards: nothing is lost, nothing leaks, and threads do not matter.
@Suite struct CorpusTokenizerTests {
  private let folder: TemporaryFolder
  private let tokenizer: BytePairTokenizer

  init() throws {
    folder = try TemporaryFolder()
    var trainer = BytePairTrainer(TokenizerTests.text)
    let plain = try trainer.train(vocabularySize: 330)
    tokenizer = try BytePairTokenizer(
      tokens: plain.tokens + [[UInt8]("<|endoftext|>".utf8)], merges: plain.merges,
      specialTokens: ["<|endoftext|>": Int32(plain.tokens.count)])
  }

  /// Sentences that depend on a number alone.
  private func sentence(_ number: Int) -> String {
    let random = CounterRandom(seed: UInt64(number), purpose: .test, a: 4)
    let words = ["the cat", "sat on", "the mat;", "that's", "日本", "another", "other", "é"]
    return "\(number): "
      + (0..<5 + number % 50).map { words[random.integer(UInt64($0), below: 8)] }.joined(separator: " ")
  }

  private func write(
    _ path: String, _ name: String, _ tokenizer: (any Tokenizer)? = nil, threads: Int = 2,
    limits: PieceReader.Limits = .init(), _ change: (inout CorpusTokenizer.Options) -> Void = { _ in }
  ) throws -> (folder: String, summary: CorpusTokenizer.Summary) {
    var options = CorpusTokenizer.Options()
    change(&options)
    let made = folder.path + "/" + name
    let work = try CorpusTokenizer(path, tokenizer: tokenizer ?? self.tokenizer, options: options, limits: limits)
    return (made, try work.write(to: made, threads: threads))
  }

  private func documents(_ made: String, _ split: DatasetSplit) throws -> [String] {
    let tokenizer = try TokenizerFiles.tokenizer(made + "/tokenizer")
    let corpus = try TokenCorpus(made, split: split, tokenizer: tokenizer)
    try corpus.verify()
    return try (0..<corpus.documents).map { index in
      var ids = try corpus.ids(corpus.document(index))
      if let end = tokenizer.endOfText { #expect(ids.popLast() == end) }
      return String(decoding: try tokenizer.decode(ids), as: UTF8.self)
    }
  }

  private func jsonLines(_ name: String, _ texts: [String], field: String = "text") throws -> String {
    let lines = try texts.map { String(decoding: try JSONEncoder().encode([field: $0, "id": "x"]), as: UTF8.self) }
    return try folder.write(name, [UInt8](lines.joined(separator: "\n").utf8))
  }

  /// The same files for any number of threads, and for parts of any size.
  @Test func threadsDoNotMatter() throws {
    let path = try jsonLines("many.jsonl", (0..<20_000).map(sentence))
    let long = try folder.write("long.txt", [UInt8]((0..<20_000).map { sentence($0) + "\n" }.joined().utf8))
    for (number, input) in [path, long].enumerated() {
      let one = try folder.contents(of: try write(input, "\(number)-1", threads: 1) { $0.shardTokens = 50_000 }.folder)
      #expect(one.count > 8)
      for threads in [2, 3, 8] {
        let limits = PieceReader.Limits(part: 10_000 * threads)
        let made = try write(input, "\(number)-\(threads)", threads: threads, limits: limits) {
          $0.shardTokens = 50_000
        }
        #expect(try folder.contents(of: made.folder) == one)
      }
    }
  }

  /// Every document is on one side, whole, in order; the sizes are those of the text.
  @Test(arguments: [300, 5000, 100_000_000]) func nothingIsLost(shardTokens: Int) throws {
    let texts = (0..<600).map(sentence)
    let path = try jsonLines("a.jsonl.gz", texts)
    try writeFile(path, PackedText.gzip(try readFile(path, limit: 1 << 30)))
    for (name, tokenizer) in [("bpe", tokenizer as any Tokenizer), ("bytes", ByteTokenizer())] {
      let (made, summary) = try write(path, "\(name)-made", tokenizer) { $0.shardTokens = shardTokens }
      let (train, val) = (try documents(made, .train), try documents(made, .val))
      let end = name == "bpe" ? "" : "\n"
      #expect((train + val).sorted() == texts.map { $0 + end }.sorted())
      let order = Dictionary(uniqueKeysWithValues: texts.enumerated().map { ($1 + end, $0) })
      for side in [train, val] { #expect(side.map { order[$0]! } == side.map { order[$0]! }.sorted()) }
      #expect(30...90 ~= val.count, "\(val.count) of 600 at a share of a tenth")
      #expect(summary.parts.map(\.documents) == [train.count, val.count])
      #expect(summary.parts.map(\.textBytes) == [train, val].map { $0.reduce(0) { $0 + $1.utf8.count } })
      let inspection = try ShardInspection(path: made)
      #expect(inspection.parts.map(\.tokens) == summary.parts.map(\.tokens))
      #expect(inspection.parts.map(\.documents) == [train.count, val.count])
      #expect(inspection.parts.allSatisfy { part in part.shards.dropLast().allSatisfy { $0.tokens == shardTokens } })
    }
  }

  /// Equal documents are on one side wherever they stand, in whichever file.
  @Test func duplicatesDoNotLeak() throws {
    let texts = (0..<3000).map { sentence($0 * 17 % 400) }
    for number in 0..<3 { _ = try jsonLines("set/\(number).jsonl", Array(texts[number * 1000..<number * 1000 + 1000])) }
    let made = try write(folder.path + "/set", "made") { $0.validationShare = 0.3 }.folder
    let (train, val) = (try documents(made, .train), try documents(made, .val))
    #expect(train.count + val.count == 3000 && val.count > 300)
    #expect(Set(train).isDisjoint(with: val))
    // The same document is on the same side in another corpus, and elsewhere with another seed.
    let other = try write(try jsonLines("other.jsonl", (0..<400).map(sentence)), "other") { $0.validationShare = 0.3 }
      .folder
    #expect(Set(try documents(other, .val)) == Set(val))
    let reseeded = try write(folder.path + "/set", "reseeded") { ($0.validationShare, $0.seed) = (0.3, 1) }.folder
    #expect(Set(try documents(reseeded, .val)) != Set(val))
  }

  /// Equal files in a folder, larger than a part.
  @Test func equalFilesDoNotLeak() throws {
    for number in 0..<60 {
      try folder.write("set/\(number).txt", [UInt8](String(repeating: sentence(number % 20) + "\n", count: 40).utf8))
    }
    let made = try write(folder.path + "/set", "made", limits: .init(part: 500)) { $0.validationShare = 0.4 }.folder
    let (train, val) = (try documents(made, .train), try documents(made, .val))
    #expect(train.count + val.count == 60 && Set(train).isDisjoint(with: val))
    #expect(train.count % 3 == 0 && val.count % 3 == 0 && !val.isEmpty)
  }

  /// Few documents: both sides get one, or it is said that this cannot be.
  @Test(arguments: 0..<12) func fewDocuments(seed: UInt64) throws {
    for share in [0.0001, 0.5, 0.9999] {
      let path = try jsonLines("few.jsonl", (0..<2).map(sentence))
      let made = try write(path, "made-\(share)") { ($0.validationShare, $0.seed) = (share, seed) }.folder
      #expect(try documents(made, .train).count == 1 && documents(made, .val).count == 1)
    }
    let equal = try jsonLines("equal.jsonl", [sentence(1), sentence(1)])
    #expect(message { _ = try write(equal, "a") }?.contains("all 2 documents are equal") == true)
    let one = try jsonLines("one.jsonl", [sentence(1), ""])
    #expect(message { _ = try write(one, "a") }?.contains("one document only") == true)
    #expect(try write(one, "whole") { $0.validationShare = 0 }.summary.parts.map(\.documents) == [1, 0])
  }

  @Test func namesOfFilesDecide() throws {
    try folder.write("set/train.txt", [UInt8]("a cat\n".utf8))
    try folder.write("set/valid.txt", [UInt8]("a mat\n".utf8))
    try folder.write("set/test.txt", [UInt8]("a hat\n".utf8))
    let (made, summary) = try write(folder.path + "/set", "made") { $0.validationShare = 0.9 }
    #expect(try documents(made, .train) == ["a cat\n"] && documents(made, .val) == ["a mat\n"])
    #expect(summary.leftOut.kinds.map(\.first) == ["test.txt"])
  }

  /// A text is cut at the line nearest after the wanted place; without lines at a character.
  @Test(arguments: [
    ("aaaa\nbbbb\ncccc\ndddd\n", 0.25, "aaaa\nbbbb\ncccc\n"), ("aaaa\nbbbb\ncccc\ndddd\n", 0.3, "aaaa\nbbbb\ncccc\n"),
    ("aaaa\nbbbbbbbbbbbbbbbb", 0.1, "aaaa\n"), ("aaaaaaaaaa", 0.2, "aaaaaaaa"), ("aaaaééé", 0.5, "aaaaé"),
    ("ab", 0.999, "a"), ("ab", 0.001, "a"), ("\n\n", 0.5, "\n"),
  ]) func cuts(text: String, share: Double, train: String) throws {
    let path = try folder.write("a.txt", [UInt8](text.utf8))
    let made = try write(path, "made", ByteTokenizer()) { $0.validationShare = share }.folder
    let found = (try documents(made, .train), try documents(made, .val))
    #expect(found.0 == [train] && found.0[0] + found.1[0] == text)
  }

  /// A long text packed three ways, cut at the same place.
  @Test func packedTextIsCutAtTheSamePlace() throws {
    let text = [UInt8]((0..<20_000).map { sentence($0) + "\n" }.joined().utf8)
    var made: [[String: [UInt8]]] = []
    for (name, bytes) in [("a.txt", text), ("b.txt.gz", PackedText.gzip(text)), ("c.txt.zst", PackedText.zstd(text))] {
      made.append(try folder.contents(of: try write(try folder.write(name, bytes), name + "-made").folder))
    }
    #expect(made[0] == made[1] && made[0] == made[2] && made[0].count == 4)
  }

  // MARK: Bad input

  @Test func brokenText() throws {
    let lines = (0..<900).map { "{\"text\": \"\(sentence($0))\"}" }
    let broken = try folder.write(
      "b.jsonl", [UInt8]((lines + ["{\"text\": oops}"] + lines).joined(separator: "\n").utf8))
    for threads in [1, 4] {
      let found = message { _ = try write(broken, "made", threads: threads) }
      #expect(found == "\(broken):901: no valid JSON; mend or remove the line")
    }
    let field = try jsonLines("f.jsonl", (0..<9).map(sentence), field: "body")
    #expect(
      message { _ = try write(field, "made") }?.contains("f.jsonl:1: expected an object with the text field \"text\"")
        == true)
    #expect(try write(field, "body") { $0.field = "body" }.summary.parts.reduce(0) { $0 + $1.documents } == 9)
    let cut = try folder.write("c.txt.gz", Array(PackedText.gzip([UInt8](sentence(1).utf8)).dropLast(3)))
    #expect(message { _ = try write(cut, "made") }?.contains("c.txt.gz: ends in the middle of its gzip data") == true)
    let silent = try folder.write("silent/train.txt", [])
    try folder.write("silent/val.txt", [0x61])
    #expect(
      message { _ = try write((silent as NSString).deletingLastPathComponent, "made") }?.contains(
        "no text in any file for training") == true)
    // Nothing half-made stays.
    #expect(!FileManager.default.fileExists(atPath: folder.path + "/made"))
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).allSatisfy { !$0.contains("partial") })
  }

  @Test func optionsOutOfRange() throws {
    let path = try jsonLines("a.jsonl", (0..<9).map(sentence))
    #expect(
      message { _ = try write(path, "a") { $0.validationShare = 1 } }?.contains("validation share is 1.0") == true)
    #expect(message { _ = try write(path, "a") { $0.shardTokens = 0 } }?.contains("tokens of a shard is 0") == true)
    #expect(message { _ = try write(path, "a", threads: 0) }?.contains("threads is 0") == true)
    let taken = try write(path, "taken").folder
    #expect(message { _ = try write(path, "taken") } == "\(taken): exists already; remove it or name another folder")
  }

  // MARK: nanoGPT

  private func bin(_ name: String, _ ids: [Int]) throws -> String {
    try folder.write(name, ids.flatMap { [UInt8(truncatingIfNeeded: $0), UInt8(truncatingIfNeeded: $0 >> 8)] })
  }

  @Test func importsRawIds() throws {
    let ids = (0..<200_000).map { $0 * 31 % 50_257 }
    _ = try bin("nano/train.bin", ids)
    _ = try bin("nano/val.bin", Array(ids.reversed()))
    _ = try bin("nano/test.bin", [1])
    let made = folder.path + "/imported"
    let summary = try TokenImport.write(folder.path + "/nano", .size(50_257), to: made, shardTokens: 70_000)
    #expect(summary.leftOut.text == "left out: files beside train.bin and val.bin (1, test.bin)")
    #expect(summary.parts.map(\.shards) == [3, 3] && summary.parts.map(\.documents) == [1, 1])
    let corpus = try TokenCorpus(made, split: .train, tokenizer: nil)
    #expect(corpus.fingerprint == "unknown-50257" && corpus.textBytes == nil && corpus.documents == 1)
    #expect(try corpus.ids(0..<corpus.tokens).map(Int.init) == ids)
    #expect(try ShardInspection(path: made).parts.map(\.longestDocument) == [200_000, 200_000])
  }

  /// With the tokenizer its end-of-text tokens part documents, and bytes are known.
  @Test func importsWithATokenizer() throws {
    let texts = (0..<50).map(sentence)
    let ids = try texts.flatMap { try tokenizer.encode($0).map(Int.init) + [tokenizer.tokens.count - 1] }
    let made = folder.path + "/imported"
    try TokenImport.write(try bin("my-val.bin", ids), .tokenizer(tokenizer), to: made)
    #expect(try documents(made, .val) == texts)
    #expect(
      try TokenCorpus(made, split: .val, tokenizer: tokenizer).textBytes == texts.reduce(0) { $0 + $1.utf8.count })
  }

  @Test func brokenBins() throws {
    func found(_ path: String, _ size: Int = 100) -> String {
      message { try TokenImport.write(path, .size(size), to: folder.path + "/made") } ?? "nothing"
    }
    #expect(found(try bin("a.bin", [1, 2, 100])).contains("a.bin: token id 100 at token 2, expected at most 99"))
    #expect(found(try folder.write("b.bin", [1, 0, 2])).contains("b.bin: 3 bytes, expected a multiple of 2"))
    #expect(found(try folder.write("c.bin", [])).contains("c.bin: empty"))
    #expect(found(folder.path + "/none.bin").contains("no such file or folder"))
    #expect(found(folder.path).contains("no train.bin in this folder"))
    #expect(found(try bin("a.bin", [1]), 65_537).contains("vocabulary of 65537 tokens"))
    #expect(!FileManager.default.fileExists(atPath: folder.path + "/made"))
  }
}
