import Foundation
import Synchronization

/// A folder that is filled under the name `NAME.partial-<process>-<number>` and takes its own only when complete.
///
/// While it is filled it is locked; one without a lock was left by a process that died and goes when the next folder
/// of this name is made.
package final class StagedFolder {
  /// Where to write.
  package let path: String
  /// The name that it takes.
  let final: String
  private let lock: Int32
  private var isPresent = true
  /// Two threads of one process may fill folders of one name.
  private static let made = Atomic(0)

  /// - Parameter name: must not exist, or be an empty folder. A trailing slash does not matter.
  /// - Throws: `FileFailure` when something is there already, or the parent folder cannot be written.
  package init(for name: String) throws(FileFailure) {
    // With a trailing slash, as shells complete it, the partial folder would lie inside this one.
    let name = FilePath.withoutTrailingSlashes(name)
    final = name
    try StagedFolder.requireFree(name)
    let parent = FilePath.folder(of: name)
    do {
      try FileManager.default.createDirectory(atPath: parent, withIntermediateDirectories: true)
    } catch {
      throw FileFailure(parent, found: "cannot be created", remedy: "choose a folder that you can write to")
    }
    StagedFolder.removeLeftovers(of: name)
    path = "\(name).partial-\(getpid())-\(StagedFolder.made.add(1, ordering: .relaxed).newValue)"
    guard mkdir(path, 0o755) == 0 else {
      throw FileFailure(
        name, found: "cannot be created: \(systemReason(errno))", remedy: "choose a folder that you can write to")
    }
    lock = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    // Where the file system has no locks nobody removes leftovers either.
    if lock >= 0 { flock(lock, LOCK_EX | LOCK_NB) }
  }

  deinit {
    if lock >= 0 { close(lock) }
    if isPresent { try? FileManager.default.removeItem(atPath: path) }
  }

  /// Gives the folder its name.
  ///
  /// - Throws: `FileFailure` when a folder of that name was filled meanwhile.
  package func commit() throws(FileFailure) {
    // All files at once: a folder may hold many thousands.
    sync()
    // Replaces an empty folder, fails for one that was filled meanwhile.
    guard rename(path, final) == 0 else {
      throw FileFailure(final, found: "cannot be created: \(systemReason(errno))", remedy: "choose another name")
    }
    isPresent = false
    try DurableFile.synchronizeFolder(FilePath.folder(of: final), of: final)
  }

  static func requireFree(_ folder: String) throws(FileFailure) {
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: folder, isDirectory: &isFolder) else { return }
    let contents = try? FileManager.default.contentsOfDirectory(atPath: folder)
    guard isFolder.boolValue, contents?.isEmpty == true else {
      throw FileFailure(folder, found: "exists already", remedy: "remove it or name another folder")
    }
  }

  private static func removeLeftovers(of name: String) {
    let parent = FilePath.folder(of: name)
    let start = FilePath.name(of: name) + ".partial-"
    let entries = (try? FileManager.default.contentsOfDirectory(atPath: parent)) ?? []
    for entry in entries
    where entry.hasPrefix(start) && entry.dropFirst(start.count).allSatisfy({ $0.isNumber || $0 == "-" }) {
      let path = FilePath.join(parent, entry)
      let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
      guard descriptor >= 0 else { continue }
      if flock(descriptor, LOCK_EX | LOCK_NB) == 0 { try? FileManager.default.removeItem(atPath: path) }
      close(descriptor)
    }
  }
}
