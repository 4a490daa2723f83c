import Foundation
import MMoEHDF5
import MMoEModels
import MMoETensor
import TestSupport
import Testing
import TinyRuns

@testable import MMoETrain
@testable import MMoEWeights

/// Checkpoints in several files, and checkpoints that are written beside the training.
@Suite struct ShardedCheckpointTests {
  let scratch = ScratchFolder()

  /// Checkpoints of two steps.
  private func run() throws -> String {
    try TinyRun(["train.steps=2", "checkpoint.every=1", "moe.bias_rate=0.01", "finetune.freeze=attention"])
      .train(into: scratch("run"))
    return scratch("run")
  }

  @Test func splitAndMergedIsTheSameFile() throws {
    let file = try run() + "/step-0000002.h5"
    let files = try CheckpointRewriting.reshard(file, parts: 2, to: scratch("split.h5"))
    #expect(files.map { ($0.file as NSString).lastPathComponent } == ["split.h5", "split.r00.h5", "split.r01.h5"])
    // One tree: the same names, shapes and numbers.
    let (whole, split) = (try CheckpointFile.open(file), try CheckpointFile.open(scratch("split.h5")))
    #expect(whole.datasets.map(\.path) == split.datasets.map(\.path))
    #expect(whole.datasets.map(\.shape) == split.datasets.map(\.shape))
    for dataset in whole.datasets where dataset.type == .float32 {
      #expect(try whole.readFloats(dataset.path) == split.readFloats(dataset.path))
    }
    #expect(files[0].bytes < (try bytes(file).count))
    _ = try CheckpointRewriting.reshard(scratch("split.h5"), parts: 1, to: scratch("merged.h5"))
    #expect(try bytes(scratch("merged.h5")) == bytes(file))
    #expect { try CheckpointRewriting.reshard(file, parts: 9, to: scratch("x.h5")) } throws: {
      "\($0)".contains("--ranks is 9, but") && "\($0)".contains("experts a layer")
    }
  }

  @Test func partsThatAreMissingOrOfAnotherStepAreNamed() throws {
    let folder = try run()
    for step in [1, 2] {
      _ = try CheckpointRewriting.reshard("\(folder)/step-000000\(step).h5", parts: 2, to: scratch("s\(step).h5"))
    }
    _ = try LoadedCheckpoint(scratch("s1.h5"))
    let part = try bytes(scratch("s1.r01.h5"))
    try FileManager.default.removeItem(atPath: scratch("s1.r01.h5"))
    #expect { try LoadedCheckpoint(scratch("s1.h5")) } throws: { "\($0)".contains("s1.r01.h5: no such file") }
    try FileManager.default.copyItem(atPath: scratch("s2.r01.h5"), toPath: scratch("s1.r01.h5"))
    #expect { try LoadedCheckpoint(scratch("s1.h5")) } throws: { "\($0)".contains("s1.r01.h5: of another step than") }
    var changed = part
    changed[changed.count - 1] ^= 1
    try changed.write(to: URL(fileURLWithPath: scratch("s1.r01.h5")))
    #expect { try LoadedCheckpoint(scratch("s1.h5")) } throws: { "\($0)".contains("bytes have changed") }
  }

  /// Parts go with their checkpoint, stay with the best one, and those without one are swept.
  @Test func partsArePrunedWithTheirCheckpoint() throws {
    let source = try run() + "/step-0000002.h5"
    let folder = try RunFolder(creating: scratch("sharded"))
    for step in 1...4 { _ = try CheckpointRewriting.reshard(source, parts: 2, to: folder.checkpointFile(step: step)) }
    try folder.markBest(step: 2)
    unlink(folder.checkpointFile(step: 1))
    folder.prune(keeping: 1, every: 0)
    let names = try FileManager.default.contentsOfDirectory(atPath: folder.path).filter { $0.hasSuffix(".h5") }.sorted()
    #expect(
      names == [
        "best.h5", "step-0000002.h5", "step-0000002.r00.h5", "step-0000002.r01.h5", "step-0000004.h5",
        "step-0000004.r00.h5", "step-0000004.r01.h5",
      ])
    _ = try LoadedCheckpoint(folder.bestFile)
    #expect(RunFolder.steps(in: folder.path) == [2, 4])
  }

  /// Written beside the training: the same files.
  @Test func backgroundSavesAreTheSame() throws {
    let settings = ["train.steps=5", "checkpoint.every=1", "checkpoint.keep=9", "train.eval_every=2"]
    try TinyRun(settings).train(into: scratch("before"))
    try TinyRun(settings + ["checkpoint.background=true"]).train(into: scratch("beside"))
    for step in 1...5 {
      let states = try ["before", "beside"].map { folder in
        let reader = try CheckpointFile.open(scratch(folder) + "/step-000000\(step).h5")
        return try reader.datasets.filter { $0.type == .float32 }.map { try reader.readFloats($0.path) }
      }
      #expect(states[0] == states[1], "step \(step)")
    }
    #expect(FileManager.default.fileExists(atPath: scratch("beside") + "/best.h5"))
    // What the writer meets is still an error of the run.
    let run = try TinyRun(settings + ["checkpoint.background=true"])
    try FileManager.default.createDirectory(
      atPath: scratch("full") + "/step-0000002.h5", withIntermediateDirectories: true)
    try FileManager.default.removeItem(atPath: scratch("full") + "/step-0000002.h5")
    try FileManager.default.createDirectory(
      atPath: scratch("full") + "/step-0000003.h5/x", withIntermediateDirectories: true)
    let checkpoint = scratch("before") + "/step-0000001.h5"
    #expect { try run.train(into: scratch("full"), resuming: checkpoint) } throws: {
      "\($0)".contains("step-0000003.h5: a folder")
    }
  }
}
