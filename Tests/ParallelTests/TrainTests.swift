import Foundation
import MMoEData
import TestSupport
import Testing

@testable import MMoEReport
@testable import MMoETrain

/// The program as several ranks.
@Suite(.serialized) struct RankTrainTests {
  static let data: (folder: ScratchFolder, path: String) = {
    let folder = ScratchFolder()
    try! ShapeSynthesizer(classes: 4, imageSize: 16, seed: 3).write(
      to: folder("shapes"), trainPerClass: 24, valPerClass: 9)
    return (folder, folder("shapes"))
  }()

  private func training(_ more: [String]) -> [String] {
    [
      "train", "--task", "imagenet-subset", "--preset", "debug", "--threads", "1", "--data",
      RankTrainTests.data.path, "--moe", "scmoe", "--set", "train.eval_every=4", "--set", "checkpoint.every=4",
    ] + more
  }

  private func losses(_ folder: String) throws -> [Double] {
    try MetricsHistory(file: folder + "/metrics.jsonl").points("train_loss").map(\.value)
  }

  /// Two ranks train what one does, save the same file but for rounding, and one goes on where two stopped.
  @Test(.needsRanks) func trainsSavesAndResumesOnOtherRanks() throws {
    let folder = ScratchFolder()
    let alone = try ProgramRunner.run(training(["--steps", "8", "--out", folder("alone")]))
    #expect(alone.status == 0, "\(alone.errors)")
    let first = try RankRunner.run(
      "mmoe", training(["--steps", "4", "--out", folder("ranks")]), ranks: 2)
    #expect(first.status == 0, "\(first.errors)")
    let second = try RankRunner.run(
      "mmoe", training(["--steps", "8", "--resume", folder("ranks"), "--trace", folder("trace.json")]), ranks: 4)
    #expect(second.status == 0, "\(second.errors)")
    let (expected, found) = (try losses(folder("alone")), try losses(folder("ranks")))
    #expect(expected.count == 8 && found.count == 8)
    // The schedule's end differs for the first four steps, nothing else.
    for (a, b) in zip(expected, found) { #expect(abs(a - b) < 1e-3) }
    let size = { (file: String) in try Data(contentsOf: URL(fileURLWithPath: file)).count }
    #expect(try size(folder("alone/step-0000008.h5")) == size(folder("ranks/step-0000008.h5")))
    let evaluated = try ProgramRunner.run(
      [
        "eval", "--task", "imagenet-subset", "--checkpoint", folder("ranks/step-0000008.h5"), "--data",
        RankTrainTests.data.path,
      ])
    #expect(evaluated.status == 0 && evaluated.output.contains("36 images"), "\(evaluated.errors)")
  }

  /// Tasks of srun that MPI does not join are told so, before each trains alone.
  @Test func refusesTasksWithoutMPI() throws {
    let result = try ProgramRunner.run(
      ["SLURM_STEP_NUM_TASKS=2", ProgramRunner.program] + training(["--steps", "1"]), program: "/usr/bin/env")
    #expect(result.status == 1 && result.errors.contains("srun --mpi=pmix"), "\(result.errors)")
  }

  /// Two ranks write their experts to files of their own; four and one go on from them, and one file is made of them.
  @Test(.needsRanks) func savesInPartsThatAnyNumberOfRanksReads() throws {
    let folder = ScratchFolder()
    func run(_ more: [String], ranks: Int) throws {
      let result = try RankRunner.run("mmoe", training(more), ranks: ranks)
      #expect(result.status == 0, "\(result.errors)")
    }
    // One save begins while the one before is written.
    try run(
      [
        "--steps", "4", "--out", folder("parts"), "--set", "checkpoint.shards=true", "--set", "checkpoint.every=1",
        "--set", "checkpoint.background=true",
      ], ranks: 2)
    let names = try FileManager.default.contentsOfDirectory(atPath: folder("parts"))
    #expect(["step-0000004.h5", "step-0000004.r00.h5", "step-0000004.r01.h5"].allSatisfy(names.contains))
    try run(["--steps", "4", "--out", folder("whole")], ranks: 2)
    try run(["--steps", "4", "--out", folder("waited"), "--set", "checkpoint.shards=true"], ranks: 2)
    // The file that they belong to has another configuration.
    for name in names where name.hasPrefix("step-0000004.r") {
      #expect(
        try Data(contentsOf: URL(fileURLWithPath: folder("parts/" + name)))
          == Data(contentsOf: URL(fileURLWithPath: folder("waited/" + name))), "\(name)")
    }
    let merged = try ProgramRunner.run([
      "checkpoint", "merge", folder("parts/step-0000004.h5"), "--out", folder("merged.h5"),
    ])
    #expect(merged.status == 0, "\(merged.errors)")
    let difference = try ProgramRunner.run(["checkpoint", "diff", folder("merged.h5"), folder("whole/step-0000004.h5")])
    #expect(difference.output.contains(" 0 differ"), "\(difference.output)")
    for ranks in [4, 1] { try run(["--steps", "\(9 - ranks)", "--resume", folder("parts")], ranks: ranks) }
  }

