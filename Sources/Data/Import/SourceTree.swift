import CArchive
import Foundation
import MMoEFiles

/// A file of a source.
typealias SourceFile = (name: String, content: Result<[UInt8], DataError>)

/// The files below a place from which images are imported: a folder, or an archive.
protocol SourceTree {
  var path: String { get }
  /// Paths of the files, with slashes between their parts, in the order in which they are read fastest.
  var names: [String] { get }
  var leftOut: LeftOut { get }
  /// What changes when a file does, without spaces: its size and the time of its last change, or the archive's.
  func version(of name: String) -> String
  /// Gives one file after the other, in the order of `names`.
  ///
  /// - Parameter wanted: names of the tree.
  /// - Returns: what gives the next file, whose content may be why it cannot be read: no regular file, or over `limit` bytes.
  /// - Throws: `DataError` for an archive that is damaged; what is returned throws it, too.
  func reader(of wanted: Set<String>, limit: Int) throws -> () throws -> SourceFile?
}

/// The size of a file and the nanosecond of its last change.
private func fileVersion(_ path: String) -> String {
  var status = stat()
  guard stat(path, &status) == 0 else { return "-" }
  return "\(status.st_size)-\(status.st_mtim.tv_sec)-\(status.st_mtim.tv_nsec)"
}

extension SourceTree {
  /// The content of one file.
  func read(_ name: String, limit: Int) throws -> [UInt8] {
    guard let file = try reader(of: [name], limit: limit)() else {
      throw DataError(
        "\(path)/\(name)", found: "cannot be read any more", remedy: "leave the source unchanged meanwhile")
    }
    return try file.content.get()
  }
}

/// A folder. Links are followed.
struct FolderTree: SourceTree {
  let path: String
  let names: [String]
  let leftOut: LeftOut

  init(_ path: String) throws {
    let walk = try FolderWalk(path)
    (self.path, names, leftOut) = (path, walk.files, walk.leftOut)
  }

  func version(of name: String) -> String { fileVersion(FilePath.join(path, name)) }

  func reader(of wanted: Set<String>, limit: Int) throws -> () throws -> SourceFile? {
    var rest = names[...]
    return {
      while let name = rest.popFirst() {
        guard wanted.contains(name) else { continue }
        do {
          return (name, .success(try readFile(FilePath.join(path, name), limit: limit)))
        } catch let error as DataError {
          return (name, .failure(error))
        }
      }
      return nil
    }
  }
}

/// A tar or zip archive, packed or not. Nothing of it is written to the disk.
///
/// Names that lead out of the archive are refused, and so is an archive that unpacks to far more than pictures do.
struct ArchiveTree: SourceTree {
  let path: String
  private(set) var names: [String] = []
  private(set) var leftOut = LeftOut()
  private let version: String

  /// Pictures are packed already, and raw ones shrink to a third; what unpacks to more than this is made to fill disks.
  private static let largestRatio = 100
  private static let ratioMatters = 64 << 20

  init(_ path: String) throws {
    self.path = path
    version = fileVersion(path)
    var seen = Set<String>()
    let walk = try ArchiveWalk(path)
    var total = 0
    let limit = max(ArchiveTree.ratioMatters, try fileSize(path) * ArchiveTree.largestRatio)
    while let entry = try walk.next() {
      guard let name = entry.name, !name.contains("\0") else {
        leftOut.add("names that are no UTF-8", "entry \(entry.number)")
        continue
      }
      let parts = name.split(separator: "/", omittingEmptySubsequences: true).filter { $0 != "." }
      guard !name.hasPrefix("/"), !parts.contains("..") else {
        throw DataError(
          path, field: "entry \(entry.number)", found: "'\(name)', which leads out of the archive",
          expected: "names below it", remedy: "do not trust this archive")
      }
      guard entry.kind != MMOE_ARCHIVE_FOLDER else { continue }
      guard entry.kind == MMOE_ARCHIVE_FILE else {
        leftOut.add("links and devices", name)
        continue
      }
      // Programs on a Mac add such entries.
      guard !parts.contains(where: { $0.hasPrefix(".") || $0 == "__MACOSX" }) else {
        leftOut.add("hidden files", name)
        continue
      }
      total += max(0, entry.size)
      guard total <= limit else {
        throw DataError(
          path, found: "more than \(limit) bytes when unpacked, \(ArchiveTree.largestRatio) times its size",
          expected: "an archive of images", remedy: "do not trust this archive")
      }
      let joined = parts.joined(separator: "/")
      guard seen.insert(joined).inserted else {
        throw DataError(
          path, found: "two entries '\(joined)'", expected: "one", remedy: "unpack it and name the folder")
      }
      names.append(joined)
    }
  }

