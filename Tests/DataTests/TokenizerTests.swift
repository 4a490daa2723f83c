import Foundation
import MMoETensor
import Testing

@testable import MMoEData

/// Pre-splitting, merging, training and files of byte-level BPE.
@Suite struct TokenizerTests {
  private func pieces(_ text: String) -> [String] {
    let bytes = [UInt8](text.utf8)
    return bytes.withUnsafeBufferPointer { buffer in
      var splitter = PreSplitter(buffer)
      var result: [String] = []
      while let range = splitter.next() { result.append(String(decoding: bytes[range], as: UTF8.self)) }
      return result
    }
  }

  /// By hand from the pattern.
  @Test func splitsAsGPT2() {
    #expect(pieces("Hello world's  end") == ["Hello", " world", "'s", " ", " end"])
    #expect(pieces("a  b\n\n c") == ["a", " ", " b", "\n\n", " c"])
    #expect(pieces("x1²½ y") == ["x", "1²½", " y"])
    #expect(pieces("we'll we'LL 'tis") == ["we", "'ll", " we", "'", "LL", " '", "tis"])
    #expect(pieces("tail \t ") == ["tail", " \t "])
    #expect(pieces("\nword") == ["\n", "word"])
    #expect(pieces("日本語 ok, 🙂🙂!") == ["日本語", " ok", ",", " 🙂🙂!"])
    #expect(pieces("a\u{A0}b\u{3000}\u{3000}c") == ["a", "\u{A0}", "b", "\u{3000}", "\u{3000}", "c"])
  }

  /// Pieces cover any bytes, valid UTF-8 or not, without gaps.
  @Test func splitsAnyBytes() {
    for seed in 0..<200 {
      let random = CounterRandom(seed: UInt64(seed), purpose: .test)
      let alphabet: [UInt8] = [
        0x20, 0x0A, 0x27, 0x73, 0x41, 0x31, 0xC3, 0xA9, 0xE2, 0x80, 0x83, 0xF0, 0x9F, 0xFF, 0xED, 0xA0,
      ]
      let bytes = (0..<60).map { alphabet[random.integer(UInt64($0), below: alphabet.count)] }
      bytes.withUnsafeBufferPointer { buffer in
        var splitter = PreSplitter(buffer)
        var next = 0
        while let range = splitter.next() {
          #expect(range.lowerBound == next && !range.isEmpty)
          next = range.upperBound
        }
        #expect(next == bytes.count)
      }
    }
  }

  static let text = [UInt8](
    String(repeating: "the cat sat on the mat. the other cat sat on the other mat; that's that. ", count: 40).utf8)

  @Test func learnsTheMostFrequentPairFirst() throws {
    var trainer = BytePairTrainer([UInt8]("aaab aaab ab".utf8))
    let tokenizer = try trainer.train(vocabularySize: 259)
    // Pieces: "aaab", " aaab", " ab". (a,a) and (a,b)... counts: aa 4, ab 3, " a" 2. Then with A = aa: "Aab", " Aab".
    #expect(tokenizer.tokens[256] == [UInt8]("aa".utf8))
    #expect(tokenizer.tokens[257] == [UInt8]("ab".utf8))
  }

  @Test func roundTripsAnything() throws {
    var trainer = BytePairTrainer(TokenizerTests.text)
    let tokenizer = try trainer.train(vocabularySize: 330)
    #expect(try tokenizer.encode(TokenizerTests.text).count < TokenizerTests.text.count / 3)
    for seed in 0..<300 {
      let random = CounterRandom(seed: UInt64(seed), purpose: .test, a: 1)
      let bytes = (0..<200).map { _ in UInt8(0) }.enumerated().map {
        seed % 2 == 0
          ? UInt8(random.integer(UInt64($0.offset), below: 256))
          : TokenizerTests.text[random.integer(UInt64($0.offset), below: 75)]
      }
      #expect(try tokenizer.decode(tokenizer.encode(bytes)) == bytes)
    }
  }

