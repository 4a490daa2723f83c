import CHDF5
import Foundation
import MMoEFiles

/// A file that is written under `NAME.tmp-<process>` and takes its name only when complete.
///
/// While it is open its writer holds a lock on it. A temporary file without one was left by a
/// process that died, on this host or another, and goes when the next file of its kind is written.
final class TemporaryFile {
  let path: String
  let file: OpenFile
  private let finalPath: String
  private let folder: String
  /// Whether `path` is this file; later it may be another writer's.
  private var isPresent = true

  /// - Throws: `HDF5Error` when the folder cannot be written, or somebody else writes the same
  ///   file.
  init(for finalPath: String) throws {
    self.finalPath = finalPath
    folder = FilePath.folder(of: finalPath)
    path = "\(finalPath).tmp-\(getpid())"
    var isFolder: ObjCBool = false
    guard
      !FileManager.default.fileExists(atPath: finalPath, isDirectory: &isFolder)
        || !isFolder.boolValue
    else {
      throw HDF5Error(.unwritable, finalPath, "is a folder; give the path of a file")
    }
    let name = FilePath.name(of: finalPath)
    Self.removeLeftovers(in: folder, suffix: name.lastIndex(of: ".").map { String(name[$0...]) } ?? "")
    file = try Self.create(path, for: finalPath)
  }

  /// Makes the content durable and gives the file its name.
  ///
  /// - Throws: `HDF5Error`; the earlier file of this name is unchanged unless the very last step,
  ///   making the name itself durable, has failed.
  func commit() throws {
    guard fsync(file.descriptor) == 0 else { throw failure("cannot be written to the disk", errno) }
    guard rename(path, finalPath) == 0 else { throw failure("cannot be named", errno) }
    isPresent = false
    let directory = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard directory >= 0 else { throw failure("its folder cannot be opened", errno) }
    defer { close(directory) }
    // Some file systems have no such operation, and then nothing to make durable.
    guard fsync(directory) == 0 || errno == EINVAL else {
      throw failure("its folder cannot be written to the disk", errno)
    }
  }

  /// Removes the file unless it is gone or has its name already.
  func remove() {
    guard isPresent else { return }
    isPresent = false
    unlink(path)
  }

  private func failure(_ what: String, _ code: Int32) -> HDF5Error {
    HDF5Error(.unwritable, finalPath, "\(what): \(systemReason(code))")
  }

  private static func create(_ path: String, for finalPath: String) throws -> OpenFile {
    while true {
      let descriptor = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o644)
      guard descriptor >= 0 else { throw refusal(errno, path, finalPath) }
      let file = OpenFile(descriptor: descriptor)
      // Without locks in the file system nobody removes leftovers either.
      _ = mmoe_lock_file(descriptor, true)
      // Another writer may have taken it for a leftover before it was locked.
      if file.isLinked { return file }
    }
  }

  private static func refusal(_ code: Int32, _ path: String, _ finalPath: String) -> HDF5Error {
    let message =
      switch code {
      case ENOENT: "cannot be written: its folder does not exist; create it first"
      case EEXIST: "is being written already; if it is not, delete \(path)"
      default: "cannot be written: \(systemReason(code)); choose a folder that you can write to"
      }
    return HDF5Error(.unwritable, finalPath, message)
  }

  /// - Parameter suffix: of the names of files of this kind, such as `.h5`.
  private static func removeLeftovers(in folder: String, suffix: String) {
    let marker = suffix + ".tmp-"
    for name in (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? [] {
      guard let place = name.range(of: marker, options: .backwards),
        Int(name[place.upperBound...]) != nil
      else { continue }
      let path = "\(folder)/\(name)"
      let descriptor = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
      guard descriptor >= 0 else { continue }
      let file = OpenFile(descriptor: descriptor)
      if mmoe_lock_file(file.descriptor, false) == 0, file.isLinked { unlink(path) }
    }
  }
}
