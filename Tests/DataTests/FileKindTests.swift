import Foundation
import MMoETensor
import Testing

@testable import MMoEData

/// Files of other kinds where a text, ids or a PNG is expected: each is refused by its kind, with the command that fits.
@Suite struct FileKindTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private static func ascii(_ text: String) -> [UInt8] { [UInt8](text.utf8) }

  /// A file that begins with a signature and goes on with what is no text.
  private static func file(_ start: [UInt8], at offset: Int = 0) -> [UInt8] {
    let random = CounterRandom(seed: 4, purpose: .test)
    let noise = (0..<2000).map { UInt8(random.integer(UInt64($0), below: 256)) }
    return (0..<offset).map { _ in 0 } + start + noise
  }

  /// A file, and what must be said of it, its kind first.
  struct Sample: Sendable, CustomTestStringConvertible {
    let bytes: [UInt8]
    let words: [String]
    var testDescription: String { words[0] }

    init(_ bytes: [UInt8], _ words: [String]) { (self.bytes, self.words) = (bytes, words) }
  }

  static let kinds: [Sample] = [
    .init(file([0xFD, 0x37, 0x7A, 0x58, 0x5A, 0]), ["an xz file", "`unxz -k FILE`"]),
    .init(file(ascii("BZh9") + [0x31, 0x41, 0x59, 0x26, 0x53, 0x59]), ["a bzip2 file", "bunzip2"]),
    .init(file(ascii("PK") + [3, 4]), ["a zip archive", "unzip"]),
    .init(file([0x37, 0x7A, 0xBC, 0xAF, 0x27, 0x1C]), ["a 7z archive", "`7z x FILE`"]),
    .init(file([0x04, 0x22, 0x4D, 0x18]), ["an lz4 file"]), .init(file(ascii("Rar!") + [0x1A, 7]), ["a rar archive"]),
    .init(tar(ustar: true), ["a tar archive", "`tar xf FILE`"]),
    .init(tar(ustar: false), ["a tar archive", "`tar xf FILE`"]),
    .init(PackedText.gzip(tar(ustar: true)), ["a tar archive in a gzip file", "`tar xf FILE`"]),
    .init(PackedText.zstd(PackedText.gzip(ascii("text"))), ["a gzip file in a zstd file"]),
    .init(file(ascii("PAR1")), ["a Parquet file", "read_parquet"]),
    .init(file(ascii("ARROW1") + [0, 0]), ["an Arrow file"]),
    .init(file([0xFF, 0xFF, 0xFF, 0xFF]), ["an Arrow stream", "Dataset.from_file"]),
    .init(ascii("%PDF-1.4\n1 0 obj\n"), ["a PDF file", "pdftotext"]),
    .init(file([0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]), ["a PNG image", "--task imagenet-subset"]),
    .init(file([0xFF, 0xD8, 0xFF, 0xE0]), ["a JPEG image", "--task imagenet-subset"]),
    .init(file([0x89, 0x48, 0x44, 0x46, 0x0D, 0x0A, 0x1A, 0x0A]), ["an HDF5 file", "--checkpoint"]),
    .init([16, 0, 0, 0, 0, 0, 0, 0] + ascii("{\"a\": {}}      "), ["a safetensors file", "--init-from"]),
    .init(file(ascii("GGUF")), ["a GGUF file"]),
    .init(file(ascii("SQLite format 3") + [0]), ["a SQLite database", "sqlite3"]),
    .init(file([0x7F] + ascii("ELF")), ["a program"]),
    .init(file([0x93] + ascii("NUMPY")), ["a numpy array", "import-bin"]),
    .init(file([0x88, 0xD6, 0x34, 0x01]), ["llm.c", "tail -c +1025"]),
    .init(
      (0..<2000).flatMap { [UInt8($0 * 7 % 251), UInt8($0 % 40)] }, ["binary data of no known kind", "import-bin"]),
    .init([0xFF, 0xFE] + wide("to be", [0, 1]), ["UTF-16", "`iconv -f UTF-16 -t UTF-8 FILE > OUT`"]),
    .init([0xFE, 0xFF] + wide("to be", [1, 0]), ["UTF-16", "iconv"]),
    .init([0xFF, 0xFE, 0, 0] + wide("to be", [0, 1, 2, 3]), ["UTF-32", "iconv"]),
    .init(wide("to be or not to be", [0, 1]), ["UTF-16LE without a byte order mark", "iconv -f UTF-16LE"]),
    .init(wide("to be or not to be", [1, 0]), ["UTF-16BE without a byte order mark", "iconv -f UTF-16BE"]),
  ]

  /// A tar archive of one file of letters, of today or of 1979.
  private static func tar(ustar: Bool) -> [UInt8] {
    var header = [UInt8](repeating: 0, count: 512)
    func put(_ text: String, _ offset: Int) {
      header.replaceSubrange(offset..<offset + text.utf8.count, with: text.utf8)
    }
    put("a.txt", 0)
    put("0000644\u{0}0000000\u{0}0000000\u{0}00000001000\u{0}00000000000\u{0}        ", 100)
    if ustar { put("ustar\u{0}00", 257) }
    let digits = String(header.reduce(0) { $0 + Int($1) }, radix: 8)
    put(String(repeating: "0", count: 6 - digits.count) + digits + "\u{0} ", 148)
    return header + [UInt8](repeating: 0x61, count: 512)
  }

  /// ASCII in units of several bytes: where the letter's byte is, then zeros.
  private static func wide(_ text: String, _ order: [Int]) -> [UInt8] {
    text.utf8.flatMap { byte in order.map { $0 == 0 ? byte : 0 } }
  }

  /// Alone under any name, and in a folder of texts, before any of them is read.
  @Test(arguments: kinds) func noText(sample: Sample) throws {
    let (bytes, words) = (sample.bytes, sample.words)
    for name in ["a.bin", "set/b.txt"] {
      try folder.write("set/a.txt", FileKindTests.ascii("a text\n"))
      let path = try folder.write(name, bytes)
      let found = message { _ = try TextFiles(name == "a.bin" ? path : folder.path + "/set") } ?? "nothing"
      #expect(found.hasPrefix(path + ": ") && !found.contains("\n"), "\(found)")
      for word in words + ["expected text in UTF-8"] { #expect(found.contains(word), "no '\(word)' in \(found)") }
      #expect(message { _ = try readText(path) } == found)
    }
  }

  /// Texts that begin like other files, by chance.
  @Test(arguments: [
    "ORCs and men", "BM, he said", "ID3 tags", "MZ", "RIFFs WAVE", "PAR10", "GGUF", "ARROW1", "\u{1B}[1mbold",
  ])
  func textsThatLookLikeOthers(text: String) throws {
    let path = try folder.write("a.txt", [UInt8](String(repeating: text + "\n", count: 3).utf8))
    #expect(try readText(path).count == 3 * (text.utf8.count + 1))
  }

  /// The content says whether a file is packed; its name need not, and may be in capitals.
  @Test(arguments: ["A.TXT.GZ", "a.txt.gz", "a", "a.txt"]) func packedByContent(name: String) throws {
    let text = FileKindTests.ascii("to be or not to be\n")
    for packed in [
      PackedText.gzip(text), PackedText.zstd(text), [0x53, 0x2A, 0x4D, 0x18, 1, 0, 0, 0, 9] + PackedText.zstd(text),
    ] {
      let path = try folder.write(name.hasSuffix("gz") ? name : name + "x", packed)
      #expect(try readText(path) == text)
    }
    // A name that promises more than the content has.
    #expect(message { _ = try readText(folder.write("b.txt.GZ", text)) }?.contains("no valid gzip data") == true)
  }

  @Test func byteOrderMarkIsDropped() throws {
    let mark: [UInt8] = [0xEF, 0xBB, 0xBF]
    let text = FileKindTests.ascii("to be or not to be\nthat is the question\n")
    for bytes in [mark + text, PackedText.gzip(mark + text)] {
      let path = try folder.write("a.txt", bytes)
      #expect(try readText(path) == text)
      let made = try CorpusPreparation.prepare(data: path, tokenizer: ByteTokenizer(), cache: folder.path + "/cache")
      let parts = try DatasetSplit.allCases.flatMap { split in
        let corpus = try TokenCorpus(made, split: split, tokenizer: ByteTokenizer())
        return try corpus.ids(0..<corpus.tokens).map(UInt8.init)
      }
      #expect(parts == text)
    }
    let line = FileKindTests.ascii("{\"text\": \"a\"}\n")
    var reader = try PieceReader(
      try #require(try TextFiles(folder.write("a.jsonl", mark + line)).files.first), rule: .file)
    #expect(try reader.next()?.text(field: "text") == [0x61])
  }

  /// `test` beside `train` is neither learnt nor validated on without a word.
  @Test func filesNamedTest() throws {
    func files(_ names: [String]) throws -> TextFiles {
      let set = "\(names.count)-\(names[0])"
      for name in names { try folder.write("\(set)/\(name)", [0x61]) }
      return try TextFiles(folder.path + "/" + set)
    }
    let found = message { _ = try files(["train.txt", "test.txt"]) }
    #expect(found?.contains("test.txt: named test beside files named train, but none is named val; rename it") == true)
    #expect(message { _ = try files(["val.txt", "test.txt"]) }?.contains("none is named train") == true)
    #expect(try files(["train.txt", "val.txt", "test.txt"]).leftOut.count == 1)
    #expect(try files(["test-plan.md", "train.md", "other.md"]).files.count == 3)
    #expect(try files(["test.txt"]).files.count == 1)
  }

  // MARK: Ids

  private func bin(_ ids: [Int], _ width: Int) -> [UInt8] {
    ids.flatMap { id in (0..<width).map { UInt8(truncatingIfNeeded: id >> (8 * $0)) } }
  }

  @Test func idsOf32Bits() throws {
    let ids = (0..<3000).map { $0 * 7919 % 100_000 }
    let path = try folder.write("train.bin", bin(ids, 4))
    let made = folder.path + "/made"
    try TokenImport.write(path, .size(100_000), tokenBytes: 4, to: made)
    let corpus = try TokenCorpus(made, split: .train, tokenizer: nil)
    #expect(try corpus.ids(0..<corpus.tokens).map(Int.init) == ids)
    func failure(_ bytes: [UInt8], _ width: Int, _ vocabulary: Int = 50_000) throws -> String {
      let path = try folder.write("other.bin", bytes)
      return message { try TokenImport.write(path, .size(vocabulary), tokenBytes: width, to: folder.path + "/no") }
        ?? "nothing"
    }
    let small = (0..<3000).map { $0 * 7919 % 50_000 }
    #expect(try failure(bin(small, 4), 2).contains("the ids have 32 bits; give --token-bytes 4"))
    #expect(try failure(bin(small, 8), 4).contains("the ids have 64 bits; write them as uint32"))
    #expect(try failure(bin(small, 2), 4).contains("--token-bytes 2"))
    #expect(try failure(bin(small, 4) + [1], 4).contains("12001 bytes, expected a multiple of 4"))
    #expect(try failure(bin(small, 2), 2, 100_000).contains("for ids of 32 bits give --token-bytes 4"))
    #expect(try failure(bin(small, 2), 3).contains("3 bytes of an id: expected 2 or 4"))
    #expect(try failure(bin([0xFFFF_FFFF], 4), 4).contains("token id 4294967295"))
    #expect(try failure(FileKindTests.file([0x93] + FileKindTests.ascii("NUMPY")), 2).contains("a numpy array"))
    #expect(try failure(FileKindTests.ascii(String(repeating: "some text ", count: 9)), 2).contains("a text, expected"))
    // The first ids of a file may look like a short signature.
    #expect(try failure(bin([0x8B1F, 8] + small, 2), 2) == "nothing")
  }

  // MARK: Images

  static let images: [Sample] = [
    .init(file(ascii("GIF89a")), ["a GIF image"]),
    .init(file(ascii("BM") + [9, 9, 9, 9, 0, 0, 0, 0]), ["a BMP image"]),
    .init(file(ascii("II*") + [0]), ["a TIFF image"]),
    .init(file([0, 0, 0, 24] + ascii("ftypheic")), ["a HEIC image"]),
    .init(file([0, 0, 0, 24] + ascii("ftypavif")), ["an AVIF image"]),
  ]

  @Test(arguments: images) func otherImages(sample: Sample) {
    let found = message { _ = try RGBImage(decoding: sample.bytes, name: "a.png") }
    #expect(
      found
        == "a.png: \(sample.words[0]), expected a PNG, JPEG or WebP image; convert it (`mogrify -format png FILE`), the original may stay"
    )
  }

  @Test func otherFilesThanImages() throws {
    let apple = FileKindTests.file(
      [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A, 0, 0, 0, 4] + FileKindTests.ascii("CgBI"))
    let found = message { _ = try RGBImage(decoding: apple, name: "a.png") }
    #expect(found?.contains("Apple's own form (CgBI)") == true && found?.contains("pngcrush") == true)
    let zip = FileKindTests.kinds[2].bytes
    #expect(
      message { _ = try RGBImage(decoding: zip, name: "a") } == "a: a zip archive, expected a PNG, JPEG or WebP image")
    let data = message { _ = try ImageFolder(path: folder.write("set.zip", zip)) }
    #expect(data?.contains("set.zip: a zip archive, not a folder, expected") == true)
  }
}
