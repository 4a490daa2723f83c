import Foundation
import TestSupport
import Testing

/// Whatever is wrong, the program says so in one line and exits with 1, or 64 for usage.
@Suite struct BadInputTests {
  struct Case: CustomTestStringConvertible, Sendable {
    let testDescription: String
    let arguments: [String]
    /// Words that the line must contain.
    let words: [String]

    init(_ name: String, _ arguments: [String], _ words: String...) {
      testDescription = name
      self.arguments = arguments
      self.words = words
    }
  }

  static func set(_ assignments: String...) -> [String] {
    Program.training(assignments.flatMap { ["--set", $0] } + ["--steps", "1"])
  }

  static let configurations = [
    Case("unknown key", set("moe.expert=4"), "moe.expert", "moe.experts"),
    Case("larger than any machine", set("model.width=65536", "model.heads=64", "moe.experts=16384"), "of memory"),
    Case("wrong type", set("optimizer.lr=fast"), "optimizer.lr", "fast"),
    Case("out of range", set("model.layers=0"), "model.layers", "0"),
    Case("no equals sign", set("moe.experts"), "key=value"),
    Case("k over experts", set("moe.variant=top5"), "top5", "moe.experts"),
    Case("heads do not divide", set("model.heads=5"), "model.heads is 5", "model.width 32"),
    Case("patch does not divide", set("model.patch=5"), "model.patch is 5", "model.image 16"),
    Case("no block with experts", set("moe.every=3"), "moe.every is 3"),
    Case("unknown variant", set("moe.variant=mixture"), "mixture", "top<k>"),
    Case("no shared expert to combine", set("moe.combine=cg1"), "moe.combine is cg1", "top2"),
    Case("missing source", set("moe.variant=scmoe", "moe.every=1"), "scmoe", "first MoE block"),
    Case("accumulation", set("train.accumulation=5"), "train.accumulation is 5", "data.batch 16"),
    Case(
      "unknown preset", ["train", "--task", "imagenet-subset", "--preset", "vit-tny"], "vit-tny", "vit-tiny"),
    Case("unknown task", ["train", "--task", "imagenet"], "imagenet", "imagenet-subset"),
    Case(
      "no backend", set("tensor.blas=mkl"), "tensor.blas", "onednn"),
    Case(
      "no bfloat16 products", set("dtype=bf16", "tensor.blas=openblas"), "dtype is bf16", "openblas",
      "dtype=float32"),
    Case("unknown type", set("dtype=fp16"), "dtype", "fp16", "bf16"),
  ]

