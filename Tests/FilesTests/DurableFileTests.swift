import Foundation
import MMoEFiles
import TestSupport
import Testing

/// A file has its earlier content until the new one is complete.
@Suite struct DurableFileTests {
  let scratch = ScratchFolder()

  private func text(_ name: String) -> String? { try? String(contentsOfFile: scratch(name), encoding: .utf8) }

  private func names() -> [String] {
    ((try? FileManager.default.contentsOfDirectory(atPath: scratch.path)) ?? []).sorted()
  }

  @Test func replacesOnlyWhenComplete() throws {
    try DurableFile.write("old", to: scratch("a.txt"))
    do {
      let file = try DurableFile(scratch("a.txt"))
      try Array("half".utf8).withUnsafeBytes { try file.append($0) }
      #expect(text("a.txt") == "old" && names() == ["a.txt", "a.txt.tmp-\(getpid())"])
    }
    #expect(text("a.txt") == "old" && names() == ["a.txt"])
    try DurableFile.write("new", to: scratch("a.txt"))
    #expect(text("a.txt") == "new" && names() == ["a.txt"])
  }

  @Test func whatIsRefused() throws {
    func failure(_ path: String) -> String? {
      do throws(FileFailure) {
        try DurableFile(path).remove()
        return nil
      } catch { return error.message }
    }
    #expect(failure("/dev/null") == "no regular file, and would be replaced by one; name another file")
    #expect(failure(scratch.path) == "a folder, expected a file; name one in it")
    let none = scratch("none")
    #expect(failure(none + "/a") == "there is no folder \(none); make it with mkdir -p \(ShellWord.quoted(none))")
    #expect(failure(scratch("a")) == nil && names().isEmpty)
    let file = try DurableFile(scratch("a"))
    #expect(failure(scratch("a"))?.hasPrefix("is being written already") == true)
    file.remove()
    // Nothing is laid over a folder that holds something.
    try FileManager.default.createDirectory(atPath: scratch("b"), withIntermediateDirectories: true)
    try DurableFile.write("mine", to: scratch("b/notes"))
    #expect(throws: FileFailure.self) { _ = try StagedFolder(for: scratch("b/")) }
  }

  /// What a link points to is replaced, and who may read it stays as it was.
  @Test func linksAndPermissionsStay() throws {
    try DurableFile.write("old", to: scratch("a"))
    #expect(chmod(scratch("a"), 0o640) == 0 && symlink(scratch("a"), scratch("link")) == 0)
    try DurableFile.write("new", to: scratch("link"))
    #expect(text("a") == "new" && (try? FileManager.default.destinationOfSymbolicLink(atPath: scratch("link"))) != nil)
    var status = stat()
    #expect(stat(scratch("a"), &status) == 0 && status.st_mode & 0o777 == 0o640)
  }

  @Test func pathsSeenFromAFolder() {
    #expect(FilePath.relative("/a/b/c.txt", to: "/a/b") == "c.txt")
    #expect(FilePath.relative("/a/b/c.txt", to: "/a/d/é") == "../../b/c.txt")
    #expect(FilePath.relative("/ab/c", to: "/a") == "../ab/c")
  }

  /// Only what a process has left that is gone, and only beside the file itself: `tmp-` may be in anybody's names.
  @Test func leftoversGo() throws {
    for name in ["a.csv.tmp-1", "b.csv.tmp-1", "a.csv.tmp-x"] { try DurableFile.write("x", to: scratch(name)) }
    try DurableFile.write("y", to: scratch("a.csv"))
    #expect(names() == ["a.csv", "a.csv.tmp-x", "b.csv.tmp-1"])
  }
}
