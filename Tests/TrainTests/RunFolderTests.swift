import Foundation
import MMoEFiles
import TestSupport
import Testing

@testable import MMoEConfig
@testable import MMoETrain

/// What a run's folder keeps, without training.
@Suite struct RunFolderTests {
  let scratch = ScratchFolder()

  /// As `dirname` and `basename` have it.
  @Test(arguments: [
    ("x", ".", "x", "x"), ("x/", ".", "x", "x"), ("/x", "/", "x", "x"), ("/", "/", "/", "/"),
    ("a/b.h5", "a", "b.h5", "b"),
    ("a//b.tar.gz//", "a", "b.tar.gz", "b.tar"), ("./.x", ".", ".x", ".x"),
    ("é/e\u{301}.yaml", "é", "e\u{301}.yaml", "e\u{301}"),
    ("..", ".", "..", "."),
  ]) func paths(path: String, folder: String, name: String, stem: String) {
    #expect(Array(FilePath.folder(of: path).utf8) == Array(folder.utf8))
    #expect(Array(FilePath.name(of: path).utf8) == Array(name.utf8))
    #expect(Array(FilePath.stem(of: path).utf8) == Array(stem.utf8))
  }

  private func write(_ text: String, _ name: String) throws {
    try text.write(toFile: scratch("run/" + name), atomically: false, encoding: .utf8)
  }

  /// What was just written survives higher numbers; so do the best one's parts where `best.h5` is a copy.
  @Test func pruneKeepsWhatWasJustWritten() throws {
    let folder = try RunFolder(creating: scratch("run"))
    for step in [8, 14, 16, 20] { try write("\(step)", "step-\(RunFolder.padded(step)).h5") }
    folder.prune(keeping: 1, every: 0, written: 14)
    #expect(RunFolder.steps(in: folder.path) == [14, 20])
    try write("part", "step-0000014.r00.h5")
    try folder.markBest(step: 14) { _, _ in
      errno = EPERM
      return -1
    }
    folder.prune(keeping: 1, every: 0)
    #expect(RunFolder.steps(in: folder.path) == [14, 20])
    // Put aside, its parts still belong to the copy.
    #expect(folder.putAside([folder.checkpointFile(step: 14)]).count == 1)
    folder.prune(keeping: 1, every: 0)
    #expect(FileManager.default.fileExists(atPath: scratch("run/step-0000014.r00.h5")))
    try folder.markBest(step: 20)
    folder.prune(keeping: 1, every: 0)
    #expect(!FileManager.default.fileExists(atPath: scratch("run/step-0000014.r00.h5")))
  }

  /// FAT, SMB and some FUSE file systems have no second names: the best checkpoint is copied there.
  @Test(arguments: [EPERM, EOPNOTSUPP, ENOSYS, EMLINK]) func bestWithoutLinks(reason: Int32) throws {
    let folder = try RunFolder(creating: scratch("run"))
    try write("four", "step-0000004.h5")
    try folder.markBest(step: 4) { _, _ in
      errno = reason
      return -1
    }
    #expect(try String(contentsOfFile: folder.bestFile, encoding: .utf8) == "four")
    #expect {
      try folder.markBest(step: 5) { _, _ in
        errno = EROFS
        return -1
      }
    } throws: { "\($0)".contains("best.h5: cannot be written (Read-only file system)") }
    #expect(try String(contentsOfFile: folder.bestFile, encoding: .utf8) == "four")
  }

  /// Runs that begin in the same second have folders of their own.
  @Test func foldersAreNumbered() throws {
    let folders = try (0..<3).map { _ in try RunFolder(numbered: scratch("runs/same")) }
    #expect(folders.map { FilePath.name(of: $0.path) } == ["same", "same-2", "same-3"])
  }

  /// The run that saved last, whatever else was written below a folder meanwhile.
  @Test func latestRunIsTheOneThatSavedLast() throws {
    for (name, age) in [("lm-a", 10.0), ("lm-b", 1000), ("lm-c", 100)] {
      try FileManager.default.createDirectory(atPath: scratch("runs/" + name), withIntermediateDirectories: true)
      let file = scratch("runs/\(name)/step-0000001.h5")
      try "x".write(toFile: file, atomically: false, encoding: .utf8)
      try FileManager.default.setAttributes([.modificationDate: Date().addingTimeInterval(-age)], ofItemAtPath: file)
    }
    try "new".write(toFile: scratch("runs/lm-b/plot.png"), atomically: false, encoding: .utf8)
    #expect {
      _ = try RunFolder.resumption("", task: "lm", under: scratch("runs"))
    } throws: { "\($0)".contains("runs/lm-a") }
  }

  @Test func saysWhatChangedSettingsMean() {
    func notes(_ old: Int, _ new: Int, at step: Int, tokens: Int = 0) -> [String] {
      var (first, second) = (RunConfig(), RunConfig())
      (first.schedule.warmup, second.schedule.warmup) = (2, 2)
      (first.train.steps, second.train.steps) = (old, new)
      second.text.evalTokens = first.text.evalTokens + tokens
      return ResumedSettings(from: first, to: second, step: step, stepsPerEpoch: 5).notes
    }
    #expect(notes(20, 20, at: 8).isEmpty)
    #expect(notes(8, 8, at: 8)[0].hasPrefix("nothing to train: the run has 8 steps and is to have 8"))
    #expect(notes(8, 200, at: 8)[0].hasPrefix("the learning rate jumps from"))
    #expect(notes(20, 20, at: 8, tokens: 5)[0].hasPrefix("text.eval_tokens is"))
  }
}
