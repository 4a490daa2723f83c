import MMoEFiles

/// What a text for `--data` is before it is tokenized: its files, looked at but not read.
package struct TextInspection: Sendable, Equatable {
  package let files: Int
  /// As they are on the disk, packed or not.
  package let bytes: Int
  /// Files that their names give to a part; nil where the content of documents decides.
  package let named: [DatasetSplit: Int]?
  package let leftOut: LeftOut

  /// - Parameter path: a text file, a JSONL file, one of these packed, or a folder of them.
  /// - Throws: `DataError` for a path without text, and for files that are no text.
  package init(path: String) throws {
    let corpus = try TextFiles(path)
    files = corpus.files.count
    bytes = corpus.bytes
    named =
      corpus.isNamed
      ? Dictionary(grouping: corpus.files.compactMap(\.named)) { $0 }.mapValues(\.count) : nil
    leftOut = corpus.leftOut
  }

  /// Whether a file may be a text, packed or not: by its name, or since nothing says that it is something else.
  package static func isCandidate(_ file: String) -> Bool {
    TextFiles.isText(FilePath.name(of: file)) || FileKind.signed(file: file) == nil
  }

  /// Whether there are more texts than images below a folder, by the files' names.
  ///
  /// - Throws: `DataError` for a folder that cannot be read.
  package static func prevails(in folder: String) throws -> Bool {
    let names = try FolderWalk(folder).files
    let texts = names.count(where: TextFiles.isText)
    return texts > names.count { ImageFormat.reads($0) || ClassListing.isOtherFormat($0) }
  }
}