  /// The optimizer's moments shared out: the same file, byte by byte, and any number of ranks goes on from it.
  @Test(.needsRanks) func sharesOutTheOptimizer() throws {
    let folder = ScratchFolder()
    func run(_ more: [String], ranks: Int) throws {
      let result = try RankRunner.run("mmoe", training(more), ranks: ranks)
      #expect(result.status == 0, "\(result.errors)")
    }
    for zero in [0, 1] {
      // Two groups of two ranks: experts have two holders, everything else four.
      try run(
        ["--steps", "4", "--out", folder("\(zero)"), "--expert-parallel", "2", "--set", "parallel.zero=\(zero)"],
        ranks: 4)
    }
    let file = "/step-0000004.h5"
    #expect(
      try Data(contentsOf: URL(fileURLWithPath: folder("0") + file))
        == Data(contentsOf: URL(fileURLWithPath: folder("1") + file)))
    for (name, more) in [("0", ["parallel.zero=0"]), ("1", ["parallel.zero=1", "--set", "checkpoint.shards=true"])] {
      try run(["--steps", "8", "--resume", folder(name), "--set"] + more, ranks: 2)
    }
    let difference = try ProgramRunner.run([
      "checkpoint", "diff", folder("0") + "/step-0000008.h5", folder("1") + "/step-0000008.h5",
    ])
    #expect(difference.output.contains(" 0 differ"), "\(difference.output)")
  }

  /// An optimizer of whole matrices: two ranks train what one process does, with shared-out state the same file byte by byte,
  /// from which one process goes on.
  @Test(.needsRanks) func sharesOutWholeMatrices() throws {
    let folder = ScratchFolder()
    let muon = ["--set", "optimizer.kind=muon"]
    let alone = try ProgramRunner.run(training(muon + ["--steps", "4", "--out", folder("alone")]))
    #expect(alone.status == 0, "\(alone.errors)")
    for zero in [0, 1] {
      let result = try RankRunner.run(
        "mmoe", training(muon + ["--steps", "4", "--out", folder("\(zero)"), "--set", "parallel.zero=\(zero)"]),
        ranks: 2)
      #expect(result.status == 0, "\(result.errors)")
    }
    let file = "/step-0000004.h5"
    #expect(
      try Data(contentsOf: URL(fileURLWithPath: folder("0") + file))
        == Data(contentsOf: URL(fileURLWithPath: folder("1") + file)))
    let (expected, found) = (try losses(folder("alone")), try losses(folder("1")))
    #expect(expected.count == 4 && found.count == 4)
    for (a, b) in zip(expected, found) { #expect(abs(a - b) < 1e-3, "\(a), \(b)") }
    let resumed = try ProgramRunner.run(training(["--steps", "6", "--resume", folder("1")]))
    #expect(resumed.status == 0, "\(resumed.errors)")
  }

  /// Images and texts, with the experts of each on a rank of its own: the losses of one process, the contrastive one of the
  /// whole batch among them; two towers too, whose banks both ranks share, and whose keys of cross-attention have their
  /// gradient only after the whole text tower.
  @Test(
    .needsRanks,
    arguments: [
      ["moe.experts=4", "moe.groups=vision:2,language:2"],
      [
        "moe.experts=4", "moe.groups=vision:2,language:2", "fusion.kind=late", "fusion.cross_blocks=2",
        "fusion.text_layers=3", "moe.balance=first_choice", "moe.variant=scmoe",
      ],
    ]) func pairsOnRanksAreThoseOfOneProcess(kind: [String]) throws
  {
    let folder = ScratchFolder()
    try FileManager.default.createDirectory(atPath: folder("pairs"), withIntermediateDirectories: true)
    let colors: [(String, UInt8)] = [("black", 0), ("dark", 80), ("grey", 160), ("white", 250)]
    let lines = (0..<24).map { index in
      let (left, right) = (colors[index % 4], colors[index / 4 % 4])
      // One picture under two names would be on both sides.
      let pixels = (0..<16 * 16 * 3).map { $0 == 0 ? UInt8(index) : $0 / 3 % 16 < 8 ? left.1 : right.1 }
      try! Data(RGBImage(width: 16, height: 16, pixels: pixels).png()).write(
        to: URL(fileURLWithPath: folder("pairs/\(index).png")))
      return
        "{\"image\": \"\(index).png\", \"caption\": \"\(left.0) and \(right.0)\", \"split\": \"\(index < 18 ? "train" : "val")\"}"
    }
    try lines.joined(separator: "\n").write(
      toFile: folder("pairs/captions.jsonl"), atomically: true, encoding: .utf8)
    let settings =
      [
        "model.layers=2", "model.width=32", "model.heads=2", "model.image=16", "model.patch=4", "model.context=24",
        "model.embedding=16", "tokenizer.kind=byte", "data.batch=8",
        "data.crop_padding=1", "schedule.warmup=2", "train.eval_every=6", "train.sample_every=0", "checkpoint.every=6",
      ] + kind
    func arguments(_ out: String) -> [String] {
      [
        "train", "--task", "multimodal", "--data", folder("pairs"), "--threads", "1", "--steps", "6", "--out",
        folder(out),
      ]
        + settings.flatMap { ["--set", $0] }
    }
    let alone = try ProgramRunner.run(arguments("alone"))
    #expect(alone.status == 0, "\(alone.errors)")
    let ranks = try RankRunner.run("mmoe", arguments("ranks") + ["--expert-parallel", "2"], ranks: 2)
    #expect(ranks.status == 0, "\(ranks.errors)")
    for name in ["train_caption_loss", "train_contrastive_loss", "train_language_loss", "grad_norm"] {
      func values(_ run: String) throws -> [Double] {
        try MetricsHistory(file: folder(run) + "/metrics.jsonl").points(name).map(\.value)
      }
      let (expected, found) = (try values("alone"), try values("ranks"))
      #expect(expected.count == 6 && found.count == 6, "\(name)")
      for (a, b) in zip(expected, found) { #expect(abs(a - b) < 1e-3 * max(1, abs(a)), "\(name): \(a), \(b)") }
    }
  }

  /// Files that cannot be read are counted over all ranks: each meets other ones, and an epoch meets all.
  @Test(.needsRanks) func skippedImagesOfAllRanks() throws {
    let folder = ScratchFolder()
    try FileManager.default.copyItem(atPath: RankTrainTests.data.path, toPath: folder("data"))
    for index in 0..<9 { truncate(folder("data/train/star/\(String(format: "%05d", index)).png"), 90) }
    let result = try RankRunner.run(
      "mmoe",
      [
        "train", "--task", "imagenet-subset", "--preset", "debug", "--threads", "1", "--data", folder("data"),
        "--epochs", "1", "--on-bad-image", "skip", "--out", folder("run"),
      ], ranks: 2)
    #expect(result.status == 0, "\(result.errors)")
    #expect(result.output.contains("note: 9 unreadable train images skipped, such as "), "\(result.output)")
  }

  /// A rank whose experts never receive a token trains on: texts alone, and the experts of images on a rank of their own.
  @Test(.needsRanks) func expertsWithoutTokensAreNoError() throws {
    let folder = ScratchFolder()
    for (name, level) in [("train", UInt8(90)), ("val", 200)] {
      let pixels = [UInt8](repeating: level, count: 16 * 16 * 3)
      try Data(RGBImage(width: 16, height: 16, pixels: pixels).png()).write(
        to: URL(fileURLWithPath: folder(name + ".png")))
    }
    let lines = (0..<8).map { index in
      let split = index < 6 ? "train" : "val"
      return "{\"image\": \"\(split).png\", \"caption\": \"grey \(index)\", \"split\": \"\(split)\"}"
    }
    try lines.joined(separator: "\n").write(toFile: folder("captions.jsonl"), atomically: true, encoding: .utf8)
    let settings = [
      "model.layers=2", "model.width=32", "model.heads=2", "model.image=16", "model.patch=4", "model.context=24",
      "tokenizer.kind=byte", "data.batch=2", "data.crop_padding=1", "moe.experts=4", "moe.groups=vision:2,language:2",
      "train.sample_every=0", "objective.caption=0", "objective.contrastive=0", "objective.classification=0",
    ]
    let result = try RankRunner.run(
      "mmoe",
      [
        "train", "--task", "multimodal", "--data", folder.path, "--threads", "1", "--steps", "2", "--out",
        folder("run"), "--expert-parallel", "2",
      ] + settings.flatMap { ["--set", $0] }, ranks: 2)
    #expect(result.status == 0, "\(result.errors)")
    #expect(result.output.contains("frozen: patch_embedding.weight, patch_embedding.bias, patch_positions, since"))
    let checkpoint = try LoadedCheckpoint(folder("run/step-0000002.h5"))
    #expect(try checkpoint.modelArray("blocks.1.moe.experts.0000.fc1.bias").allSatisfy { $0 == 0 })
    #expect(try checkpoint.modelArray("blocks.1.moe.experts.0002.fc1.bias").contains { $0 != 0 })
  }

  /// An expert whose products overflow, on the second rank: that rank says so, and all end.
  @Test(.needsRanks) func aBadExpertStopsAllRanks() throws {
    let folder = ScratchFolder()
    let base = try ProgramRunner.run(training(["--steps", "1", "--out", folder("base")]))
    #expect(base.status == 0, "\(base.errors)")
    let checkpoint = try LoadedCheckpoint(folder("base/step-0000001.h5"))
    let bad = "blocks.1.moe.experts.0003.fc1.weight"
    try TrainingCheckpoint.write(checkpoint.info, arrays: checkpoint.modelArrays(), to: folder("bad.h5")) { name in
      let values = try checkpoint.modelArray(name)
      return name == bad ? values.map { _ in 3e38 } : values
    }
    let result = try RankRunner.run(
      "mmoe",
      training(["--steps", "4", "--out", folder("run"), "--init-from", folder("bad.h5"), "--expert-parallel", "2"]),
      ranks: 2, timeout: 60)
    #expect(result.status == 1)
    let spoken = result.lines.filter { $0.hasPrefix("rank ") }
    #expect(
      spoken.count == 1 && spoken[0].hasPrefix("rank 1: step 1: the loss is not finite; first bad tensor: ")
        && spoken[0].contains("experts"), "\(result.errors)")
  }

  @Test(.needsRanks) func differentConfigurationsAreRefused() throws {
    let folder = ScratchFolder()
    let program = ProgramRunner.program
    let result = try RankRunner.run(
      "mmoe",
      training(["--steps", "4", "--out", folder("a")]) + [":", "-n", "1", program]
        + training(["--steps", "4", "--out", folder("a"), "--seed", "7"]),
      ranks: 1, timeout: 60)
    #expect(result.status == 1)
    #expect(
      result.lines.count == 1 && result.lines[0].hasPrefix("rank 1: its configuration has 'seed: 7'"),
      "\(result.errors)")
  }

  /// Hosts may have different files under one path: as many images of the same classes, but others.
  @Test(.needsRanks) func differentDataIsRefused() throws {
    let folder = ScratchFolder()
    let command = training(["--steps", "4", "--out", folder("a")])
    let data = try #require(command.firstIndex(of: "--data").map { command[$0 + 1] })
    try FileManager.default.copyItem(atPath: data, toPath: folder("other"))
    let names = FileManager.default.enumerator(atPath: data)?.compactMap { $0 as? String } ?? []
    let images = names.filter { $0.hasPrefix("train/") && $0.hasSuffix(".png") }.sorted()
    try FileManager.default.removeItem(atPath: folder("other/" + images[0]))
    try FileManager.default.copyItem(atPath: data + "/" + images[1], toPath: folder("other/" + images[0]))
    let result = try RankRunner.run(
      "mmoe", command + [":", "-n", "1", ProgramRunner.program] + command + ["--data", folder("other")], ranks: 1,
      timeout: 60)
    #expect(result.status == 1)
    #expect(
      result.lines.count == 1 && result.lines[0].hasPrefix("rank 1: its data has 'train part: "), "\(result.errors)")
  }
}
