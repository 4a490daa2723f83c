import Foundation
import MMoEFiles

/// Digests of files' contents. Those of large files are remembered in a cache, since a text of 100 GB takes minutes to read.
///
/// A remembered digest holds while the file is the same one (device and inode), of the same size, and neither its content nor
/// anything else about it has changed since: the system sets the time of the last change itself, and no program can set it back.
struct FileDigests {
  /// Smaller files are read every time.
  static let remembersFrom = 64 << 20

  private struct Entry: Codable, Equatable {
    let device, inode, size: UInt64
    /// Nanoseconds of the last change of the content, and of anything.
    let modified, changed: Int
    let digest: String
  }

  private let file: String
  private let threshold: Int
  private var known: [String: Entry]
  private var isChanged = false

  /// - Parameters:
  ///   - cache: the folder in which digests are remembered.
  ///   - threshold: bytes of the smallest file that is.
  init(cache: String, threshold: Int = remembersFrom) {
    self.threshold = threshold
    file = FilePath.join(cache, "digests.json")
    let bytes = FileManager.default.contents(atPath: file) ?? Data()
    // What cannot be read is only computed again.
    known = (try? JSONDecoder().decode([String: Entry].self, from: bytes)) ?? [:]
  }

  /// The digest of a file's content.
  ///
  /// - Throws: `DataError` for a file that cannot be read.
  mutating func digest(of path: String) throws -> String {
    let before = try FileDigests.status(path)
    guard before.st_size >= threshold else { return try ContentHash(file: path).name }
    let place = realpath(path, nil).map { pointer in
      defer { free(pointer) }
      return String(cString: pointer)
    }
    func entry(_ status: stat, _ digest: String) -> Entry {
      Entry(
        device: UInt64(status.st_dev), inode: UInt64(status.st_ino), size: UInt64(status.st_size),
        modified: FileDigests.nanoseconds(status.st_mtim), changed: FileDigests.nanoseconds(status.st_ctim),
        digest: digest)
    }
    if let place, let old = known[place], old == entry(before, old.digest) { return old.digest }
    let digest = try ContentHash(file: path).name
    var now = timespec()
    clock_gettime(CLOCK_REALTIME, &now)
    // A change in the same tick of the file system's clock would not be seen.
    let isOld = FileDigests.nanoseconds(now) - FileDigests.nanoseconds(before.st_ctim) > 2_000_000_000
    if let place, isOld, entry(try FileDigests.status(path), digest) == entry(before, digest) {
      known[place] = entry(before, digest)
      isChanged = true
    }
    return digest
  }

  /// Keeps what was found for the next time, where the cache can be written.
  func remember() {
    guard isChanged else { return }
    try? FileManager.default.createDirectory(atPath: FilePath.folder(of: file), withIntermediateDirectories: true)
    let present = known.filter { FileManager.default.fileExists(atPath: $0.key) }
    guard let bytes = try? JSONEncoder().encode(present) else { return }
    try? DurableFile.write(bytes, to: file)
  }

  private static func status(_ path: String) throws -> stat {
    var status = stat()
    guard stat(path, &status) == 0 else { throw DataError(path, found: "cannot be read: \(systemReason(errno))") }
    return status
  }

  private static func nanoseconds(_ time: timespec) -> Int { time.tv_sec * 1_000_000_000 + time.tv_nsec }
}

/// The content of a file as a digest.
public enum FileContent {
  /// XXH3-128 in 32 hexadecimal digits; of several files, of all contents one after the other with their lengths.
  ///
  /// - Throws: `DataError` for a file that cannot be read.
  public static func digest(of paths: String...) throws -> String { try digest(of: paths) }

  /// The digest of a text.
  public static func digest(text: String) -> String { ContentHash(Array(text.utf8)).name }

  /// As of several files above.
  package static func digest(of paths: [String]) throws -> String {
    guard paths.count != 1 else { return try ContentHash(file: paths[0]).name }
    let hasher = ContentHasher()
    for path in paths { hasher.add(try ContentHash(file: path).name) }
    return hasher.value.name
  }
}
