import Foundation

/// A file that is written under `NAME.tmp-<process>` and takes its name only when it is complete and on the disk.
///
/// This is the one way in which the program writes files that replace others: whatever happens before `commit` has returned, a
/// full disk or the end of the process, an earlier file of the name is as it was.
///
/// While it is open its writer holds a lock on it. A temporary file without one was left by a process that died, on this host or
/// another, and goes when the next file of its name is written.
package final class DurableFile {
  /// Whose leftovers are removed.
  package enum Leftovers: Sendable {
    /// Those of files of the same name.
    case ofName
    /// Those of all files with the same extension, where each has a name of its own, as the checkpoints of a run have.
    case ofExtension
  }

  /// Where the bytes are until `commit`.
  package let path: String
  /// Open for reading and writing.
  package let descriptor: Int32
  private let finalPath: String
  private let folder: String
  /// Whether `path` is this file; later it may be another writer's.
  private var isPresent = true
  private var end = 0

  /// - Throws: when the folder cannot be written, when somebody else writes the same file, or when the name is that of a folder, a
  ///   device, or a file that is read-only.
  package init(_ named: String, leftovers: Leftovers = .ofName) throws(FileFailure) {
    // A link stays one: what it points to is replaced.
    let finalPath =
      (try? FileManager.default.destinationOfSymbolicLink(atPath: named)) != nil
      ? FilePath.resolved(named) : named
    self.finalPath = finalPath
    folder = FilePath.folder(of: finalPath)
    path = "\(finalPath).tmp-\(getpid())"
    try OutputPlace.requireFile(finalPath)
    let name = FilePath.name(of: finalPath)
    switch leftovers {
    case .ofName: Self.removeLeftovers(in: folder) { $0 == name }
    case .ofExtension:
      let suffix = name.lastIndex(of: ".").map { String(name[$0...]) } ?? ""
      Self.removeLeftovers(in: folder) { $0.hasSuffix(suffix) }
    }
    descriptor = try Self.create(path, for: finalPath)
    var status = stat()
    // Who may read it stays as it was.
    if stat(finalPath, &status) == 0 { fchmod(descriptor, status.st_mode & 0o777) }
  }

  deinit {
    remove()
    close(descriptor)
  }

  /// Writes bytes at a position in the file.
  package func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(FileFailure) {
    var done = 0
    while done < bytes.count {
      let written = pwrite(descriptor, bytes.baseAddress! + done, bytes.count - done, off_t(offset + done))
      if written > 0 {
        done += written
      } else if errno != EINTR {
        throw FileFailure(writing: finalPath, errno)
      }
    }
    end = max(end, offset + bytes.count)
  }

  /// Writes bytes after all that were written so far.
  package func append(_ bytes: UnsafeRawBufferPointer) throws(FileFailure) { try write(bytes, at: end) }

  /// Makes the content durable and gives the file its name.
  ///
  /// - Throws: with the earlier file of this name unchanged unless the very last step, making the name itself durable, has failed.
  package func commit() throws(FileFailure) {
    guard fsync(descriptor) == 0, rename(path, finalPath) == 0 else { throw FileFailure(writing: finalPath, errno) }
    isPresent = false
    try Self.synchronizeFolder(folder, of: finalPath)
  }

  /// Removes the file unless it is gone or has its name already.
  package func remove() {
    guard isPresent else { return }
    isPresent = false
    unlink(path)
  }

  // MARK: Whole files

  /// Writes a whole file.
  package static func write(_ bytes: UnsafeRawBufferPointer, to path: String) throws(FileFailure) {
    let file = try DurableFile(path)
    try file.append(bytes)
    try file.commit()
  }

  /// Writes a whole file.
  package static func write(_ bytes: some ContiguousBytes, to path: String) throws(FileFailure) {
    var failure: FileFailure?
    bytes.withUnsafeBytes { buffer in
      do throws(FileFailure) { try write(buffer, to: path) } catch { failure = error }
    }
    if let failure { throw failure }
  }

  /// Writes a whole file of text in UTF-8.
  package static func write(_ text: String, to path: String) throws(FileFailure) {
    try write(Array(text.utf8), to: path)
  }

  // MARK: Parts

  /// Makes the names in a folder durable.
  package static func synchronizeFolder(_ folder: String, of path: String) throws(FileFailure) {
    let directory = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard directory >= 0 else {
      throw FileFailure(
        path, found: "its folder cannot be opened: \(systemReason(errno))", remedy: "check the folder's permissions")
    }
    defer { close(directory) }
    // Some file systems have no such operation, and then nothing to make durable.
    guard fsync(directory) == 0 || errno == EINVAL else {
      throw FileFailure(
        path, found: "its folder cannot be written to the disk: \(systemReason(errno))", remedy: "check the disk")
    }
  }

  private static func create(_ path: String, for finalPath: String) throws(FileFailure) -> Int32 {
    while true {
      let descriptor = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
      guard descriptor >= 0 else {
        throw errno == EEXIST
          ? FileFailure(finalPath, found: "is being written already", remedy: "if it is not, delete \(path)")
          : FileFailure(writing: finalPath, errno)
      }
      // Without locks in the file system nobody removes leftovers either.
      _ = lock(descriptor, waits: true)
      // Another writer may have taken it for a leftover before it was locked.
      if isLinked(descriptor) { return descriptor }
      close(descriptor)
    }
  }

  /// - Parameter isOwn: whether what stands before `.tmp-<process>` is the name of a file whose leftovers go.
  private static func removeLeftovers(in folder: String, _ isOwn: (String) -> Bool) {
    for name in (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? [] {
      guard let place = name.range(of: ".tmp-", options: .backwards), Int32(name[place.upperBound...]) != nil,
        isOwn(String(name[..<place.lowerBound]))
      else { continue }
      let path = FilePath.join(folder, name)
      let descriptor = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
      guard descriptor >= 0 else { continue }
      if lock(descriptor, waits: false), isLinked(descriptor) { unlink(path) }
      close(descriptor)
    }
  }

  /// Whether the file still has a name.
  private static func isLinked(_ descriptor: Int32) -> Bool {
    var status = stat()
    return fstat(descriptor, &status) == 0 && status.st_nlink > 0
  }

  /// A lock of the open file, not of the process, and apart from `flock`, which HDF5 uses itself. The kernel drops it with the
  /// process, so that a dead writer is told from a living one on any host.
  private static func lock(_ descriptor: Int32, waits: Bool) -> Bool {
    // F_OFD_SETLK and F_OFD_SETLKW, which Swift's view of the C library lacks.
    let command: Int32 = waits ? 38 : 37
    var whole = flock()
    whole.l_type = Int16(F_WRLCK)
    whole.l_whence = Int16(SEEK_SET)
    var status: Int32
    repeat { status = fcntl(descriptor, command, &whole) } while status < 0 && errno == EINTR
    return status == 0
  }
}
