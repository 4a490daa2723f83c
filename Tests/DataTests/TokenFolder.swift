import Foundation
import MMoETensor
import Testing

@testable import MMoEData

extension TemporaryFolder {
  /// Writes shards of the given sizes under `shards/`, whose tokens count up from 0 modulo the vocabulary, with
  /// documents of the given length; the byte tokenizer's, unless the vocabulary is another.
  @discardableResult
  func makeShards(
    _ sizes: [Int], split: DatasetSplit = .train, vocabulary: Int = 256, document: Int = 10
  ) throws -> String {
    let folder = path + "/shards"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    var next = 0
    for (index, size) in sizes.enumerated() {
      let writer = try TokenShardWriter(
        TokenCorpus.shardPath(folder, split, index), vocabularySize: vocabulary,
        fingerprint: vocabulary == 256 ? "bytes" : "test-\(vocabulary)", continuesDocument: next % document != 0)
      for _ in 0..<size {
        try writer.append([Int32(next % vocabulary)], textBytes: 1)
        next += 1
        if next % document == 0 { writer.endDocument() }
      }
      try writer.finish()
    }
    return folder
  }

  /// All files below a folder by name.
  func contents(of folder: String) throws -> [String: [UInt8]] {
    let names = FileManager.default.enumerator(atPath: folder)?.compactMap { $0 as? String } ?? []
    var files: [String: [UInt8]] = [:]
    for name in names {
      var isFolder: ObjCBool = false
      let file = folder + "/" + name
      guard FileManager.default.fileExists(atPath: file, isDirectory: &isFolder), !isFolder.boolValue else { continue }
      files[name] = try readFile(file, limit: 1 << 30)
    }
    return files
  }
}
