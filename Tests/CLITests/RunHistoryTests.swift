import Foundation
import TestSupport
import Testing

/// A run is its history: what `mmoe train` goes on with, and what it never loses.
@Suite struct RunHistoryTests {
  let scratch = ScratchFolder()

  @discardableResult
  private func train(_ arguments: [String], status: Int32 = 0) throws -> String {
    let result = try ProgramRunner.run(
      Program.training(arguments + ["--set", "checkpoint.every=4", "--set", "train.eval_every=4"]))
    #expect(result.status == status, "\(arguments): \(result.errors)")
    return result.output + result.errors
  }

  private func names(_ folder: String) -> [String] {
    ((try? FileManager.default.contentsOfDirectory(atPath: scratch(folder))) ?? []).sorted()
  }

  private func bytes(_ file: String) throws -> Data { try Data(contentsOf: URL(fileURLWithPath: scratch(file))) }

  /// Going back to an older step is a branch in a folder of its own: neither history loses anything.
  @Test func anOlderStepIsABranch() throws {
    try train(["--steps", "20", "--out", scratch("run"), "--set", "checkpoint.keep=4"])
    let before = names("run")
    let metrics = try bytes("run/metrics.jsonl")
    let text = try train(["--resume", scratch("run/step-0000008.h5"), "--steps", "14", "--set", "checkpoint.keep=1"])
    #expect(text.contains("a branch after step 8 of") && text.contains("run-from-0000008/step-0000014.h5"))
    #expect(names("run-from-0000008").contains("step-0000014.h5"))
    #expect(try names("run") == before && bytes("run/metrics.jsonl") == metrics)
    let lines = try String(contentsOfFile: scratch("run-from-0000008/metrics.jsonl"), encoding: .utf8)
    #expect(lines.split(separator: "\n").count == 14)
    // The best one is an older step too; a second branch gets a number; --out names a place for it.
    try train(["--resume", scratch("run/step-0000008.h5"), "--steps", "12"])
    #expect(names("run-from-0000008-2").contains("step-0000012.h5"))
    let idle = try train(["--resume", scratch("run/step-0000020.h5"), "--out", scratch("b"), "--steps", "20"])
    #expect(idle.contains("nothing to train") && names("b").contains("step-0000020.h5"))
    #expect(try bytes("b/step-0000020.h5") == bytes("run/step-0000020.h5"))
    try train(["--resume", scratch("run/step-0000020.h5"), "--out", scratch("b"), "--steps", "24"], status: 1)
    // Any name may stand for a step of the run.
    try FileManager.default.copyItem(atPath: scratch("run/step-0000008.h5"), toPath: scratch("run/mine"))
    #expect(
      try train(["--resume", scratch("run/mine"), "--steps", "9"]).contains("run-from-0000008-3/step-0000009.h5"))
    // The same steps from the latest checkpoint are no branch, and have the bits of an undisturbed run.
    try train(["--resume", scratch("run/step-0000020.h5"), "--steps", "24", "--out", scratch("run")])
    #expect(names("run").contains("step-0000024.h5"))
  }

  /// One command begins a run, goes on with it, and begins one anew that died before its first checkpoint.
  @Test func oneCommandAlwaysWorks() throws {
    let command = ["--steps", "8", "--out", scratch("run"), "--resume"]
    #expect(try !train(command).contains("resuming"))
    let whole = try bytes("run/step-0000008.h5")
    #expect(try train(command).contains("nothing to train: the run has 8 steps"))
    try FileManager.default.removeItem(atPath: scratch("run/step-0000008.h5"))
    #expect(try train(command).contains("resuming after step 4"))
    #expect(try bytes("run/step-0000008.h5") == whole)
    for name in names("run") where name.hasSuffix(".h5") {
      try FileManager.default.removeItem(atPath: scratch("run/" + name))
    }
    #expect(try train(["--steps", "8", "--out", scratch("run")], status: 1).contains("--resume"))
    #expect(try train(["--steps", "8", "--resume", scratch("run")], status: 1).contains("--out"))
    #expect(try !train(command).contains("resuming"))
    #expect(try bytes("run/step-0000008.h5") == whole)
    // With weights to start from, as a job that is queued again.
    let tuned = ["--steps", "4", "--init-from", scratch("run"), "--out", scratch("tuned"), "--resume"]
    for word in ["weights", "resuming"] { #expect(try train(tuned).contains(word)) }
  }

  /// A start that died before all files were there, and a branch that died before its first checkpoint, begin again.
  @Test func whatDiedEarlyBeginsAgain() throws {
    try train(["--steps", "8", "--out", scratch("run")])
    let branch = ["--resume", scratch("run/step-0000004.h5"), "--out", scratch("b"), "--steps", "6"]
    try train(branch)
    let whole = try bytes("b/step-0000006.h5")
    for name in names("b") where name.hasSuffix(".h5") || name == "config.yaml" {
      try FileManager.default.removeItem(atPath: scratch("b/" + name))
    }
    #expect(try train(branch).contains("a branch after step 4"))
    #expect(try bytes("b/step-0000006.h5") == whole)
    for name in names("b") where name != "metrics.jsonl" && name != ".lock" {
      try FileManager.default.removeItem(atPath: scratch("b/" + name))
    }
    #expect(try !train(["--out", scratch("b"), "--resume", "--steps", "4"]).contains("resuming"))
    // From inside the run's folder the branch stands beside it.
    let inside = try ProgramRunner.run(
      ["-C", scratch("run"), ProgramRunner.program]
        + Program.training(["--resume", "step-0000004.h5", "--steps", "5"]), program: "/usr/bin/env")
    #expect(inside.status == 0 && names("run-from-0000004").contains("step-0000005.h5"), "\(inside.errors)")
  }

  /// The first checkpoint comes soon, whatever `checkpoint.every` is.
  @Test func savesSoonAfterTheStart() throws {
    let more = [
      "--set", "checkpoint.every=100", "--set", "checkpoint.first_after=0.000001", "--set", "train.eval_every=9",
    ]
    let result = try ProgramRunner.run(Program.training(["--steps", "3", "--out", scratch("run")] + more))
    #expect(result.status == 0, "\(result.errors)")
    #expect(names("run").contains("step-0000001.h5") && !names("run").contains("step-0000002.h5"))
  }

  /// With every step's file damaged the best one is left; the others are put aside, never overwritten.
  @Test func resumesFromTheBestWhenNothingElseIsLeft() throws {
    try train(["--steps", "8", "--out", scratch("run"), "--set", "checkpoint.keep=1"])
    let best = try bytes("run/best.h5")
    // The best one may be the latest by another name.
    try FileManager.default.removeItem(atPath: scratch("run/best.h5"))
    try best.write(to: URL(fileURLWithPath: scratch("run/best.h5")))
    for name in names("run") where name.hasPrefix("step-") {
      try Data("damaged".utf8).write(to: URL(fileURLWithPath: scratch("run/" + name)))
    }
    let text = try train(["--steps", "12", "--resume", scratch("run")])
    #expect(text.contains("passed over") && text.contains("put aside as"))
    #expect(names("run").contains("step-0000008.h5.damaged") && names("run").contains("step-0000012.h5"))
  }

  /// A folder's name of one character, one with blanks and quotes, and files that are no run's.
  @Test func folders() throws {
    let result = try ProgramRunner.run(
      ["-C", scratch.path, ProgramRunner.program] + Program.training(["--steps", "4", "--out", "x"]),
      program: "/usr/bin/env")
    #expect(result.status == 0 && result.output.contains("x/step-0000004.h5"), "\(result.errors)")
    #expect(try train(["--steps", "4", "--out", scratch("it's b")]).contains("it'\\''s b'"))
    try FileManager.default.createDirectory(atPath: scratch("mine"), withIntermediateDirectories: true)
    try "my picture".write(toFile: scratch("mine/plot.png"), atomically: false, encoding: .utf8)
    #expect(
      try train(["--steps", "4", "--out", scratch("mine")], status: 1).contains("mine: holds plot.png, which a run"))
    #expect(names("mine") == ["plot.png"])
  }

  /// A line that is no step's metrics does not end a run.
  @Test func aBadLineOfMetricsIsPassedOver() throws {
    try train(["--steps", "8", "--out", scratch("run")])
    let file = scratch("run/metrics.jsonl")
    var lines = try String(contentsOfFile: file, encoding: .utf8).split(separator: "\n").map(String.init)
    lines[2] = "{\"step\":"
    lines.insert(lines[0], at: 5)
    try (lines.joined(separator: "\n") + "\n").write(toFile: file, atomically: false, encoding: .utf8)
    #expect(try train(["--steps", "10", "--resume", scratch("run")]).contains("2 lines are no step's metrics"))
    #expect(try String(contentsOfFile: file, encoding: .utf8).split(separator: "\n").count == 9)
    #expect(names("run").contains("metrics.jsonl.damaged"))
  }

  /// How ranks share the work is in no checkpoint: its loss is said.
  @Test func lostParallelSettingsAreSaid() throws {
    try train(["--steps", "4", "--out", scratch("run"), "--overlap", "auto"])
    let text = try train(["--steps", "5", "--resume", scratch("run")])
    #expect(text.contains("parallel.overlap was auto in this run and is shortcut now"))
  }
}
