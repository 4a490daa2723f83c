import Foundation
import TestSupport
import Testing

/// `mmoe train` and `mmoe eval` as a user calls them.
@Suite struct TrainCommandTests {
  let scratch = ScratchFolder()

  @Test func trainsAndEvaluates() throws {
    let trained = try ProgramRunner.run(
      Program.training(["--steps", "12", "--out", scratch("run"), "--json"]))
    try #require(trained.status == 0, "\(trained.errors)")
    let summary = try Program.json(trained.output)
    #expect(summary["task"] as? String == "imagenet-subset")
    #expect(summary["steps"] as? Int == 12)
    let checkpoint = try #require(summary["checkpoint"] as? String)
    for file in ["config.yaml", "run.json", "metrics.jsonl", "plot.png", "report.html", "sample.png", "best.h5"] {
      #expect(FileManager.default.fileExists(atPath: scratch("run") + "/" + file), "\(file)")
    }
    let info = try ProgramRunner.run(["checkpoint", "info", scratch("run"), "--json"])
    #expect(try Program.json(info.output)["preset"] as? String == "debug", "\(info.errors)")
    let again = try ProgramRunner.run(["runs", "report", scratch("run"), "--out", scratch("again.html")])
    #expect(again.status == 0 && again.output.hasSuffix("again.html\n"), "\(again.errors)")
    let export = try ProgramRunner.run(["runs", "export", scratch("run"), "--csv", scratch("metrics.csv")])
    #expect(export.status == 0, "\(export.errors)")
    let rows = try String(contentsOfFile: scratch("metrics.csv"), encoding: .utf8).split(separator: "\n")
    #expect(rows.count == 13 && rows[0].hasPrefix("step,") && rows[12].hasPrefix("12,"))
    // Human text went to standard error: standard output is the JSON line alone.
    #expect(trained.output.split(separator: "\n").count == 1)
    #expect(trained.errors.contains("mmoe eval --checkpoint"))

    let evaluated = try ProgramRunner.run([
      "eval", "--task", "imagenet-subset", "--checkpoint", checkpoint, "--data", Program.data.path, "--json",
    ])
    try #require(evaluated.status == 0, "\(evaluated.errors)")
    let evaluation = try Program.json(evaluated.output)
    #expect(evaluation["top1"] as? Double == summary["top1"] as? Double)
    #expect(evaluation["val_loss"] as? Double == summary["val_loss"] as? Double)
    #expect((evaluation["classes"] as? [Any])?.count == 4)
  }

  /// What programs that follow a run read.
  @Test func eventsAreLines() throws {
    let trained = try ProgramRunner.run(
      Program.training(["--steps", "6", "--set", "train.eval_every=3", "--out", scratch("run"), "--json-events"]))
    try #require(trained.status == 0, "\(trained.errors)")
    let lines = try trained.output.split(separator: "\n").map { try Program.json(String($0)) }
    #expect(lines.map { $0["event"] as? String } == ["evaluation", "checkpoint", "evaluation", "checkpoint", "end"])
    #expect(lines.map { $0["step"] as? Int } == [3, 3, 6, 6, 6] && lines[0]["steps"] as? Int == 6)
    for line in lines where line["event"] as? String == "evaluation" {
      #expect(line["val_loss"] is Double && line["top1"] is Double && line["best"] is Bool)
    }
    let files = lines.compactMap { $0["file"] as? String }
    #expect(files.allSatisfy(FileManager.default.fileExists) && files.count == 2)
    #expect(
      lines.last?["outcome"] as? String == "finished" && lines.last?["top1"] as? Double == lines[2]["top1"] as? Double)

