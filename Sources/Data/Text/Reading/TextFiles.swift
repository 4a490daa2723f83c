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
  private(set) var leftOut = LeftOut()

  static let extensions = ["txt", "text", "md", "raw", "tokens", "jsonl", "ndjson"]

  /// - Throws: `DataError` for a path that does not exist, or a folder without text.
  init(_ path: String) throws {
    var path = path
    while path.count > 1 && path.hasSuffix("/") { path.removeLast() }
    self.path = path
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
      throw DataError(path, found: "no such file or folder", remedy: "name a text, a JSONL file, or a folder of them")
    }
    guard isFolder.boolValue else {
      files = [try TextFiles.file(path, FilePath.name(of: path))]
      isNamed = false
      return
    }
    let walk = try FolderWalk(path)
    leftOut = walk.leftOut
    var files: [TextFile] = []
    for name in walk.files.sorted() {
      if TextFiles.isText(name) {
        files.append(try TextFiles.file(FilePath.join(path, name), name))
      } else {
        leftOut.add("files that are no texts by their names", name)
      }
    }
    guard !files.isEmpty else {
      throw DataError(
        "\(path): no text in this folder\(leftOut.text.map { " (\($0))" } ?? ""); expected files *.\(TextFiles.extensions.joined(separator: ", *.")), or these with .gz or .zst"
      )
    }
    try TextFiles.requireOnce(files)
    // Both, or the names mean something else.
    isNamed = DatasetSplit.allCases.allSatisfy { split in files.contains { $0.named == split } }
    if isNamed {
      for file in files where file.named == nil {
        leftOut.add("texts whose names are neither train's nor val's", file.name)
      }
      files = files.filter { $0.named != nil }
    }
    self.files = files
    if !isNamed { try requireNoTest() }
  }

  /// A part that is there to be tested on must neither be learnt nor become validation without a word.
  private func requireNoTest() throws {
    let tests = files.filter { TextFiles.saysTest($0.name) }
    guard let first = tests.first, files.count > tests.count,
      files.allSatisfy({ $0.named != nil || TextFiles.saysTest($0.name) })
    else { return }
    let missing = files.contains { $0.named == .train } ? DatasetSplit.val : .train
    throw DataError(
      "\(first.path): named test beside files named \(missing == .val ? "train" : "val"), but none is named \(missing.rawValue); "
        + (missing == .val
          ? "rename it to val to validate on it, or move it out of the folder" : "rename what is to be learnt to train")
    )
  }

  /// Whether there is one document only, the whole text of a file.
  func isOneDocument(_ rule: DocumentRule) -> Bool {
    rule == .file && files.count == 1 && !files[0].isJSONLines
  }

  /// Bytes of all files as they are on the disk.
  var bytes: Int { files.reduce(0) { $0 + $1.bytes } }

  private static func file(_ path: String, _ name: String) throws -> TextFile {
    var information = stat()
    guard stat(path, &information) == 0 else { throw DataError(path, found: "cannot be read: \(systemReason(errno))") }
    // WikiText's files have the same extension.
    guard innerExtension(name) != "tokens" || !TokenShardMark.begins(path) else {
      throw DataError(
        path, found: "a token shard", expected: "text",
        remedy: "name the folder that holds it, with train-00000.tokens or val-00000.tokens in it")
    }
    // What is no text is found before the first of many files is tokenized.
    _ = try ByteStream(path)
    return TextFile(
      path: path, name: name, bytes: Int(information.st_size),
      isJSONLines: ["jsonl", "ndjson"].contains(innerExtension(name)), named: namedSplit(name))
  }

  /// A text that is stored both packed and unpacked would be learnt twice, and be on both sides.
  private static func requireOnce(_ files: [TextFile]) throws {
    var seen: [String: String] = [:]
    for file in files {
      let suffix = [".gz", ".zst"].first(where: file.name.lowercased().hasSuffix) ?? ""
      let name = String(file.name.dropLast(suffix.count))
      if let other = seen.updateValue(file.path, forKey: name) {
        throw DataError("\(file.path)", found: "the same name as \(other)", remedy: "remove the one that is not wanted")
      }
    }
  }

  /// Whether a file is a text by its name.
  static func isText(_ name: String) -> Bool { extensions.contains(innerExtension(name)) }

  /// The extension without `.gz` and `.zst`.
  private static func innerExtension(_ name: String) -> String {
    let parts = name.lowercased().split(separator: ".")
    let inner = ["gz", "zst"].contains(parts.last) ? parts.dropLast() : parts[...]
    return inner.count > 1 ? String(inner.last!) : ""
  }

  /// `train/a.txt`, `wiki.train.tokens`, `TinyStories-valid.txt`: the first word of the path that names a split.
  static func namedSplit(_ name: String) -> DatasetSplit? {
    switch splitWord(name) {
    case "train", "training": .train
    case "val", "valid", "validation": .val
    default: nil
    }
  }

  private static func saysTest(_ name: String) -> Bool { splitWord(name) == "test" }

  /// The first word of a path that names a part.
  private static func splitWord(_ name: String) -> Substring? {
    let words = ["train", "training", "val", "valid", "validation", "test"]
    return name.lowercased()[...].split(whereSeparator: { !$0.isLetter }).first { words.contains(String($0)) }
  }
}
