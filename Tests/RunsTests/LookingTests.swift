import Foundation
import MMoEFiles
import TestSupport
import Testing
import TinyRuns

@testable import MMoEConfig
@testable import MMoEData
@testable import MMoEReport
@testable import MMoERuns
@testable import MMoETrain

/// `mmoe runs`, on folders as runs leave them; nothing is trained.
@Suite struct LookingTests {
  let scratch = ScratchFolder()
  let output = TextBuffer()
  let errors = TextBuffer()

  private var sinks: CommandSinks { CommandSinks(output: output, errors: errors) }

  /// A run that took steps at 16 images/s and was validated every second one.
  @discardableResult
  private func make(
    _ name: String, steps: Int = 4, top1: Double = 0.5, day: Int = 1, digest: String = "ab", _ settings: [String] = []
  ) throws -> String {
    let folder = scratch(name)
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    let config = try TinyRun(["train.steps=4", "data.batch=8"] + settings).config
    try RunConfig.table.yaml(config).write(
      toFile: folder + "/config.yaml", atomically: false, encoding: .utf8)
    var record = RunRecord(
      task: "imagenet-subset", preset: "debug",
      data: .init(
        path: "shapes", absolute: "/data/shapes",
        parts: ["train": DataPart(digest: digest, counts: ["images": 96]), "val": DataPart(digest: "v", counts: [:])]))
    record.commands = [
      .init(command: "mmoe train", started: "2026-01-0\(day)T10:00:00Z", program: "mmoe", firstStep: 0, ranks: 1)
    ]
    try record.write(to: folder)
    let recorder = try Recorder(directory: folder)
    for step in 1...steps {
      recorder.record("train_loss", 2 / Double(step))
      recorder.record("expert_share", [0.25, 0.75], layer: 1)
      recorder.record("images_per_s", 16)
      if step % 2 == 0 {
        recorder.record("val_loss", 3 / Double(step))
        recorder.record("val_top1", step == 2 ? top1 : top1 / 2)
      }
      try recorder.flush(step: step)
    }
    return folder
  }

  private func list(_ change: (inout RunListing.Options) -> Void = { _ in }) throws -> [[String: Any]] {
    var options = RunListing.Options()
    (options.folder, options.printsJSON) = (scratch.path, true)
    change(&options)
    let buffer = TextBuffer()
    try RunListing(options, CommandSinks(output: buffer, errors: errors)).run()
    return try buffer.text.split(separator: "\n").map {
      try #require(JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any])
    }
  }

  private func refusal(_ body: () throws -> Void) -> String {
    do {
      try body()
      return "nothing"
    } catch { return "\(error)" }
  }