  private func expectOneLine(
    _ arguments: [String], _ words: [String], status: Int32 = 1
  ) throws {
    let result = try ProgramRunner.run(arguments)
    #expect(result.status == status, "\(result.errors)")
    let lines = result.errors.split(separator: "\n")
    #expect(lines.count == 1, "\(result.errors)")
    for word in words { #expect(result.errors.contains(word), "no '\(word)' in: \(result.errors)") }
  }

  /// Under limits of the system, too: refused before libraries fault, or enough.
  @Test(arguments: [
    ("-n 12", "presets", 1, "the limit of open files is 12, expected at least 64; raise it with ulimit -n 64"),
    ("-S -n 12", "presets", 0, ""), ("-n 64", "presets", 0, ""),
    ("-v 400000", "presets", 1, "the limit of virtual memory is 400000 KB, expected at least 1048576"),
    ("-v 2000000", "train", 0, ""), ("-v 2000000", "train --set model.width=2048", 1, "ulimit -v leaves buffers"),
  ])
  func systemLimits(limit: String, command: String, status: Int32, words: String) throws {
    let scratch = ScratchFolder()
    var arguments = command.split(separator: " ").map(String.init)
    if arguments[0] == "train" {
      arguments =
        Program.training(["--steps", "1", "--set", "schedule.warmup=0", "--out", scratch("run")])
        + arguments.dropFirst()
    }
    let result = try ProgramRunner.run(
      ["-c", "ulimit \(limit); exec \"$0\" \"$@\"", ProgramRunner.program] + arguments, program: "/bin/bash")
    #expect(result.status == status, "\(result.errors)")
    let lines = result.errors.split(separator: "\n")
    #expect(status == 0 || (lines.count == 1 && result.errors.contains(words)), "\(result.errors)")
  }

  /// oneDNN obeys this variable and sees no newer instructions; without oneDNN the line names the library.
  @Test func bfloat16NeedsTheCPU() throws {
    let scratch = ScratchFolder()
    let result = try ProgramRunner.run(
      ["DNNL_MAX_CPU_ISA=AVX2", ProgramRunner.program] + BadInputTests.set("dtype=bf16") + ["--out", scratch("run")],
      program: "/usr/bin/env")
    #expect(result.status == 1)
    #expect(result.errors.split(separator: "\n").count == 1, "\(result.errors)")
    #expect(result.errors.contains("dtype is bf16, but "))
    #expect(result.errors.contains("give") && result.errors.contains("dtype=float32"))
    #expect(!FileManager.default.fileExists(atPath: scratch("run")))
  }

  @Test(arguments: configurations) func impossibleConfiguration(_ wrong: Case) throws {
    let scratch = ScratchFolder()
    try expectOneLine(wrong.arguments + ["--out", scratch("run")], wrong.words)
    #expect(!FileManager.default.fileExists(atPath: scratch("run")))
  }

  @Test func usageExitsWith64() throws {
    for arguments in [["train"], ["trian"], ["train", "--task"], ["eval", "--checkpoint"]] {
      let result = try ProgramRunner.run(arguments)
      #expect(result.status == 64, "\(arguments)")
      #expect(result.errors.contains("Usage:"))
    }
  }

  // MARK: Data

  /// A copy of the data that a test may spoil.
  private func copy(_ scratch: ScratchFolder) throws -> String {
    try FileManager.default.copyItem(atPath: Program.data.path, toPath: scratch("data"))
    return scratch("data")
  }

  private func expectDataError(_ data: String, _ words: String...) throws {
    try expectOneLine(
      Program.training(["--epochs", "1", "--out", data + "-run"], data: data), words)
  }

  @Test func missingFolder() throws {
    try expectDataError(ScratchFolder()("nothing"), "nothing: no such folder")
  }

  @Test func emptyFolder() throws {
    let scratch = ScratchFolder()
    try FileManager.default.createDirectory(
      atPath: scratch("data/train"), withIntermediateDirectories: true)
    try expectDataError(scratch("data"), "data/train: no class folders")
  }

  @Test func classWithoutImages() throws {
    let scratch = ScratchFolder()
    let data = try copy(scratch)
    for split in ["train", "val"] {
      try FileManager.default.createDirectory(
        atPath: "\(data)/\(split)/zebra", withIntermediateDirectories: true)
    }
    try expectDataError(data, "zebra: a class without images")
  }

  @Test func classesDiffer() throws {
    let scratch = ScratchFolder()
    let data = try copy(scratch)
    try FileManager.default.moveItem(atPath: data + "/val/circle", toPath: data + "/val/disc")
    try expectDataError(data, "only in train: circle", "only in val: disc")
  }

  @Test func otherFormats() throws {
    let scratch = ScratchFolder()
    let data = try copy(scratch)
    try FileManager.default.moveItem(
      atPath: data + "/train/circle/00000.png", toPath: data + "/train/circle/00000.tiff")
    try expectDataError(data, "00000.tiff", "expected PNG, JPEG or WebP")
    try FileManager.default.moveItem(
      atPath: data + "/train/circle/00000.tiff", toPath: data + "/train/circle/00000.png")
    try Data([0xFF, 0xD8, 0xFF, 0xE0]).write(
      to: URL(fileURLWithPath: data + "/train/circle/00000.png"))
    try? FileManager.default.removeItem(atPath: data + "-run")
    try expectDataError(data, "00000.png", "--on-bad-image skip")
  }

  @Test func truncatedPNG() throws {
    let scratch = ScratchFolder()
    let data = try copy(scratch)
    truncate(data + "/train/star/00003.png", 100)
    try? FileManager.default.removeItem(atPath: data + "-run")
    let arguments = Program.training(["--epochs", "1", "--out", scratch("run")], data: data)
    try expectOneLine(arguments, ["star/00003.png", "--on-bad-image skip"])
    let skipping = try ProgramRunner.run(
      Program.training(
        ["--epochs", "1", "--out", scratch("skip"), "--on-bad-image", "skip"], data: data))
    #expect(skipping.status == 0, "\(skipping.errors)")
    #expect(skipping.output.contains("1 unreadable train images skipped"))
  }

  // MARK: Checkpoints and folders

  private func eval(_ checkpoint: String, data: String = Program.data.path) -> [String] {
    ["eval", "--task", "imagenet-subset", "--checkpoint", checkpoint, "--data", data]
  }

  @Test func checkpointsThatCannotBeRead() throws {
    let scratch = ScratchFolder()
    let trained = try ProgramRunner.run(Program.training(["--steps", "1", "--out", scratch("run")]))
    try #require(trained.status == 0, "\(trained.errors)")
    let good = scratch("run") + "/step-0000001.h5"
    let content = try Data(contentsOf: URL(fileURLWithPath: good))
    func file(_ name: String, _ bytes: Data) throws -> String {
      try bytes.write(to: URL(fileURLWithPath: scratch(name)))
      return scratch(name)
    }
    try expectOneLine(eval(scratch("no.h5")), ["no.h5", "no such file"])
    try expectOneLine(eval(try file("empty.h5", Data())), ["empty.h5", "the file is empty"])
    try expectOneLine(
      eval(try file("foreign.h5", Data(content.dropFirst(4096)))), ["foreign.h5", "not a checkpoint"])
    try expectOneLine(
      eval(try file("cut.h5", content.prefix(content.count / 2))), ["cut.h5", "truncated"])
    var changed = content
    changed[content.count / 2] ^= 1
    try expectOneLine(eval(try file("changed.h5", changed)), ["changed.h5", "damaged", "checksum"])

    // Another data set's classes.
    let other = ScratchFolder()
    let data = try copy(other)
    for split in ["train", "val"] {
      try FileManager.default.moveItem(
        atPath: "\(data)/\(split)/circle", toPath: "\(data)/\(split)/disc")
    }
    try expectOneLine(eval(good, data: data), ["classes differ", "unknown to the model: disc", "missing: circle"])
    try expectOneLine(
      Program.training(["--resume", scratch("run"), "--steps", "2"], data: data), ["classes differ"])
    // A resumed run keeps what it computes.
    try expectOneLine(
      Program.training(["--resume", scratch("run"), "--set", "moe.experts=8"]),
      ["moe.experts is 8", "but 4"])
    try expectOneLine(Program.training(["--out", scratch("run")]), ["holds a run already", "--resume"])
    try expectOneLine(Program.training(["--resume", scratch("nowhere")]), ["no such run"])
  }

  @Test func folderThatCannotBeWritten() throws {
    let scratch = ScratchFolder()
    try Data().write(to: URL(fileURLWithPath: scratch("file")))
    try expectOneLine(Program.training(["--out", scratch("file")]), ["file: a file, expected a folder"])
    try expectOneLine(Program.training(["--out", "/proc/run"]), ["/proc/run: cannot be created"])
  }

  @Test func parityOfAFileThatIsNoCase() throws {
    let scratch = ScratchFolder()
    try Data("text".utf8).write(to: URL(fileURLWithPath: scratch("case.h5")))
    try expectOneLine(["parity", scratch("case.h5")], ["case.h5"])
  }
}
