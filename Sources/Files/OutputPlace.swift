import Foundation

/// The rule for places at which the program makes files: `DurableFile` holds to it when it writes, and commands before they compute.
package enum OutputPlace {
  /// Type bits of what a path leads to; nil where there is nothing.
  package static func kind(of path: String) -> mode_t? {
    var information = stat()
    return stat(path, &information) == 0 ? information.st_mode & S_IFMT : nil
  }

  /// - Throws: where no file can be made or replaced, but for what only an attempt tells, such as a full disk.
  package static func requireFile(_ path: String) throws(FileFailure) {
    switch kind(of: path) {
    case nil where path.utf8.last == UInt8(ascii: "/"), S_IFDIR:
      throw FileFailure(path, found: "a folder", expected: "a file", remedy: "name one in it")
    case nil:
      let parent = FilePath.folder(of: path)
      guard let kind = kind(of: parent) else {
        throw FileFailure(
          path, found: "there is no folder \(parent)", remedy: "make it with mkdir -p \(ShellWord.quoted(parent))")
      }
      guard kind == S_IFDIR else {
        throw FileFailure(path, found: "\(parent) is a file", expected: "a folder", remedy: "name another one")
      }
    case S_IFREG:
      guard access(path, W_OK) == 0 else { throw FileFailure(writing: path, errno) }
    default:
      throw FileFailure(path, found: "no regular file, and would be replaced by one", remedy: "name another file")
    }
  }
}
