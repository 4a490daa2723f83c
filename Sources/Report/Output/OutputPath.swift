import Foundation
import MMoEFiles
import MMoEParallel

/// A file or a folder that an option names for what the command will make.
///
/// Its path can be had from `file` or `folder` alone, which find out whether it can be made there. Commands call them first:
/// nothing is computed for a place that takes nothing.
package struct OutputPath: Sendable {
  /// As the user wrote it, for help texts alone.
  package let unchecked: String

  package init(_ path: String) { unchecked = path }

  /// The path of a file to be made or replaced.
  ///
  /// - Parameters:
  ///   - option: for messages, such as `--plot`.
  ///   - isCheckpoint: whether it will be one. What is none replaces no checkpoint: that may be days of training.
  /// - Throws: `ReportError` where it cannot be written.
  package func file(_ option: String, isCheckpoint: Bool = false) throws -> String {
    let path = unchecked
    // Other ranks may be on hosts that lack the folder; the first one writes.
    guard !ParallelProcess.isFollower else { return path }
    guard !path.isEmpty else { throw ReportError(option, found: "an empty name", expected: "a file") }
    try OutputPath.requireNoTilde(path, option)
    do { try OutputPlace.requireFile(path) } catch { throw ReportError("\(option) \(error)") }
    guard isCheckpoint || !OutputPath.holdsCheckpoint(path) else {
      throw ReportError("\(option) \(path)", found: "a checkpoint", expected: "another file", remedy: "name a new one")
    }
    try OutputPath.probe(FilePath.folder(of: path), "\(option) \(path)", option)
    return path
  }

  /// Whether a file begins as checkpoints do.
  private static func holdsCheckpoint(_ path: String) -> Bool {
    guard let file = FileHandle(forReadingAtPath: path) else { return false }
    defer { try? file.close() }
    return (try? file.read(upToCount: 8)) == Data("MMOECKPT".utf8)
  }

  /// The path of a folder to be made or filled.
  ///
  /// - Parameter option: for messages, such as `--out`.
  /// - Throws: `ReportError` where nothing can be written in it, or it cannot be made.
  package func folder(_ option: String) throws -> String {
    let path = unchecked
    guard !ParallelProcess.isFollower else { return path }
    guard !path.isEmpty else { throw ReportError(option, found: "an empty name", expected: "a folder") }
    try OutputPath.requireNoTilde(path, option)
    var existing = path
    while OutputPlace.kind(of: existing) == nil, FilePath.folder(of: existing) != existing {
      existing = FilePath.folder(of: existing)
    }
    guard OutputPlace.kind(of: existing) == S_IFDIR else {
      let what = existing == path ? "a file" : "\(existing) is a file"
      throw ReportError("\(option) \(path): \(what), expected a folder; name another one")
    }
    try OutputPath.probe(existing, "\(option) \(path)", option, existing == path ? "written" : "created")
    return path
  }

  /// Shells leave `~` as it is in `--out=~/x`; half of the libraries below would take it for the home folder.
  private static func requireNoTilde(_ path: String, _ option: String) throws {
    guard path.utf8.first == UInt8(ascii: "~") else { return }
    throw ReportError(
      "\(option) \(path): ~ stands for no folder here; write $HOME, or ./\(path) for a name that begins so")
  }

  /// Makes a file in a folder and removes it: permissions alone do not tell of read-only mounts, quotas and full disks.
  private static func probe(_ folder: String, _ what: String, _ option: String, _ verb: String = "written") throws {
    let file = FilePath.join(folder, ".mmoe-probe-\(getpid())")
    let descriptor = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else {
      throw ReportError(
        "\(what)", found: "cannot be \(verb) (\(systemReason(errno)))", remedy: "choose another \(option)")
    }
    close(descriptor)
    unlink(file)
  }
}
