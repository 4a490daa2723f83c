import Foundation
import MMoEFiles

/// What in a text file is a document.
public enum DocumentRule: String, Sendable, Codable, CaseIterable {
  /// The whole file.
  case file
  /// Parts between blank lines.
  case blankLines = "blank-lines"
  /// Parts that begin with a line ` = Title = ` between blank lines, as in WikiText.
  case headings
  /// Parts between lines `<|endoftext|>`, as in TinyStories; the line itself is no text.
  case endOfText = "endoftext"
}

/// One file of a corpus.
struct TextFile: Sendable, Equatable {
  var path: String
  /// The path below the corpus's folder, or the file's name.
  var name: String
  var bytes: Int
  /// Lines are JSON objects.
  var isJSONLines: Bool
  /// The split that the name says.
  var named: DatasetSplit?
}

/// The text files of a corpus: a file, or those of a folder and its folders, sorted by name.
struct TextFiles: Sendable {
  let path: String
  let files: [TextFile]
  /// Whether the files' names say what is for training and what for validation.
  let isNamed: Bool
  /// Files of a folder that are left out: no text by their names, or `test` beside `train` and `val`.
  let leftOut: [String]

  static let extensions = ["txt", "text", "md", "raw", "tokens", "jsonl", "ndjson"]

  /// - Throws: `DataError` for a path that does not exist, or a folder without text.
  init(_ path: String) throws {
    var path = path
    while path.count > 1 && path.hasSuffix("/") { path.removeLast() }
    self.path = path
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
      throw DataError("\(path): no such file or folder; name a text, a JSONL file, or a folder of them")
    }
    guard isFolder.boolValue else {
      files = [try TextFiles.file(path, FilePath.name(of: path))]
      isNamed = false
      leftOut = []
      return
    }
    guard let names = FileManager.default.enumerator(atPath: path) else {
      throw DataError("\(path): cannot be read; check the folder's permissions")
    }
    var files: [TextFile] = []
    var leftOut: [String] = []
    for name in names.compactMap({ $0 as? String }).sorted() {
      var isFolder: ObjCBool = false
      let file = path + "/" + name
      guard !name.split(separator: "/").contains(where: { $0.hasPrefix(".") }),
        FileManager.default.fileExists(atPath: file, isDirectory: &isFolder), !isFolder.boolValue
      else { continue }
      if TextFiles.extensions.contains(TextFiles.innerExtension(name)) {
        files.append(try TextFiles.file(file, name))
      } else {
        leftOut.append(name)
      }
    }
    guard !files.isEmpty else {
      throw DataError(
        "\(path): no text in this folder; expected files *.\(TextFiles.extensions.joined(separator: ", *.")), or these with .gz or .zst"
      )
    }
    try TextFiles.requireOnce(files)
    // Both, or the names mean something else.
    isNamed = DatasetSplit.allCases.allSatisfy { split in files.contains { $0.named == split } }
    if isNamed {
      leftOut += files.filter { $0.named == nil }.map(\.name)
      files = files.filter { $0.named != nil }
    }
    self.files = files
    self.leftOut = leftOut.sorted()
  }

  /// Whether there is one document only, the whole text of a file.
  func isOneDocument(_ rule: DocumentRule) -> Bool {
    rule == .file && files.count == 1 && !files[0].isJSONLines
  }

  /// Bytes of all files as they are on the disk.
  var bytes: Int { files.reduce(0) { $0 + $1.bytes } }

  private static func file(_ path: String, _ name: String) throws -> TextFile {
    var information = stat()
    guard stat(path, &information) == 0 else { throw DataError("\(path): cannot be read: \(systemMessage())") }
    // WikiText's files have the same extension.
    guard innerExtension(name) != "tokens" || !TokenShard.isShard(path) else {
      throw DataError(
        "\(path): a token shard, expected text; name the folder that holds it, with train-00000.tokens or val-00000.tokens in it"
      )
    }
    return TextFile(
      path: path, name: name, bytes: Int(information.st_size),
      isJSONLines: ["jsonl", "ndjson"].contains(innerExtension(name)), named: namedSplit(name))
  }

  /// A text that lies there packed and unpacked would be learnt twice, and be on both sides.
  private static func requireOnce(_ files: [TextFile]) throws {
    var seen: [String: String] = [:]
    for file in files {
      let name =
        [".gz", ".zst"].first(where: file.name.hasSuffix).map { String(file.name.dropLast($0.count)) } ?? file.name
      if let other = seen.updateValue(file.path, forKey: name) {
        throw DataError("\(file.path): the same name as \(other); remove the one that is not wanted")
      }
    }
  }

  /// The extension without `.gz` and `.zst`.
  private static func innerExtension(_ name: String) -> String {
    let parts = name.lowercased().split(separator: ".")
    let inner = ["gz", "zst"].contains(parts.last) ? parts.dropLast() : parts[...]
    return inner.count > 1 ? String(inner.last!) : ""
  }

  /// `train/a.txt`, `wiki.train.tokens`, `TinyStories-valid.txt`: the first word of the path that names a split.
  static func namedSplit(_ name: String) -> DatasetSplit? {
    for word in name.lowercased().split(whereSeparator: { !$0.isLetter }) {
      switch word {
      case "train", "training": return .train
      case "val", "valid", "validation": return .val
      case "test": return nil
      default: continue
      }
    }
    return nil
  }
}
