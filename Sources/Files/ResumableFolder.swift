import Foundation

/// A folder that is filled under the name `NAME.partial` and takes its own when it is complete. What a process has left that was
/// interrupted is continued by the next one that makes the same.
///
/// Beside the files it holds a journal, to which a line is added for everything that is done. Its first line says what is made.
public final class ResumableFolder {
  /// Where to write.
  public let path: String
  /// The journal's lines that an earlier process has written; empty for a new folder.
  public let done: [String]
  /// Whether something else was being made under this name, and was removed.
  public let replaced: Bool
  private let final: String
  private let journal: Int32

  private static let journalName = ".journal"

  /// - Parameters:
  ///   - name: must not exist, or be an empty folder.
  ///   - key: one line that says what is made; what was left under another key is removed.
  /// - Throws: `FileFailure` when something is there already, another process fills it, or it cannot be written.
  public init(for name: String, key: String) throws(FileFailure) {
    let name = FilePath.withoutTrailingSlashes(name)
    final = name
    path = name + ".partial"
    try StagedFolder.requireFree(name)
    do {
      try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    } catch {
      throw FileFailure(
        path, found: "cannot be created: \(systemReason(of: error))", remedy: "choose a folder that you can write to")
    }
    let file = FilePath.join(path, ResumableFolder.journalName)
    journal = open(file, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0o644)
    guard journal >= 0 else { throw FileFailure(writing: file, errno) }
    var tries = 0
    // A program that this process is about to start holds its files for a moment.
    while flock(journal, LOCK_EX | LOCK_NB) != 0, errno == EWOULDBLOCK, tries < 20 {
      tries += 1
      usleep(50_000)
    }
    guard tries < 20 else {
      close(journal)
      throw FileFailure(name, found: "is being made by another process", remedy: "wait for it, or name another folder")
    }
    let text = FileManager.default.contents(atPath: file).map { String(decoding: $0, as: UTF8.self) } ?? ""
    // A line that was being written has no end.
    let whole =
      text.utf8.last == 0x0A || text.isEmpty ? text[...] : text[..<(text.lastIndex(of: "\n") ?? text.startIndex)]
    let lines = whole.split(separator: "\n").map(String.init)
    guard lines.first == key else {
      replaced = !lines.isEmpty
      done = []
      for entry in (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? [] where entry != Self.journalName {
        try? FileManager.default.removeItem(atPath: FilePath.join(path, entry))
      }
      guard ftruncate(journal, 0) == 0 else { throw FileFailure(writing: file, errno) }
      try append(key)
      return
    }
    replaced = false
    done = Array(lines.dropFirst())
    if whole.utf8.count < text.utf8.count {
      guard ftruncate(journal, off_t(whole.utf8.count)) == 0 else { throw FileFailure(writing: file, errno) }
      try append("")
    }
  }

  deinit { close(journal) }

  /// Notes that something is done, by a line without a break in it.
  public func append(_ line: String) throws(FileFailure) {
    let bytes = Array((line + "\n").utf8)
    var written = 0
    while written < bytes.count {
      let count = bytes[written...].withUnsafeBytes { write(journal, $0.baseAddress, $0.count) }
      guard count > 0 || errno == EINTR else {
        throw FileFailure(writing: FilePath.join(path, Self.journalName), errno)
      }
      written += max(0, count)
    }
  }

  /// Gives the folder its name, without its journal.
  ///
  /// - Throws: `FileFailure` when a folder of that name was filled meanwhile.
  public func commit() throws(FileFailure) {
    // All files at once: a folder may hold a million.
    sync()
    guard rename(path, final) == 0 else {
      throw FileFailure(final, found: "cannot be created: \(systemReason(errno))", remedy: "choose another name")
    }
    unlink(FilePath.join(final, Self.journalName))
    try DurableFile.synchronizeFolder(FilePath.folder(of: final), of: final)
  }
}
