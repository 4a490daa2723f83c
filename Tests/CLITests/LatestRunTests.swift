import Foundation
import TestSupport
import Testing

/// Commands that name no checkpoint take the latest run that fits, and say which.
@Suite struct LatestRunTests {
  let scratch = ScratchFolder()

  private func mmoe(_ arguments: [String], status: Int32 = 0) throws -> ProgramRunner.Result {
    let result = try ProgramRunner.run(arguments, in: scratch.path)
    #expect(result.status == status, "\(arguments): \(result.errors)")
    return result
  }

  @Test func latestFittingRun() throws {
    let image = Program.data.path + "/val/star/00001.png"
    for (command, option) in [(["predict", image], "--checkpoint"), (["checkpoint", "info"], "CHECKPOINT")] {
      #expect(try mmoe(command, status: 1).errors.contains("\(option): found no run "))
    }
    let missing = try mmoe(["analyze", "routing", "--out", "found"], status: 1).errors
    #expect(missing.contains("MODELS: found no run with experts with a checkpoint under checkpoints"), "\(missing)")

    // The latest of all is dense, and of another task.
    _ = try mmoe(Program.training(["--steps", "1", "--out", "checkpoints/images"]))
    try "a text of some words\n\nanother one".write(toFile: scratch("a.txt"), atomically: false, encoding: .utf8)
    let text = [
      "model.layers=2", "model.width=32", "model.heads=2", "model.context=16", "data.batch=2", "tokenizer.kind=byte",
      "text.documents=blank-lines", "train.sample_every=0", "train.eval_every=0", "schedule.warmup=0",
    ]
    _ = try mmoe(
      ["train", "--task", "lm", "--preset", "gpt-toy", "--moe", "dense", "--data", "a.txt", "--steps", "1", "--out"]
        + ["checkpoints/words"] + text.flatMap { ["--set", $0] })

    let images = "checkpoints/images/"
    #expect(try mmoe(["predict", image]).output.hasPrefix("checkpoint \(images)"))
    #expect(try mmoe(["eval", "--task", "imagenet-subset"]).output.hasPrefix("checkpoint \(images)"))
    #expect(try mmoe(["eval"]).output.hasPrefix("checkpoint checkpoints/words/"))
    #expect(try mmoe(["generate", "--tokens", "2"]).errors.hasPrefix("checkpoint checkpoints/words/"))
    #expect(try mmoe(["checkpoint", "info"]).output.split(separator: "\n")[0].contains(" checkpoints/words/"))
    #expect(try mmoe(["checkpoint", "list"]).output.hasPrefix("checkpoint checkpoints/words/"))
    #expect(
      try mmoe(["analyze", "routing", "--out", "found", "--samples", "8"]).output.hasPrefix("run checkpoints/images\n"))
    #expect(
      try mmoe(["analyze", "similarity", "--out", "found", "--samples", "2"]).output.hasPrefix(
        "run checkpoints/words\n"))
    // A run's name stands for its folder.
    #expect(try mmoe(["eval", "--checkpoint", "images"]).errors.isEmpty)
    _ = try mmoe(["generate", "--checkpoint", "words", "--tokens", "2"])
    #expect(try mmoe(["checkpoint", "info", "words"]).output.split(separator: "\n")[0].contains(" checkpoints/words/"))
    #expect(try mmoe(["train", "--resume", "images", "--steps", "2"]).output.contains("resuming after step 1"))
    let pairs = try mmoe(["caption", image], status: 1).errors
    #expect(pairs.contains("found no run of the task multimodal with a checkpoint"), "\(pairs)")
  }

  @Test(arguments: [
    (["predict", "a.png", "--top-k", "0"], "--top-k is 0"), (["predict"], "Missing expected argument"),
    (["eval", "--worst", "0"], "--worst is 0, expected 1 to 1000"), (["eval", "--sheet", "a.png"], "give --worst"),
    (["eval", "--choices", "a.jsonl", "--worst", "3"], "have no classes"),
  ]) func usage(arguments: [String], words: String) throws {
    #expect(try mmoe(arguments, status: 64).errors.contains(words))
  }
}