  func version(of name: String) -> String { version }

  func reader(of wanted: Set<String>, limit: Int) throws -> () throws -> SourceFile? {
    let walk = try ArchiveWalk(path)
    var left = wanted.count
    return {
      while left > 0, let entry = try walk.next() {
        guard entry.kind == MMOE_ARCHIVE_FILE, let name = entry.name else { continue }
        let joined = name.split(separator: "/", omittingEmptySubsequences: true).filter { $0 != "." }
          .joined(separator: "/")
        guard wanted.contains(joined) else { continue }
        left -= 1
        return (joined, try walk.content(of: joined, limit: limit))
      }
      return nil
    }
  }
}

/// The entries of an archive in their order.
private final class ArchiveWalk {
  struct Entry {
    let number: Int
    /// Nil where it is no UTF-8.
    let name: String?
    let size: Int
    let kind: mmoe_archive_kind
  }

  private let path: String
  private let archive: OpaquePointer
  private var number = 0
  private var message = [CChar](repeating: 0, count: Int(MMOE_ARCHIVE_MESSAGE))

  /// What libarchive said last.
  private var reason: String { ArchiveWalk.text(message) }

  private static func text(_ message: [CChar]) -> String {
    String(decoding: message.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  init(_ path: String) throws {
    self.path = path
    guard let archive = mmoe_archive_open(path, &message) else {
      throw DataError(
        path, found: "cannot be read as an archive (\(ArchiveWalk.text(message)))",
        expected: "a folder, or a tar or zip archive", remedy: "check the download")
    }
    self.archive = archive
  }

  deinit { mmoe_archive_close(archive) }

  func next() throws -> Entry? {
    var name: UnsafePointer<CChar>?
    var size: Int64 = 0
    var kind = MMOE_ARCHIVE_OTHER
    let status = mmoe_archive_next(archive, &name, &size, &kind, &message)
    guard status >= 0 else { throw damaged(nil) }
    guard status > 0 else { return nil }
    number += 1
    return Entry(number: number, name: name.flatMap { String(validatingCString: $0) }, size: Int(size), kind: kind)
  }

  /// The content of the entry that was met last.
  func content(of name: String, limit: Int) throws -> Result<[UInt8], DataError> {
    var bytes: [UInt8] = []
    let room = 1 << 20
    while true {
      let before = bytes.count
      var got = 0
      bytes.reserveCapacity(before + room)
      bytes.append(contentsOf: repeatElement(0, count: room))
      bytes.withUnsafeMutableBufferPointer {
        got = mmoe_archive_read(archive, $0.baseAddress! + before, room, &message)
      }
      guard got >= 0 else { throw damaged(name) }
      bytes.removeLast(room - got)
      guard got > 0 else { return .success(bytes) }
      guard bytes.count <= limit else {
        return .failure(DataError("\(path)/\(name)", found: "more than \(limit) bytes", expected: "an image"))
      }
    }
  }

  private func damaged(_ name: String?) -> DataError {
    DataError(
      path,
      found: "damaged or cut\(name.map { " at \($0)" } ?? " after entry \(number)") (\(reason))",
      remedy: "download it again, or unpack it and name the folder")
  }
}
