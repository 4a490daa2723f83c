import Foundation
import MMoETensor
import Testing

@testable import MMoEData

/// The file of tokens: what is written comes back, and nothing damaged is read as if it were whole.
@Suite struct TokenShardTests {
  private func ids(_ shard: TokenShard, _ range: Range<Int>? = nil) throws -> [Int32] {
    let range = range ?? 0..<shard.tokens
    var ids = [Int32](repeating: -7, count: range.count)
    try ids.withUnsafeMutableBufferPointer { try shard.copy(range, to: $0.baseAddress!) }
    return ids
  }

  /// 16 bits up to a vocabulary of 65,536, 32 beyond; more than a buffer of tokens, in documents of many lengths.
  @Test(arguments: [256, 65_536, 65_537, 1 << 24]) func comesBackEqual(vocabulary: Int) throws {
    let folder = try TemporaryFolder()
    let file = folder.path + "/a.tokens"
    let random = CounterRandom(seed: 5, purpose: .test, a: UInt64(vocabulary))
    let writer = try TokenShardWriter(file, vocabularySize: vocabulary, fingerprint: "test-é")
    var documents: [[Int32]] = []
    for index in 0..<3000 {
      let count = 1 + random.integer(UInt64(index), below: 700)
      let more = CounterRandom(seed: 6, purpose: .test, a: UInt64(index))
      documents.append((0..<count).map { Int32(more.integer(UInt64($0), below: vocabulary)) })
    }
    documents[0][0] = Int32(vocabulary - 1)
    for document in documents {
      // In two parts, of which one may be empty.
      let half = document.count / 2
      try writer.append(document[..<half], textBytes: 3 * half)
      try writer.append(document[half...], textBytes: 3 * (document.count - half))
      writer.endDocument()
    }
    #expect(!FileManager.default.fileExists(atPath: file))
    try writer.finish()
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["a.tokens"])
    let shard = try TokenShard(file)
    try shard.verify()
    let all = documents.flatMap { $0 }
    #expect(shard.tokens == all.count && shard.documents == 3000 && shard.textBytes == 3 * all.count)
    #expect(shard.vocabularySize == vocabulary && shard.fingerprint == "test-é" && !shard.isContinuation)
    #expect(try ids(shard) == all)
    #expect(try ids(shard, 1234..<1239) == Array(all[1234..<1239]))
    #expect(shard.documentStart(2) == documents[0].count + documents[1].count)
    #expect(shard.documentTextStart(2) == 3 * (documents[0].count + documents[1].count))
    #expect(shard.documentStart(3000) == all.count)
    let size = try readFile(file, limit: 1 << 30).count
    #expect(size < 256 + all.count * (vocabulary > 65_536 ? 4 : 2) + 8 + 16 * 3001)
  }

  @Test func idsBeyondTheVocabularyAreNotWritten() throws {
    let folder = try TemporaryFolder()
    for id in [Int32(100), -1] {
      let found = message {
        let writer = try TokenShardWriter(folder.path + "/a.tokens", vocabularySize: 100, fingerprint: "x")
        try writer.append([0, 99, id], textBytes: 1)
      }
      #expect(found?.contains("token id \(id), expected 0 to 99") == true, "\(found ?? "")")
    }
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).isEmpty)
  }

  /// At every byte of the header, in the tokens, in the table and just before the end.
  @Test func aCutTailIsSeen() throws {
    let folder = try TemporaryFolder()
    let file = try folder.makeShards([100]) + "/train-00000.tokens"
    let whole = try readFile(file, limit: 1 << 20)
    for count in Array(0...256) + [257, 300, 456, 457, 463, 464, whole.count - 16, whole.count - 1] {
      try writeFile(file, Array(whole[..<count]))
      let found = message { _ = try TokenShard(file) }
      #expect(found?.hasPrefix(file + ": ") == true && found?.contains("\n") == false, "\(count): \(found ?? "")")
      if count >= 8 { #expect(found?.contains("the tail is cut") == true, "\(count): \(found ?? "")") }
    }
    try writeFile(file, whole + [0])
    #expect(message { _ = try TokenShard(file) }?.contains("something was appended") == true)
    try writeFile(file, whole)
    #expect(message { _ = try TokenShard(file) } == nil)
  }

  /// Every bit of the header matters, and every bit behind it.
  @Test func everyFlippedBitIsSeen() throws {
    let folder = try TemporaryFolder()
    let file = try folder.makeShards([20]) + "/train-00000.tokens"
    let whole = try readFile(file, limit: 1 << 20)
    for index in whole.indices {
      var damaged = whole
      damaged[index] ^= 1 << UInt8(index % 8)
      try writeFile(file, damaged)
      let found = message { try TokenShard(file).verify() }
      #expect(found?.hasPrefix(file) == true, "byte \(index): \(found ?? "nothing")")
    }
  }

  /// A header that is whole but lies: every field beyond its range, with its checksum made right again.
  @Test(arguments: [
    (8, UInt32(2), "layout version 2"), (12, 4, "4 bytes a token"), (12, 0, "0 bytes a token"),
    (20, 1, "vocabulary size"),
    (30, 0xFFFF, "tokens is"), (24, 21, "expected 640 for 21 tokens"), (32, 300, "documents is 300"),
    (40, 21, "table of documents is damaged"), (46, 0x7FFF, "text bytes is"),
  ]) func lyingHeader(offset: Int, value: UInt32, words: String) throws {
    let folder = try TemporaryFolder()
    let file = try folder.makeShards([20], document: 1) + "/train-00000.tokens"
    var bytes = try readFile(file, limit: 1 << 20)
    bytes.withUnsafeMutableBytes { raw in
      // The numbers near the end of an 8-byte field reach into the next one; 2 bytes are enough there.
      if offset % 8 > 4 {
        raw.storeBytes(of: UInt16(truncatingIfNeeded: value), toByteOffset: offset, as: UInt16.self)
      } else {
        raw.storeBytes(of: value, toByteOffset: offset, as: UInt32.self)
      }
      let sum = ContentHash(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(raw)[..<248])).low
      raw.storeBytes(of: sum, toByteOffset: 248, as: UInt64.self)
    }
    try writeFile(file, bytes)
    let found = message { _ = try TokenShard(file) }
    #expect(found?.contains(words) == true, "\(found ?? "nothing")")
  }

  @Test func otherFilesAreNamed() throws {
    let folder = try TemporaryFolder()
    let text = try folder.write("a.tokens", [UInt8]("= Title = \n".utf8))
    #expect(message { _ = try TokenShard(text) }?.contains("no token shard") == true)
    #expect(message { _ = try TokenShard(folder.path) }?.contains("not a regular file") == true)
    #expect(message { _ = try TokenShard(folder.path + "/b") }?.contains("No such file") == true)
  }
}
