import Foundation
import MMoEFiles
import MMoETrain

/// The folders of runs below a folder.
struct RunSearch {
  /// How many levels down they are looked for: those of a study are in `study-NAME/runs/RUN`.
  private static let depth = 3

  private(set) var runs: [String] = []
  /// Folders directly in it that hold no run.
  private(set) var others: [String] = []
  private(set) var unreadable: [(path: String, reason: String)] = []
  private var seen: Set<[UInt64]> = []

  /// - Parameter root: a folder of runs, or a run's.
  /// - Throws: `RunError` when it is missing, no folder, or cannot be read.
  init(below root: String) throws {
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: root, isDirectory: &isFolder) else {
      throw RunError(root, found: "no such folder", remedy: "name the folder that holds the runs")
    }
    guard isFolder.boolValue else { throw RunError(root, found: "a file", expected: "a folder of runs") }
    _ = look(into: root, level: 0)
    if let failure = unreadable.first(where: { $0.path == root }) {
      throw RunError(root, found: "cannot be read (\(failure.reason))", remedy: "check its permissions")
    }
  }

  /// - Returns: whether there is a run in it.
  private mutating func look(into folder: String, level: Int) -> Bool {
    // Links may lead to what was seen, or round in a circle.
    var status = stat()
    guard stat(folder, &status) == 0, seen.insert([UInt64(status.st_dev), UInt64(status.st_ino)]).inserted else {
      return false
    }
    guard let names = subfolders(of: folder) else { return false }
    if let content = RunFolder.content(of: folder), content == .checkpoints || content == .unsaved {
      runs.append(folder)
      return true
    }
    guard level < RunSearch.depth else { return false }
    var found = false
    for name in names {
      let isOne = look(into: FilePath.join(folder, name), level: level + 1)
      if level == 0, !isOne { others.append(name) }
      found = found || isOne
    }
    return found
  }

  /// Names of folders in a folder, sorted, without hidden ones; nil where it cannot be read.
  private mutating func subfolders(of folder: String) -> [String]? {
    guard let entries = opendir(folder) else {
      unreadable.append((folder, systemReason(errno)))
      return nil
    }
    defer { closedir(entries) }
    var names: [String] = []
    while let entry = readdir(entries) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      guard !name.hasPrefix(".") else { continue }
      switch Int(entry.pointee.d_type) {
      case Int(DT_DIR): names.append(name)
      case Int(DT_LNK), Int(DT_UNKNOWN):
        var status = stat()
        guard stat(FilePath.join(folder, name), &status) == 0, status.st_mode & S_IFMT == S_IFDIR else { continue }
        names.append(name)
      default: continue
      }
    }
    return names.sorted()
  }
}