  /// The list for short pieces and the heap for long ones give the same ids, and long ones take no quadratic time.
  @Test(.timeLimit(.minutes(1))) func longPieces() throws {
    var trainer = BytePairTrainer(
      [UInt8]((String(repeating: "abcab ", count: 50) + String(repeating: "a", count: 300)).utf8))
    let tokenizer = try trainer.train(vocabularySize: 270)
    for length in [60, 64, 65, 200] {
      let piece = [UInt8]((0..<length).map { UInt8(ascii: "a") + UInt8($0 * 7 % 3) })
      // The stupid way: merge the lowest rank, leftmost first, again and again.
      var parts = piece.map { byte in Int32(tokenizer.tokens.firstIndex(of: [byte])!) }
      while true {
        var best: (rank: Int, place: Int)?
        for i in 0..<parts.count - 1 {
          let rank = tokenizer.merges.firstIndex { $0.left == parts[i] && $0.right == parts[i + 1] }
          if let rank, rank < best?.rank ?? Int.max { best = (rank, i) }
        }
        guard let best else { break }
        parts.replaceSubrange(best.place...best.place + 1, with: [tokenizer.merges[best.rank].result])
      }
      #expect(try tokenizer.encode(piece) == parts, "\(length)")
    }
    let million = [UInt8](repeating: UInt8(ascii: "a"), count: 1_000_000)
    #expect(try tokenizer.decode(tokenizer.encode(million)) == million)
  }

  @Test func filesComeBackEqual() throws {
    let folder = try TemporaryFolder()
    var trainer = BytePairTrainer(TokenizerTests.text)
    let tokenizer = try trainer.train(vocabularySize: 300)
    try TokenizerFiles.save(tokenizer, to: folder.path + "/tok")
    let loaded = try TokenizerFiles.load(folder.path + "/tok")
    #expect(loaded.tokens == tokenizer.tokens && loaded.merges == tokenizer.merges)
    #expect(loaded.specialTokens.isEmpty)
  }

