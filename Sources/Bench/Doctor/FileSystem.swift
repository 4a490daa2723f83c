import Foundation
import MMoEFiles

/// The file system that a path is on.
struct FileSystem: Sendable {
  /// In bytes; what users who are not root may still take.
  let size, free: Int
  /// As the kernel calls it, such as "ext4".
  let kind: String

  /// What is written there takes memory and goes with the machine.
  var isMemory: Bool { ["tmpfs", "ramfs", "devtmpfs"].contains(kind) }

  /// - Parameter path: of a file or folder, or of one to be made: then that of the nearest folder above it.
  init?(of path: String) {
    let place = FileSystem.existing(path)
    var system = statvfs()
    guard statvfs(place, &system) == 0 else { return nil }
    (size, free) = (Int(system.f_blocks) * Int(system.f_frsize), Int(system.f_bavail) * Int(system.f_frsize))
    let mounts = (try? String(contentsOfFile: "/proc/self/mounts", encoding: .utf8)) ?? ""
    kind = FileSystem.kind(of: FilePath.resolved(place), mounts: mounts)
  }

  init(size: Int, free: Int, kind: String) { (self.size, self.free, self.kind) = (size, free, kind) }

  /// The path, or the nearest folder above it that is there.
  static func existing(_ path: String) -> String {
    let parent = FilePath.folder(of: path)
    return access(path, F_OK) == 0 || parent == path ? path : existing(parent)
  }

  /// - Parameter mounts: lines `device place kind …`, the later ones over the earlier ones.
  static func kind(of path: String, mounts: String) -> String {
    var found: (length: Int, kind: String) = (-1, "unknown")
    for line in mounts.split(separator: "\n") {
      let words = line.split(separator: " ")
      guard words.count > 2 else { continue }
      // Spaces are written as octal numbers.
      let place = words[1].replacingOccurrences(of: "\\040", with: " ")
      guard place == "/" || path == place || path.hasPrefix(place + "/"), place.count >= found.length else { continue }
      found = (place.count, String(words[2]))
    }
    return found.kind
  }
}