    let failed = try ProgramRunner.run(
      Program.training([
        "--steps", "6", "--set", "optimizer.lr=1000", "--set", "optimizer.clip=0", "--set", "schedule.warmup=0",
        "--json-events",
      ]), in: scratch.path)
    #expect(failed.status == 1)
    let last = try Program.json(String(try #require(failed.output.split(separator: "\n").last)))
    #expect(last["outcome"] as? String == "failed" && (last["error"] as? String)?.contains("not finite") == true)
    #expect(try ProgramRunner.run(Program.training(["--json-events", "--json"])).status == 64)
  }

  /// Killed without warning at any moment, again and again, then resumed: the same bytes as undisturbed.
  @Test(.timeLimit(.minutes(3))) func killedAndResumed() throws {
    let more = ["--steps", "60", "--set", "checkpoint.every=1", "--set", "train.eval_every=20"]
    let whole = try ProgramRunner.run(Program.training(more + ["--out", scratch("whole")]))
    try #require(whole.status == 0, "\(whole.errors)")
    let run = scratch("killed")
    var kills = 0
    var reached = 0
    for attempt in 0..<60 {
      let hasCheckpoint = ((try? FileManager.default.contentsOfDirectory(atPath: run)) ?? []).contains {
        $0.hasPrefix("step-") && $0.hasSuffix(".h5")
      }
      if !hasCheckpoint { try? FileManager.default.removeItem(atPath: run) }
      let process = Process()
      process.executableURL = URL(fileURLWithPath: ProgramRunner.program)
      process.arguments = Program.training(
        hasCheckpoint ? ["--resume", run] : more + ["--out", run])
      process.standardOutput = FileHandle.nullDevice
      process.standardError = FileHandle.nullDevice
      try process.run()
      // Every attempt gets two or three steps further, on any machine, and dies at another moment of a step.
      while process.isRunning, lastStep(run) < reached + 2 + attempt % 2 { usleep(2000) }
      reached = lastStep(run)
      usleep(UInt32((attempt * 7919) % 60_000))
      guard process.isRunning else {
        process.waitUntilExit()
        #expect(process.terminationStatus == 0)
        break
      }
      kill(process.processIdentifier, SIGKILL)
      process.waitUntilExit()
      kills += 1
    }
    #expect(kills > 0)
    let last = "/step-0000060.h5"
    #expect(
      try Data(contentsOf: URL(fileURLWithPath: run + last))
        == Data(contentsOf: URL(fileURLWithPath: scratch("whole") + last)))
    // No temporary file of a killed writer stays.
    let names = try FileManager.default.contentsOfDirectory(atPath: run)
    #expect(!names.contains { $0.contains(".tmp-") })
  }

