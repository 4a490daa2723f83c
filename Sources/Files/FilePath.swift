import Foundation

/// Paths as the system reads them: bytes between slashes.
///
/// Foundation's own operations on paths trap on a name of one character and rewrite others, so nothing else in the program
/// takes paths apart (`ArchitectureTests` holds this).
package enum FilePath {
  /// The folder that a file of this path is in: `.` for a bare name, `/` for what is directly below it.
  package static func folder(of path: String) -> String {
    let bytes = trimmed(path)
    guard let slash = bytes.lastIndex(of: separator) else { return bytes.isEmpty && !path.isEmpty ? "/" : "." }
    let parent = trimmed(bytes[..<slash])
    return parent.isEmpty ? "/" : String(decoding: parent, as: UTF8.self)
  }

  /// The last name of a path, without slashes behind it: `b` of `/a/b/`; `/` for the root, nothing for an empty path.
  package static func name(of path: String) -> String {
    let bytes = trimmed(path)
    if bytes.isEmpty { return path.isEmpty ? "" : "/" }
    return String(
      decoding: bytes[(bytes.lastIndex(of: separator).map { $0 + 1 } ?? bytes.startIndex)...], as: UTF8.self)
  }

  /// The last name of a path without its extension: `b` of `/a/b.yaml`, `.b` of `.b`.
  package static func stem(of path: String) -> String {
    let name = Array(name(of: path).utf8)
    guard let dot = name.lastIndex(of: UInt8(ascii: ".")), dot > 0 else { return String(decoding: name, as: UTF8.self) }
    return String(decoding: name[..<dot], as: UTF8.self)
  }

  /// The path of a file in a folder.
  package static func join(_ folder: String, _ name: String) -> String {
    folder.utf8.last == separator ? folder + name : folder + "/" + name
  }

  /// A path without the slashes that shells add to folders' names.
  package static func withoutTrailingSlashes(_ path: String) -> String {
    let bytes = trimmed(path)
    return bytes.isEmpty && !path.isEmpty ? "/" : String(decoding: bytes, as: UTF8.self)
  }

  /// A path whose last name is one that can be built upon: `.` and `..` stand for the folder's own path.
  package static func named(_ path: String) -> String {
    [".", ".."].contains(name(of: path)) ? resolved(path) : path
  }

  /// The path behind all links, from the root; the path itself where there is nothing.
  package static func resolved(_ path: String) -> String {
    guard let resolved = realpath(path, nil) else { return path }
    defer { free(resolved) }
    return String(cString: resolved)
  }

  /// The path of a place as it is seen from a folder: `../a.txt`. Both are given from the root, without links.
  package static func relative(_ path: String, to folder: String) -> String {
    let (own, other) = (path.utf8.split(separator: separator), folder.utf8.split(separator: separator))
    let common = zip(own, other).prefix { $0.elementsEqual($1) }.count
    let up = Array(repeating: "..", count: other.count - common)
    return (up + own[common...].map { String(Substring($0)) }).joined(separator: "/")
  }

  /// The path from the root; links stay as they are named.
  package static func absolute(_ path: String) -> String {
    path.utf8.first == separator ? path : join(FileManager.default.currentDirectoryPath, path)
  }

  private static let separator = UInt8(ascii: "/")

  private static func trimmed(_ path: String) -> ArraySlice<UInt8> { trimmed(Array(path.utf8)[...]) }

  private static func trimmed(_ bytes: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
    var bytes = bytes
    while bytes.last == separator { bytes.removeLast() }
    return bytes
  }
}
