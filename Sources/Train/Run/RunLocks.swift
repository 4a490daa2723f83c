import Foundation
import MMoEFiles

/// Which runs a process of this host trains in at the moment.
///
/// Taken from the kernel's list of locks (`/proc/locks`, proc(5)): to try a run's lock would turn away a process that begins to
/// train at that moment.
package struct RunLocks: Sendable {
  /// File numbers of locks that are held.
  private let files: Set<UInt64>

  package init() {
    let text = (try? String(contentsOfFile: "/proc/locks", encoding: .utf8)) ?? ""
    files = Set(
      text.split(separator: "\n").compactMap { line in
        // 1: FLOCK  ADVISORY  WRITE 4711 08:01:1234 0 EOF; a waiting one has an arrow behind its number.
        let words = line.split(separator: " ")
        guard words.count >= 6, words[1] == "FLOCK", words[3] == "WRITE" else { return nil }
        return words[5].split(separator: ":").last.flatMap { UInt64($0) }
      })
  }

  /// Whether a process trains in a run's folder.
  package func holds(_ folder: String) -> Bool {
    var status = stat()
    guard !files.isEmpty, stat(FilePath.join(folder, RunFolder.lockName), &status) == 0 else { return false }
    return files.contains(UInt64(status.st_ino))
  }
}
