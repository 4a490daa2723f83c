import MMoEData
import MMoEFiles

/// What a command writes must not replace what it reads.
enum OutputCheck {
  /// - Parameters:
  ///   - outputs: files that are to be written, with the options that name them.
  ///   - inputs: the images that were read or will be.
  ///   - data: the folder of a data set, whose other parts hold images that this command does not read.
  /// - Throws: `RunError` where one is the other, whatever path leads there.
  static func requireOther(
    _ outputs: [(option: String, path: String?)], than inputs: [String], in data: String? = nil
  ) throws {
    let used = Set(inputs.map(FilePath.resolved))
    for (option, path) in outputs {
      guard let path else { continue }
      guard used.contains(FilePath.resolved(path)) || data.map({ isImage(path, of: $0) }) == true else { continue }
      throw RunError(option, found: "\(path) is one of the images", expected: "another file", remedy: "name a new one")
    }
  }

  /// Whether there is an image in a folder of the data set; what stands beside these folders belongs to no class.
  private static func isImage(_ path: String, of data: String) -> Bool {
    guard ImageFormat.reads(path), OutputPlace.kind(of: path) != nil else { return false }
    let folder = FilePath.folder(of: FilePath.resolved(path)).utf8
    return folder.starts(with: (FilePath.resolved(data) + "/").utf8)
  }
}
