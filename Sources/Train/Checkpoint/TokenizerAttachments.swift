import Foundation
import MMoEData
import MMoEFiles
import MMoEReport

/// A tokenizer's files as a checkpoint carries them, so that it can be evaluated and used alone.
package enum TokenizerAttachments {
  private static let prefix = "tokenizer/"

  /// - Throws: `DataError` when the temporary folder cannot be written.
  package static func make(_ tokenizer: any Tokenizer) throws -> [String: [UInt8]] {
    try withTemporaryFolder { folder in
      try tokenizer.save(to: folder)
      var files: [String: [UInt8]] = [:]
      for name in try FileManager.default.contentsOfDirectory(atPath: folder) {
        files[prefix + name] = [UInt8](try Data(contentsOf: URL(fileURLWithPath: folder + "/" + name)))
      }
      return files
    }
  }

  /// - Throws: `TrainError` when there is no tokenizer; `DataError` when its files are broken.
  package static func load(_ attachments: [String: [UInt8]]) throws -> any Tokenizer {
    let files = attachments.filter { $0.key.hasPrefix(prefix) && !$0.key.dropFirst(prefix.count).contains("/") }
    guard !files.isEmpty else {
      throw TrainError("the checkpoint has no attachments/tokenizer; expected a file made by `mmoe train --task lm`")
    }
    return try withTemporaryFolder { folder in
      for (name, bytes) in files { try writeFile(folder + "/" + name.dropFirst(prefix.count), bytes) }
      return try TokenizerFiles.tokenizer(folder)
    }
  }

  private static func withTemporaryFolder<Result>(_ body: (String) throws -> Result) throws -> Result {
    let folder = NSTemporaryDirectory() + "mmoe-tokenizer-" + UUID().uuidString
    do {
      try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    } catch {
      throw TrainError(folder, found: "cannot be created", remedy: "set TMPDIR to a folder that you can write to")
    }
    defer { try? FileManager.default.removeItem(atPath: folder) }
    return try body(folder)
  }
}
