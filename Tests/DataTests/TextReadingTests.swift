import Foundation
import MMoETensor
import Testing

@testable import MMoEData

/// From files to documents, in parts and packed.
@Suite struct TextReadingTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func pieces(
    _ path: String, _ rule: DocumentRule = .file, limits: PieceReader.Limits = .init()
  ) throws -> [TextPiece] {
    var reader = try PieceReader(try #require(try TextFiles(path).files.first), rule: rule, limits: limits)
    var pieces: [TextPiece] = []
    while let piece = try reader.next() { pieces.append(piece) }
    return pieces
  }

  private func documents(_ text: String, _ rule: DocumentRule) throws -> [String] {
    try pieces(folder.write("a.txt", [UInt8](text.utf8)), rule).map { String(decoding: $0.bytes, as: UTF8.self) }
  }

  // MARK: Documents

  @Test func blankLines() throws {
    #expect(try documents("a\nb\n\n \nc\n\nd", .blankLines) == ["a\nb\n\n \n", "c\n\n", "d"])
    #expect(try documents("\n\n a\r\n\r\nb\r\n", .blankLines) == ["\n\n a\r\n\r\n", "b\r\n"])
    #expect(try documents("\n \n\n", .blankLines) == [])
    #expect(try documents("", .blankLines) == [])
  }

  /// As WikiText has them: level-1 headings between blank lines, and lines that only look like some.
  @Test func headings() throws {
    let first = " \n = One = \n \n text \n = Goals , A = \n = = Part = = \n \n text = \n \n"
    let second = " = Two = \n \n = not alone = \n text \n"
    #expect(try documents(first + second, .headings) == [first, second])
    #expect(try documents("no heading\n", .headings) == ["no heading\n"])
    #expect(try documents(" = One = \n \n = Two = ", .headings) == [" = One = \n \n", " = Two = "])
  }

  @Test func endOfTextLines() throws {
    #expect(
      try documents("a\nb\n<|endoftext|>\nc\n<|endoftext|>\n\n<|endoftext|>\nd", .endOfText) == ["a\nb\n", "c\n", "d"])
    #expect(try documents("<|endoftext|>\na <|endoftext|>\n", .endOfText) == ["a <|endoftext|>\n"])
  }

  @Test func jsonLines() throws {
    let first = #"{"id": 1, "text": "a\nb\u00e9\ud83d\ude42"}"#
    let file = try folder.write("a.jsonl", [UInt8]((first + "\r\n\n  \n{\"text\": \"\"}\n{\"text\":\"c\"}").utf8))
    let found = try pieces(file)
    #expect(found.map(\.source) == [1, 4, 5].map { TextPiece.Source.jsonLine(file: file, number: $0) })
    #expect(try found.map { String(decoding: try $0.text(field: "text"), as: UTF8.self) } == ["a\nbé🙂", "", "c"])
    #expect(
      message { _ = try found[0].text(field: "body") }?.contains(
        "a.jsonl:1: expected an object with the text field \"body\"") == true)
    for line in ["{\"text\": 5}", "[1]", "{\"text\": \"a\"", "text", "{\"text\": \"\u{1}\"}", "\"\\ud800\""] {
      let broken = try folder.write("b.jsonl", [UInt8]("{\"text\": \"ok\"}\n\(line)\n".utf8))
      let found = message { for piece in try pieces(broken) { _ = try piece.text(field: "text") } }
      #expect(found?.contains("b.jsonl:2: ") == true, "\(line): \(found ?? "nothing")")
    }
  }

  // MARK: Parts

  /// A document in parts has the same tokens as in one piece, wherever the parts end.
  @Test func partsHaveTheSameTokens() throws {
    var trainer = BytePairTrainer(TokenizerTests.text)
    let tokenizer = try trainer.train(vocabularySize: 330)
    let alphabet = ["the", " ", "\n", "cat", "'s", "é", "日本", "。", "\u{A0}", "\u{3000}", "12", ".", "  ", "\t", "🙂"]
    for seed in 0..<40 {
      let random = CounterRandom(seed: UInt64(seed), purpose: .test, a: 9)
      var text = (0..<600).flatMap { [UInt8](alphabet[random.integer(UInt64($0), below: alphabet.count)].utf8) }
      // Bytes that are no UTF-8.
      if seed % 2 == 1 {
        for at in stride(from: 5, to: text.count, by: 37) { text[at] = [0xFF, 0xC2, 0xE3, 0x80][at % 4] }
      }
      let file = try folder.write("\(seed).txt", text)
      for part in [1, 7, 50, 333] {
        let found = try pieces(file, limits: .init(part: part, unbroken: 1 << 20))
        #expect(found.flatMap(\.bytes) == text)
        #expect(found.map(\.endsDocument) == [Bool](repeating: false, count: found.count - 1) + [true])
        #expect(part > 50 || found.count > 5)
        #expect(
          try found.flatMap { try tokenizer.encode($0.bytes) } == tokenizer.encode(text),
          "seed \(seed), parts of \(part)")
      }
    }
  }

  /// A run without white space is cut in the end, and all of it is there.
  @Test func unbrokenRuns() throws {
    let text = [UInt8](repeating: 0x61, count: 900_000)
    let found = try pieces(folder.write("a.txt", text), limits: .init(part: 1000, unbroken: 10_000))
    #expect(found.flatMap(\.bytes) == text && found.count > 100 && found.last?.endsDocument == true)
  }

  @Test func limits() throws {
    let long = try folder.write("a.txt", [UInt8]((0..<900_000).map { $0 % 100 == 99 ? 0x0A : 0x61 }))
    let limits = PieceReader.Limits(document: 300_000)
    #expect(
      message { _ = try pieces(long, .blankLines, limits: limits) }?.contains("a document of more than 300000 bytes")
        == true)
    let line = try folder.write("a.jsonl", [UInt8](repeating: 0x61, count: 900_000))
    #expect(message { _ = try pieces(line, limits: limits) }?.contains("a line of more than 300000 bytes") == true)
  }

  // MARK: Packed files

  private let text = (0..<40_000).map { UInt8(0x20 + ($0 * $0 >> 3) % 95) }

  private func unpacked(_ name: String, _ bytes: [UInt8]) throws -> [UInt8] {
    try pieces(folder.write(name, bytes)).flatMap(\.bytes)
  }

  @Test func unpacks() throws {
    #expect(try unpacked("a.txt.gz", PackedText.gzip(text)) == text)
    #expect(try unpacked("a.txt.zst", PackedText.zstd(text)) == text)
    // Several streams one after the other, as `cat a.gz b.gz` gives; padding of zeros; nothing inside.
    #expect(try unpacked("b.txt.gz", PackedText.gzip(text) + PackedText.gzip(text) + [0, 0]) == text + text)
    #expect(try unpacked("b.txt.zst", PackedText.zstd(text) + PackedText.zstd(text)) == text + text)
    #expect(try unpacked("c.txt.gz", PackedText.gzip([])) == [] && unpacked("c.txt.zst", PackedText.zstd([])) == [])
  }

  /// What the programs of everybody make, larger than any buffer.
  @Test(
    .enabled(if: PackedText.hasPrograms, "gzip or zstd is not in /usr/bin"),
    arguments: [("gzip", "gz"), ("zstd", "zst")])
  func unpacksWhatProgramsPack(program: String, suffix: String) throws {
    let random = CounterRandom(seed: 8, purpose: .test)
    let long = (0..<300_000).flatMap { [UInt8]("\(random.integer(UInt64($0), below: 1000)) words\n".utf8) }
    let file = try folder.write("plain.txt", long)
    let packed = try #require(try PackedText.packed(program, file))
    #expect(packed.count < long.count / 2)
    #expect(try unpacked("a.txt." + suffix, packed) == long)
  }

  /// Cut anywhere, a packed file is never taken for a shorter text.
  @Test func cutPackedFiles() throws {
    let short = Array(text.prefix(300))
    for (suffix, packed) in [("gz", PackedText.gzip(short)), ("zst", PackedText.zstd(short))] {
      for count in 0..<packed.count {
        let found = message { _ = try unpacked("a.txt." + suffix, Array(packed[..<count])) }
        #expect(
          found?.contains("a.txt.\(suffix): ends in the middle of its") == true,
          "\(suffix) \(count): \(found ?? "nothing")")
      }
      for index in stride(from: 0, to: packed.count, by: 1) {
        var damaged = packed
        damaged[index] ^= 0x10
        // zstd frames without a checksum cannot show every fault; none may trap or be longer than the text.
        if let unpacked = try? unpacked("b.txt." + suffix, damaged) {
          #expect(unpacked.count <= short.count || suffix == "zst")
        }
      }
      let found = message { _ = try unpacked("c.txt." + suffix, packed + [UInt8]("garbage".utf8)) }
      #expect(
        found?.contains("no valid") == true || found?.contains("ends in the middle") == true, "\(found ?? "nothing")")
      #expect(message { _ = try unpacked("d.txt." + suffix, text) }?.contains("no valid") == true)
    }
  }

  @Test func bombsAndHugeWindows() throws {
    let bomb = PackedText.zstdBomb(blocks: 2000)
    #expect(bomb.count < 9000)
    #expect(
      message { _ = try unpacked("a.txt.zst", bomb) }?.contains("unpacks to more than 250 times its size") == true)
    let found = message { _ = try unpacked("b.txt.zst", PackedText.zstd(text, windowLog: 31)) }
    #expect(found?.contains("window of more than 128 MB") == true, "\(found ?? "nothing")")
  }

  // MARK: Files

  @Test func filesOfAFolder() throws {
    for name in [
      "b.txt", "a/z.md", "a/c.jsonl.gz", ".hidden/a.txt", "a/.b.txt", "picture.png", "c.TXT.zst", "README", "d.gz",
    ] {
      try folder.write("set/\(name)", packed(name))
    }
    let found = try TextFiles(folder.path + "/set/")
    #expect(found.files.map(\.name) == ["a/c.jsonl.gz", "a/z.md", "b.txt", "c.TXT.zst"])
    #expect(found.files.map(\.isJSONLines) == [true, false, false, false] && found.bytes > 4)
    let kinds = found.leftOut.kinds
    #expect(kinds.map(\.first) == [".hidden", "README"] && kinds.map(\.count) == [2, 3] && !found.isNamed)
  }

  /// One letter, packed as the name says.
  private func packed(_ name: String) -> [UInt8] {
    name.hasSuffix(".gz") ? PackedText.gzip([0x61]) : name.hasSuffix(".zst") ? PackedText.zstd([0x61]) : [0x61]
  }

  /// Links are followed, to files, to folders and as the folder itself; names that are no UTF-8 are said.
  @Test func linksAndForeignNames() throws {
    try folder.write("elsewhere/b.txt", [0x61])
    try folder.write("set/a.txt", [0x61])
    let set = folder.path + "/set"
    for (name, target) in [
      ("deep", folder.path + "/elsewhere"), ("c.txt", "a.txt"), ("back", ".."), ("gone.txt", "nowhere"),
    ] {
      symlink(target, set + "/" + name)
    }
    var foreign = [UInt8]((set + "/x").utf8) + [0xFF, 0]
    close(foreign.withUnsafeMutableBytes { open($0.baseAddress!.assumingMemoryBound(to: CChar.self), O_CREAT, 0o644) })
    symlink(set, folder.path + "/link")
    for path in [set, folder.path + "/link"] {
      let found = try TextFiles(path)
      #expect(found.files.map(\.name) == ["a.txt", "c.txt", "deep/b.txt"])
      #expect(
        found.leftOut.text
          == "left out: links that lead nowhere (1, gone.txt); names that are no UTF-8 (1, x\\xff); links to a folder that they are in (1, back)"
      )
    }
  }

  @Test func packedTwins() throws {
    for name in ["a.txt", "a.txt.GZ"] { try folder.write("set/\(name)", packed(name.lowercased())) }
    #expect(message { _ = try TextFiles(folder.path + "/set") }?.contains("a.txt.GZ: the same name as") == true)
  }

  /// The names under which the public sets come.
  @Test(
    arguments: [
      (["wikitext-2/train.txt", "wikitext-2/valid.txt", "wikitext-2/test.txt"], ["train", "val", nil]),
      (["wiki.train.tokens", "wiki.valid.tokens", "wiki.test.tokens"], ["train", "val", nil]),
      (["TinyStories-train.txt", "TinyStories-valid.txt"], ["train", "val"]),
      (["train/a.txt", "train/val.txt", "validation/00.jsonl"], ["train", "train", "val"]),
      (["train-00000-of-2.jsonl.zst", "val-00000-of-1.jsonl.zst"], ["train", "val"]),
    ] as [([String], [String?])]) func namedSplits(names: [String], splits: [String?]) throws
  {
    for name in names { try folder.write("set/\(name)", packed(name)) }
    let found = try TextFiles(folder.path + "/set")
    #expect(found.isNamed && found.files.count == splits.count { $0 != nil })
    for (name, split) in zip(names, splits) {
      #expect(found.files.first { $0.name == name }?.named?.rawValue == split)
      #expect(found.leftOut.kinds.contains { $0.first == name } == (split == nil))
    }
  }

  /// One kind of name alone means something else: `valley.txt`, `train-ride.txt`.
  @Test func otherNames() throws {
    for name in ["train-ride.txt", "valley.txt", "trains.txt"] { try folder.write("set/\(name)", [0x61]) }
    let found = try TextFiles(folder.path + "/set")
    #expect(!found.isNamed && found.files.count == 3)
  }

  @Test func shardsAreNoText() throws {
    let path = try folder.makeShards([10, 10])
    try FileManager.default.removeItem(atPath: path + "/train-00000.tokens")
    #expect(message { _ = try TextFiles(path) }?.contains("train-00001.tokens: a token shard, expected text") == true)
  }
}