  @Test func listsWhatFilesTell() throws {
    try make("a")
    let run = try #require(try list().first)
    #expect(run["step"] as? Int == 4 && run["steps"] as? Int == 4 && run["state"] as? String == "finished")
    #expect(
      run["best"] as? Double == 0.5 && run["best_step"] as? Int == 2 && run["best_metric"] as? String == "val_top1")
    // Four steps of 8 images at 16 images/s.
    #expect(run["seconds"] as? Double == 2 && run["units_per_s"] as? Double == 16 && run["unit"] as? String == "images")
    #expect(run["date"] as? String == "2026-01-01T10:00:00Z" && run["data"] as? String == "/data/shapes")
  }

  @Test func sortsAndFilters() throws {
    try make("a", steps: 2, top1: 0.9, day: 2)
    try make("study/runs/b", steps: 4, top1: 0.4, day: 3, ["moe.experts=6"])
    try make("c", steps: 3, top1: 0.6, day: 1, ["optimizer.lr=0.01"])
    func names(_ change: (inout RunListing.Options) -> Void) throws -> String {
      try list(change).map { $0["name"] as? String ?? "" }.joined()
    }
    #expect(try names { _ in } == "bac")
    #expect(try names { $0.order = .best } == "acb")
    #expect(try names { $0.order = .step } == "bca")
    #expect(try names { $0.order = .time } == "bca")
    #expect(try names { ($0.order, $0.limit) = (.name, 2) } == "ab")
    #expect(try names { $0.filters = ["moe.experts=6"] } == "b")
    // Values are compared as values.
    #expect(try names { $0.filters = ["optimizer.lr=1e-2"] } == "c")
    #expect(try names { $0.filters = ["optimizer.lr=0.01", "moe.experts=6"] } == "")
    #expect(try names { $0.task = "lm" } == "" && names { $0.preset = "debug" } == "bac")
    #expect(refusal { _ = try names { $0.filters = ["moe.expert=6"] } }.hasPrefix("--filter moe.expert=6: unknown key"))
    #expect(refusal { _ = try names { $0.filters = ["x"] } }.contains("key=value"))
    #expect(refusal { _ = try names { $0.task = "xy" } }.contains("no such task"))
  }

  /// Whatever is wrong with a run, it and the others are listed.
  @Test func damagedRunsStopNothing() throws {
    try make("good")
    for (name, file) in [("old", "run.json"), ("bare", "metrics.jsonl")] {
      try FileManager.default.removeItem(atPath: make(name) + "/" + file)
    }
    let broken = try make("broken")
    for file in ["run.json", "config.yaml"] {
      try Data("{:".utf8).write(to: URL(fileURLWithPath: broken + "/" + file))
    }
    let cut = try make("cut", steps: 3)
    let metrics = try bytes(cut + "/metrics.jsonl")
    try metrics.dropLast(30).write(to: URL(fileURLWithPath: cut + "/metrics.jsonl"))
    try FileManager.default.createDirectory(atPath: scratch("other/deep"), withIntermediateDirectories: true)
    let locked = try RunFolder(locking: make("training", steps: 2))
    let runs = Dictionary(uniqueKeysWithValues: try list().map { ($0["name"] as? String ?? "", $0) })
    #expect(runs.count == 6)
    #expect(runs["cut"]?["step"] as? Int == 2 && runs["cut"]?["state"] as? String == "stopped")
    #expect(runs["old"]?["task"] as? String == "imagenet-subset" && runs["old"]?["best"] as? Double == 0.5)
    #expect(runs["bare"]?["step"] is NSNull && runs["bare"]?["steps"] as? Int == 4)
    #expect(runs["broken"]?["step"] as? Int == 4 && runs["broken"]?["state"] as? String == "ended")
    #expect(runs["training"]?["state"] as? String == "running", "\(locked.path)")
    let notes = errors.text.split(separator: "\n").map(String.init)
    #expect(notes.contains { $0.hasSuffix("not known: old") } && notes.contains { $0.hasSuffix("without runs: other") })
    #expect(notes.count { $0.contains("broken/") } == 2 && notes.contains { $0.contains("cut/") })
    #expect(notes.count == 5, "\(errors.text)")
  }

  @Test func foldersWithoutRuns() throws {
    var options = RunListing.Options()
    options.folder = scratch.path
    try RunListing(options, sinks).run()
    #expect(output.text == "no runs below \(scratch.path)\n")
    options.folder = scratch("none")
    #expect(refusal { try RunListing(options, sinks).run() }.contains("none: no such folder"))
    #expect(FileManager.default.createFile(atPath: scratch("none"), contents: nil))
    #expect(refusal { try RunListing(options, sinks).run() }.contains("none: a file"))
  }

  /// The least important columns go first, and the table says which.
  @Test(arguments: [40, 60, 90, 200]) func fitsTheTerminal(width: Int) throws {
    try make("a-run")
    let narrow = TextBuffer(width: width)
    var options = RunListing.Options()
    options.folder = scratch.path
    try RunListing(options, CommandSinks(output: narrow, errors: errors)).run()
    let table = narrow.text.split(separator: "\n").prefix(3)
    #expect(table.allSatisfy { $0.count <= width } && table[2].contains("50.0 % top1"), "\(narrow.text)")
    #expect(narrow.text.contains("for lack of width: data, task") == (width < 90), "\(narrow.text)")
  }

  @Test func comparesSettingsMetricsAndData() throws {
    let runs = try [
      make("a"), make("b", top1: 0.7, digest: "cd", ["moe.experts=6"]),
    ]
    var options = RunComparison.Options()
    options.runs = runs
    try RunComparison(options, sinks).run()
    let text = output.text
    #expect(text.firstMatch(of: /moe\.experts +4 +6\n/) != nil && !text.contains("optimizer.lr"), "\(text)")
    #expect(text.firstMatch(of: /best val_top1 +50\.0 %, step 2 +70\.0 %, step 2\n/) != nil, "\(text)")
    #expect(text.contains("train data: differs: a 96 images, digest ab; b 96 images, digest cd"))
    #expect(text.contains("val data: the same"))
    options.runs = [runs[0], runs[0] + "/"]
    #expect(refusal { try RunComparison(options, sinks).run() }.contains("the same run as"))
    options.runs = [runs[0], scratch("nowhere")]
    #expect(refusal { try RunComparison(options, sinks).run() }.contains("nowhere: no such run"))
  }

  @Test func runsWithoutACommonMetricAreNotDrawn() throws {
    let runs = try [make("a"), make("b")]
    try Data().write(to: URL(fileURLWithPath: runs[1] + "/metrics.jsonl"))
    var options = RunComparison.Options()
    (options.runs, options.plot) = (runs, scratch("p.png"))
    #expect(refusal { try RunComparison(options, sinks).run() }.contains("no step recorded by b"))
    #expect(!FileManager.default.fileExists(atPath: scratch("p.png")))
  }

  @Test func exportsEveryValue() throws {
    let run = try make("a", steps: 2)
    try RunExport.run(run, to: nil, sinks)
    let text = """
      step,train_loss,images_per_s,val_loss,val_top1,expert_share/layer1.0,expert_share/layer1.1
      1,2,16,,,0.25,0.75
      2,1,16,1.5,0.5,0.25,0.75

      """
    #expect(output.text == text)
    try RunExport.run(run, to: scratch("a.csv"), sinks)
    #expect(try bytes(scratch("a.csv")) == Data(text.utf8) && output.text.contains("2 steps, 7 columns in"))
    try FileManager.default.removeItem(atPath: run + "/metrics.jsonl")
    #expect(refusal { try RunExport.run(run, to: nil, sinks) }.contains("recorded no step"))
  }
}