  /// One vocabulary has one fingerprint, whichever way it came; another one has another.
  @Test func fingerprints() throws {
    let folder = try TemporaryFolder()
    var trainer = BytePairTrainer(TokenizerTests.text)
    let plain = try trainer.train(vocabularySize: 270)
    let end = "<|endoftext|>"
    // Special tokens with the bytes of their name, as GPT-2's files give them, and without, as tokenizer.json does.
    let given = try [[UInt8](end.utf8), []].map {
      try BytePairTokenizer(tokens: plain.tokens + [$0], merges: plain.merges, specialTokens: [end: 270])
    }
    #expect(given[0].fingerprint == given[1].fingerprint)
    for (index, tokenizer) in ([plain] + given).enumerated() {
      let path = folder.path + "/\(index)"
      try tokenizer.save(to: path)
      let loaded = try TokenizerFiles.tokenizer(path)
      #expect(loaded.fingerprint == tokenizer.fingerprint && loaded.vocabularySize == tokenizer.vocabularySize)
      #expect(loaded.endOfText == tokenizer.endOfText)
    }
    var fewer = BytePairTrainer(TokenizerTests.text)
    #expect(try fewer.train(vocabularySize: 269).fingerprint != plain.fingerprint)
    let swapped = try BytePairTokenizer(
      tokens: plain.tokens, merges: Array(plain.merges[1...] + plain.merges[..<1]), name: "swapped")
    #expect(swapped.fingerprint != plain.fingerprint && plain.fingerprint.hasPrefix("bpe-270-"))
    try ByteTokenizer().save(to: folder.path + "/bytes")
    for name in ["bytes", folder.path + "/bytes"] {
      #expect(try TokenizerFiles.tokenizer(name).fingerprint == "bytes")
    }
    try folder.write("bytes/tokenizer.txt", [UInt8]("words".utf8))
    #expect(
      message { _ = try TokenizerFiles.tokenizer(folder.path + "/bytes") }?.contains("tokenizer.txt: 'words'") == true)
  }

  /// Line ends of Windows, which Swift takes for one character.
  @Test func carriageReturns() throws {
    let folder = try TemporaryFolder()
    var trainer = BytePairTrainer(TokenizerTests.text)
    let tokenizer = try trainer.train(vocabularySize: 270)
    try tokenizer.save(to: folder.path)
    let merges = try readFile(folder.path + "/merges.txt", limit: 1 << 20)
    try writeFile(folder.path + "/merges.txt", merges.flatMap { $0 == 0x0A ? [0x0D, 0x0A] : [$0] })
    #expect(try TokenizerFiles.load(folder.path).fingerprint == tokenizer.fingerprint)
    try writeFile(folder.path + "/merges.txt", merges + [UInt8]("t \r\u{2028}z\n".utf8))
    let found = message { _ = try TokenizerFiles.load(folder.path) }
    #expect(found?.contains("'\\r\\u{2028}z' is not in") == true, "\(found ?? "nothing")")
  }

  @Test func brokenFilesAreNamed() throws {
    let folder = try TemporaryFolder()
    let path = folder.path + "/tok"
    #expect { try TokenizerFiles.load(path) } throws: { "\($0)".contains("tok: no such tokenizer") }
    var trainer = BytePairTrainer(TokenizerTests.text)
    try TokenizerFiles.save(try trainer.train(vocabularySize: 280), to: path)
    let merges = try String(contentsOfFile: path + "/merges.txt", encoding: .utf8)
    try (merges + "t zzz\n").write(toFile: path + "/merges.txt", atomically: true, encoding: .utf8)
    #expect { try TokenizerFiles.load(path) } throws: {
      "\($0)".contains("merges.txt:\(merges.split(separator: "\n").count + 1)") && "\($0)".contains("'zzz' is not in")
    }
    try "{".write(toFile: path + "/vocab.json", atomically: true, encoding: .utf8)
    #expect { try TokenizerFiles.load(path) } throws: { "\($0)".contains("vocab.json: no valid JSON: line 1, byte 1") }
    try "{\"a\": 5, \"b\": 5}".write(toFile: path + "/vocab.json", atomically: true, encoding: .utf8)
    #expect(message { _ = try TokenizerFiles.load(path) }?.contains("the id 5 has two names, 'a' and 'b'") == true)
    for ids in ["{}", "{\"a\": -1}", "{\"a\": 16777216}"] {
      try ids.write(toFile: path + "/vocab.json", atomically: true, encoding: .utf8)
      #expect(message { _ = try TokenizerFiles.load(path) }?.contains("vocab.json: ids from") == true, "\(ids)")
    }
    #expect(throws: DataError.self) { try BytePairTokenizer(tokens: [[65, 66]], merges: []) }
    #expect(throws: DataError.self) { try BytePairTokenizer(tokens: [[65], []], merges: [], specialTokens: ["": 1]) }
    #expect(throws: DataError.self) { try ByteTokenizer().bytes(of: 256) }
  }

  // MARK: GPT-2's own vocabulary

  static let gpt2: String? = {
    let shared = ProcessInfo.processInfo.environment["MMOE_SHARED_DATA"] ?? "../shared/data"
    let folder = shared + "/language/gpt2-tokenizer"
    return FileManager.default.fileExists(atPath: folder + "/vocab.bpe") ? folder : nil
  }()

  @Test(.enabled(if: gpt2 != nil, "needs GPT-2's vocabulary files in the shared data"))
  func equalsTheReferenceImplementation() throws {
    struct Case: Decodable {
      let text: String
      let ids: [Int32]
    }
    let folder = try #require(TokenizerTests.gpt2)
    let tokenizer = try TokenizerFiles.load(folder)
    #expect(tokenizer.vocabularySize == 50_257)
    #expect(tokenizer.specialTokens == ["<|endoftext|>": 50_256])
    func cases(_ name: String) throws -> [Case] {
      try String(contentsOfFile: folder + "/" + name, encoding: .utf8).split(separator: "\n").map {
        try JSONDecoder().decode(Case.self, from: Data($0.utf8))
      }
    }
    let ordinary = try cases("gpt2_tokenizer_cases.jsonl")
    #expect(ordinary.count == 310)
    for entry in ordinary {
      #expect(try tokenizer.encode(entry.text) == entry.ids, "\(entry.text)")
      #expect(try tokenizer.decode(entry.ids) == [UInt8](entry.text.utf8))
    }
    for entry in try cases("gpt2_tokenizer_cases_special.jsonl") {
      #expect(try tokenizer.encodeWithSpecialTokens(entry.text) == entry.ids, "\(entry.text)")
    }
  }
}
