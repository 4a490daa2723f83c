import Foundation
import MMoEFiles

/// What is directly in a folder, sorted by bytes. Links are followed.
package struct FolderListing {
  package struct Entry: Sendable, Equatable {
    /// The name, byte for byte.
    package let name: String
    package let isFolder: Bool
    /// Of a folder: which one it is, whatever path leads there.
    let identity: [UInt64]?
  }

  package private(set) var entries: [Entry] = []
  /// Entries that cannot be used: hidden ones, links that lead nowhere, names that are no UTF-8, devices and pipes; and what
  /// this program has made beside the data.
  package private(set) var leftOut = LeftOut()

  /// - Throws: `DataError` for a folder that cannot be read.
  package init(_ path: String) throws {
    guard let stream = opendir(path) else {
      throw DataError(
        path, found: "the folder cannot be read (\(systemReason(errno)))", remedy: "check its permissions")
    }
    defer { closedir(stream) }
    var names: [(bytes: [UInt8], isFile: Bool)] = []
    while let entry = readdir(stream) {
      let bytes = withUnsafeBytes(of: &entry.pointee.d_name) { Array($0.prefix { $0 != 0 }) }
      names.append((bytes, Int(entry.pointee.d_type) == Int(DT_REG)))
    }
    let itself = [[UInt8(ascii: ".")], [UInt8](repeating: UInt8(ascii: "."), count: 2)]
    names.sort { $0.bytes.lexicographicallyPrecedes($1.bytes) }
    for (bytes, isFile) in names where !itself.contains(bytes) {
      guard let name = String(validating: bytes, as: UTF8.self) else {
        leftOut.add("names that are no UTF-8", FolderListing.escaped(bytes))
        continue
      }
      guard bytes.first != UInt8(ascii: ".") else {
        leftOut.add("hidden files", name)
        continue
      }
      // A million files need not be looked up one by one.
      if isFile {
        entries.append(Entry(name: name, isFolder: false, identity: nil))
        continue
      }
      var information = stat()
      guard stat(FilePath.join(path, name), &information) == 0 else {
        leftOut.add("links that lead nowhere", name)
        continue
      }
      let kind = information.st_mode & S_IFMT
      guard kind == S_IFREG || kind == S_IFDIR else {
        leftOut.add("pipes and devices", name)
        continue
      }
      if kind == S_IFDIR, FolderListing.isMade(FilePath.join(path, name)) {
        leftOut.add("folders of runs and studies", name)
        continue
      }
      let identity = [UInt64(information.st_dev), UInt64(information.st_ino)]
      entries.append(Entry(name: name, isFolder: kind == S_IFDIR, identity: kind == S_IFDIR ? identity : nil))
    }
  }

  /// Whether a folder is that of a run or a study: with `--data .` these are below the data, and change it.
  private static func isMade(_ folder: String) -> Bool {
    [["run.json", "config.yaml"], ["rows.jsonl", "runs"]].contains { names in
      names.allSatisfy { access(FilePath.join(folder, $0), F_OK) == 0 }
    }
  }

  /// A name that is no UTF-8, for messages.
  private static func escaped(_ bytes: [UInt8]) -> String {
    bytes.map { 0x20..<0x7F ~= $0 ? String(UnicodeScalar($0)) : "\\x" + hex([$0]) }.joined()
  }
}

/// Bytes as hexadecimal digits.
func hex(_ bytes: some Sequence<UInt8>) -> String {
  bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
}

/// All files below a folder, sorted by the bytes of their names, folder by folder. Links are followed, and so is a folder
/// that is a link itself.
package struct FolderWalk {
  /// Paths below the folder.
  package private(set) var files: [String] = []
  /// What `FolderListing` leaves out in any of them, and links that lead back.
  package private(set) var leftOut = LeftOut()

  /// - Throws: `DataError` for a folder that cannot be read.
  package init(_ path: String) throws {
    guard FolderWalk.identity(path) != nil else {
      throw DataError(path, found: "cannot be read: \(systemReason(errno))")
    }
    // A link to the folder above would bring in other classes' files.
    var above: [[UInt64]] = []
    var folder = path
    while true {
      if let identity = FolderWalk.identity(folder) { above.append(identity) }
      let next = FilePath.folder(of: folder)
      guard next != folder else { break }
      folder = next
    }
    try walk(path, "", above: above)
  }

  private static func identity(_ path: String) -> [UInt64]? {
    var information = stat()
    return stat(path, &information) == 0 ? [UInt64(information.st_dev), UInt64(information.st_ino)] : nil
  }

  private mutating func walk(_ path: String, _ prefix: String, above: [[UInt64]]) throws {
    let listing = try FolderListing(path)
    leftOut.add(listing.leftOut, below: String(prefix.dropLast()))
    for entry in listing.entries {
      guard let identity = entry.identity else {
        files.append(prefix + entry.name)
        continue
      }
      guard !above.contains(identity) else {
        leftOut.add("links to a folder that they are in", prefix + entry.name)
        continue
      }
      try walk(FilePath.join(path, entry.name), prefix + entry.name + "/", above: above + [identity])
    }
  }
}