  /// The newest checkpoint's step; 0 = none.
  private func lastStep(_ run: String) -> Int {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: run)) ?? []
    return names.compactMap { name in
      name.hasPrefix("step-") && name.hasSuffix(".h5") ? Int(name.dropFirst(5).dropLast(3)) : nil
    }.max() ?? 0
  }

  @Test(arguments: [SIGINT, SIGTERM]) func interruptSavesAndExits130(signal: Int32) throws {
    let process = Process()
    // Without what it would inherit: the test runner's threads block and ignore signals.
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments =
      ["--default-signal", ProgramRunner.program] + Program.training(["--epochs", "100000", "--out", scratch("run")])
    process.standardOutput = FileHandle.nullDevice
    let errors = Pipe()
    process.standardError = errors
    try process.run()
    // Signals are taken over before the first step.
    var started = false
    for _ in 0..<1200 where !started {
      usleep(50_000)
      started = ((try? String(contentsOfFile: scratch("run") + "/metrics.jsonl", encoding: .utf8)) ?? "").contains("\n")
    }
    try #require(started)
    try expectMultiplyingThreadsBlock(signal, in: process.processIdentifier)
    kill(process.processIdentifier, signal)
    process.waitUntilExit()
    #expect(process.terminationReason == .exit)
    #expect(process.terminationStatus == 130)
    let said = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    #expect(said.contains("a second Ctrl-C ends at once") == (signal == SIGINT), "\(said)")
    let metrics = try String(contentsOfFile: scratch("run") + "/metrics.jsonl", encoding: .utf8)
    let steps = metrics.split(separator: "\n").count
    let resumed = try ProgramRunner.run(
      Program.training(["--resume", scratch("run"), "--steps", "\(steps + 2)", "--json"]))
    try #require(resumed.status == 0, "\(resumed.errors)")
    #expect(resumed.errors.contains("resuming after step \(steps)"))
    #expect(try Program.json(resumed.output)["steps"] as? Int == steps + 2)
  }

  /// A signal's frame on the stack of a thread inside oneDNN's product overwrites the heap (see `Interrupt`): seen as one
  /// crash in 20 interrupted runs, so the masks are asked instead.
  private func expectMultiplyingThreadsBlock(_ signal: Int32, in process: Int32) throws {
    let tasks = "/proc/\(process)/task/"
    var blocked: [String: Bool] = [:]
    for thread in try FileManager.default.contentsOfDirectory(atPath: tasks) {
      guard let status = try? String(contentsOfFile: tasks + thread + "/status", encoding: .utf8) else { continue }
      let field = try #require(status.split(separator: "\n").first { $0.hasPrefix("SigBlk:") })
      let mask = try #require(UInt64(field.dropFirst(7).trimmingCharacters(in: .whitespaces), radix: 16))
      blocked[thread] = mask >> UInt64(signal - 1) & 1 == 1
      // A worker blocks what nobody else does.
      if mask >> UInt64(SIGWINCH - 1) & 1 == 1 { blocked["worker"] = blocked[thread] }
    }
    #expect(blocked["\(process)"] == true)
    #expect(blocked["worker"] == true)
    #expect(blocked.values.contains(false), "nobody takes the signal")
  }

  /// A file-size limit stands for a full disk: one line, exit status 1, the earlier checkpoint still loads.
  @Test func fullDiskKeepsTheEarlierCheckpoint() throws {
    let first = try ProgramRunner.run(Program.training(["--steps", "6", "--out", scratch("run")]))
    try #require(first.status == 0, "\(first.errors)")
    let command = ([ProgramRunner.program] + Program.training(["--resume", scratch("run"), "--steps", "12"]))
      .map { "'\($0)'" }.joined(separator: " ")
    let limited = try ProgramRunner.run(
      ["--default-signal", "bash", "-c", "ulimit -f 100; exec \(command)"], program: "/usr/bin/env")
    #expect(limited.status == 1)
    let message = limited.errors.split(separator: "\n")
    #expect(message.count == 1 && message[0].contains("step-0000012.h5"), "\(limited.errors)")
    let again = try ProgramRunner.run(Program.training(["--resume", scratch("run"), "--steps", "12"]))
    #expect(again.status == 0, "\(again.errors)")
    #expect(again.output.contains("resuming after step 6"))
  }

  /// A checkpoint that was cut is passed over for the one before it.
  @Test func resumePassesOverADamagedCheckpoint() throws {
    let first = try ProgramRunner.run(
      Program.training(["--steps", "6", "--set", "checkpoint.every=3", "--out", scratch("run")]))
    try #require(first.status == 0, "\(first.errors)")
    truncate(scratch("run") + "/step-0000006.h5", 20_000)
    let resumed = try ProgramRunner.run(Program.training(["--resume", scratch("run")]))
    #expect(resumed.status == 0, "\(resumed.errors)")
    #expect(resumed.output.contains("passed over") && resumed.output.contains("truncated"))
    #expect(resumed.output.contains("resuming after step 3"))
  }

  /// A dense run becomes a mixture of experts; its configuration comes along, its classes too.
  @Test func startsFromACheckpoint() throws {
    let dense = try ProgramRunner.run(Program.training(["--moe", "dense", "--steps", "6", "--out", scratch("dense")]))
    try #require(dense.status == 0, "\(dense.errors)")
    let start = ["train", "--task", "imagenet-subset", "--data", Program.data.path, "--init-from", scratch("dense")]
    let mixture = try ProgramRunner.run(
      start + ["--moe", "top2", "--freeze", "attention", "--steps", "2", "--out", scratch("mixture")])
    try #require(mixture.status == 0, "\(mixture.errors)")
    #expect(mixture.output.contains("blocks.*.moe.experts.*.fc1.weight: from blocks.*.mlp.fc1.weight"))
    #expect(mixture.output.contains("parameters, the others are frozen"))
    let losses = try #require(mixture.output.split(separator: "\n").first { $0.contains("first batch's loss") })
      .split(separator: " ").compactMap { Double($0) }
    #expect(losses.count == 2 && losses[0] == losses[1], "\(losses)")
    // What nothing fits stops before anything is written.
    for (more, words) in [
      (["--set", "model.width=64"], "none of its arrays fits"), (["--map", "a.* = b.*.*"], "2 stars"),
      (["--freeze", "nothing.*"], "matches no parameter"),
    ] {
      let result = try ProgramRunner.run(start + more + ["--out", scratch("wrong")])
      #expect(result.status == 1 && result.errors.contains(words), "\(result.errors)")
      #expect(result.errors.split(separator: "\n").count == 1)
    }
    let text = try ProgramRunner.run(["train", "--task", "lm", "--init-from", scratch("dense")])
    #expect(text.status == 1 && text.errors.contains("a model of kind vit, expected gpt"), "\(text.errors)")
  }

  @Test func dryRunTrainsNothing() throws {
    let result = try ProgramRunner.run([
      "train", "--task", "imagenet-subset", "--preset", "vit-small", "--dry-run", "--json",
    ])
    #expect(result.status == 0)
    // By hand: 98,688 embedding and positions; 8 blocks of 592,896 for attention and norms; 4 MLPs of 1,181,568;
    // 4 times 8 such experts and a gate of 3,072; 77,768 last norm and head.
    #expect(try Program.json(result.output)["parameters"] as? Int == 47_468_360)
  }

  /// What a run would refuse, its dry run refuses: places that match nothing, and keys that the task does not use.
  @Test(
    arguments: [
      (["lm", "--freeze", "head"], "finetune: 'head' matches no parameter"),
      (["lm", "--freeze", "blocks.9.*"], "finetune: 'blocks.9.*' matches no parameter"),
      (
        ["lm", "--set", "train.label_smoothing=0.1"],
        "--set: train.label_smoothing is 0.1, but model.kind gpt does not use it"
      ),
      (["imagenet-subset", "--set", "text.order=sequential"], "--set: text.order is sequential"),
      (["multimodal", "--freeze", "head", "--train-only", "attention"], nil),
    ] as [([String], String?)]) func dryRunChecksWordsAndKeys(words: [String], error: String?) throws
  {
    let result = try ProgramRunner.run(["train", "--dry-run", "--task"] + words)
    #expect(result.status == (error == nil ? 0 : 1), "\(result.errors)")
    guard let error else { return }
    #expect(result.errors.contains(error) && result.errors.split(separator: "\n").count == 1, "\(result.errors)")
  }

  /// The same for keys in a file, whose line is named.
  @Test func namesTheLineOfAKeyThatDoesNothing() throws {
    let folder = ScratchFolder()
    try "extends: gpt-toy\ntrain:\n  label_smoothing: 0.1\n".write(
      toFile: folder("own.yaml"), atomically: true, encoding: .utf8)
    let result = try ProgramRunner.run(["train", "--dry-run", "--task", "lm", "--preset", folder("own.yaml")])
    #expect(result.status == 1)
    #expect(result.errors.contains("own.yaml:3: train.label_smoothing is 0.1, but model.kind gpt does not use it"))
  }

  /// Short options are the keys that their help names; --name is a folder where runs go.
  @Test func shortOptionsAreKeys() throws {
    let folder = ScratchFolder()
    let result = try ProgramRunner.run(
      Program.training(["--steps", "1", "--lr", "3e-3", "--batch", "8", "--wd", "0.2", "--name", "my-run"]),
      in: folder.path)
    #expect(result.status == 0, "\(result.errors)")
    let config = try String(contentsOfFile: folder("checkpoints/my-run/config.yaml"), encoding: .utf8)
    for line in ["  lr: 0.003\n", "  weight_decay: 0.2\n", "  batch: 8\n"] { #expect(config.contains(line), "\(line)") }
    let help = try ProgramRunner.run(["train", "--help"]).output
    for key in ["optimizer.lr", "data.batch", "optimizer.weight_decay"] { #expect(help.contains("(\(key))"), "\(key)") }
  }

  /// The same key by an option and by --set, under any of its names, is a mistake of the command line, as are two places.
  @Test(arguments: [
    (["--lr", "1e-3", "--set", "optimizer.lr=1e-3"], "--lr and --set optimizer.lr"),
    (["--batch", "8", "--set", "seed=1", "--set", "data.batch=9"], "--batch and --set data.batch"),
    (["--moe", "top2", "--set", "moe.variant=top1"], "--moe and --set moe.variant"),
    (["--epochs", "1", "--set", "train.steps=3"], "--epochs and --set train.steps"),
    (["--name", "a", "--out", "b"], "--name and --out"), (["--name", "a/b"], "--name is 'a/b'"),
    (["--name", ""], "--name is ''"), (["--name", "../a"], "--name is '../a'"), (["--lr", "fast"], "fast"),
    (["--batch-size", "8"], "did you mean --set data.batch=VALUE?"),
    (["--learning_rate=1"], "did you mean --set optimizer.lr=VALUE?"),
    (["--moe.experts", "8"], "did you mean --set moe.experts=VALUE?"),
  ])
  func contradictionsAreUsage(options: [String], words: String) throws {
    let folder = ScratchFolder()
    let result = try ProgramRunner.run(["train", "--task", "imagenet-subset", "--dry-run"] + options, in: folder.path)
    #expect(result.status == 64 && result.errors.contains(words), "\(result.errors)")
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).isEmpty)
  }
}
