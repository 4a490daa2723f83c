import Foundation
import MMoEData
import TestSupport
import Testing

/// Data of others as a user meets it: what is left out, what is missing, what a dry run says, and what takes no memory.
@Suite struct ForeignDataTests {
  private let scratch = ScratchFolder()

  private func run(_ arguments: [String]) throws -> ProgramRunner.Result {
    let result = try ProgramRunner.run(arguments)
    #expect(result.status == 0, "\(arguments): \(result.errors)")
    return result
  }

  private func write(_ name: String, _ bytes: [UInt8]) throws {
    let file = URL(fileURLWithPath: scratch(name))
    try FileManager.default.createDirectory(at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
    try Data(bytes).write(to: file)
  }

  /// A set without one of the model's classes is evaluated by the classes' names; one with another class is refused.
  @Test func evaluationSetsWithOtherClasses() throws {
    try FileManager.default.copyItem(atPath: Program.data.path, toPath: scratch("data"))
    try write("data/train/loose.png", [1])
    let trained = try run(Program.training(["--steps", "2", "--out", scratch("run")], data: scratch("data")))
    #expect(trained.output.contains("left out: images beside class folders (1, train/loose.png)"), "\(trained.output)")
    let checkpoint = scratch("run/step-0000002.h5")
    let eval = ["eval", "--task", "imagenet-subset", "--checkpoint", checkpoint, "--json", "--data"]
    let whole = try Program.json(try run(eval + [scratch("data")]).output)
    let classes = try #require(whole["classes"] as? [[String: Any]])
    let names = classes.compactMap { $0["name"] as? String }
    #expect(names.count == 4)
    try FileManager.default.createDirectory(atPath: scratch("part"), withIntermediateDirectories: true)
    try FileManager.default.moveItem(atPath: scratch("data/val"), toPath: scratch("part/val"))
    // Not the last one: the labels of those behind it must stay.
    try FileManager.default.removeItem(atPath: scratch("part/val/\(names[1])"))
    let lacking = try run(eval + [scratch("part")])
    #expect(
      lacking.errors.contains("has no images of 1 of 4 classes (\(names[1])), which count 0"), "\(lacking.errors)")
    let found = try #require(try Program.json(lacking.output)["classes"] as? [[String: Any]])
    for index in 0..<4 {
      for key in ["count", "correct"] {
        #expect(found[index][key] as? Int == (index == 1 ? 0 : classes[index][key] as? Int), "\(names[index]) \(key)")
      }
    }
    try FileManager.default.moveItem(atPath: scratch("part/val/\(names[0])"), toPath: scratch("part/val/wolf"))
    let refused = try ProgramRunner.run(eval + [scratch("part")])
    #expect(refused.status == 1 && refused.errors.contains("unknown to the model: wolf"), "\(refused.errors)")
  }

  /// Captions without labels, the documented form, from training to analysis. One is longer than the context.
  @Test func captionsWithoutLabels() throws {
    var lines: [String] = []
    for index in 0..<16 {
      let pixels = (0..<16 * 16 * 3).map { UInt8(truncatingIfNeeded: $0 * index) }
      try write("pairs/\(index).png", RGBImage(width: 16, height: 16, pixels: pixels).png())
      let caption = index == 3 ? String(repeating: "long ", count: 30) : "picture \(index)"
      lines.append("{\"image\": \"\(index).png\", \"caption\": \"\(caption)\", \"group\": \"\(index / 2)\"}")
    }
    try write("pairs/captions.jsonl", [UInt8](lines.joined(separator: "\n").utf8))
    let settings = [
      "model.layers=2", "model.width=32", "model.heads=2", "model.image=16", "model.patch=4", "model.context=24",
      "model.embedding=16", "tokenizer.kind=byte", "moe.experts=4", "moe.groups=vision:2,language:1,shared:1",
      "data.batch=4", "data.crop_padding=1", "train.sample_every=0", "data.validation_share=0.4",
    ].flatMap { ["--set", $0] }
    let data = ["--data", scratch("pairs")]
    let training = ["train", "--task", "multimodal", "--threads", "2"] + data
    let trained = try run(training + settings + ["--steps", "2", "--out", scratch("run")]).output
    #expect(
      trained.contains(
        "captions cut after 23 tokens (model.context is 24): 1, the first in \(scratch("pairs"))/captions.jsonl:4"))
    #expect(trained.contains("groups; a pass over the data shows one image of each"), "\(trained)")
    let evaluated = try run(["eval", "--task", "multimodal", "--checkpoint", scratch("run")] + data)
    #expect(!evaluated.output.contains("groups"))
    _ = try run(training + ["--resume", scratch("run"), "--steps", "3"])
    _ = try run(["analyze", "routing", scratch("run"), "--samples", "4", "--out", scratch("analysis")] + data)
    let dry = try Program.json(try run(training + settings + ["--dry-run", "--json"]).output)
    let counts = try #require(dry["data"] as? [String: Any])
    #expect((counts["train_images"] as? Int ?? 0) + (counts["val_images"] as? Int ?? 0) == 16)
    #expect((counts["train_groups"] as? Int ?? 0) + (counts["val_groups"] as? Int ?? 0) == 8)
    #expect(counts["labels"] as? Int == 0 && (counts["notes"] as? [String])?.count == 2)
  }

  /// A dry run looks at the data that it is given, and makes nothing of it.
  @Test func dryRunLooksAtData() throws {
    func dry(_ task: String, _ preset: String, _ data: String) throws -> ProgramRunner.Result {
      try ProgramRunner.run(["train", "--task", task, "--preset", preset, "--dry-run", "--json", "--data", data])
    }
    let images = try Program.json(try dry("imagenet-subset", "debug", Program.data.path).output)
    let found = images["data"] as? [String: Any]
    #expect(
      found?["classes"] as? Int == 4 && found?["train_images"] as? Int == 96 && found?["val_images"] as? Int == 32)
    try write("texts/train.txt", [UInt8](repeating: 0x61, count: 70))
    try write("texts/val.txt", [UInt8](repeating: 0x62, count: 30))
    try write("texts/notes.pdf", [1])
    let texts = try Program.json(try dry("lm", "gpt-toy", scratch("texts")).output)
    let text = texts["data"] as? [String: Any]
    #expect(text?["text_files"] as? Int == 2 && text?["text_bytes"] as? Int == 100 && text?["val_files"] as? Int == 1)
    #expect(
      (text?["notes"] as? [String])?.first?.contains("files that are no texts by their names (1, notes.pdf)") == true)
    try write("a.txt", [0xFD, 0x37, 0x7A, 0x58, 0x5A, 0, 1])
    let refused = try dry("lm", "gpt-toy", scratch("a.txt"))
    #expect(refused.status == 1 && refused.errors.contains("a.txt: an xz file, expected text"), "\(refused.errors)")
  }

  /// 40 chunks of notes that unpack to 48 MB each are neither kept nor unpacked. Bad files end with status 1.
  @Test func notesInPNGFilesTakeNoMemory() throws {
    let picture = try RGBImage(width: 4, height: 4, pixels: [UInt8](repeating: 9, count: 48)).png()
    let large = try RGBImage(width: 4096, height: 4096, pixels: [UInt8](repeating: 0, count: 3 << 24)).png()
    // Of a file of one color the data chunks are a packed stream of zeros.
    let chunk = [UInt8]("zTXt".utf8) + [0x6B, 0, 0] + ForeignDataTests.chunks("IDAT", large)
    var bomb = Array(picture[..<33])
    for _ in 0..<40 { bomb += ForeignDataTests.sealed(chunk) }
    bomb += picture[33...]
    for split in ["train", "val"] {
      try write("set/\(split)/a/1.png", bomb)
      try write("set/\(split)/b/1.png", picture)
    }
    let (status, kilobytes) = try ForeignDataTests.measured(["data", "inspect", scratch("set")])
    #expect(status == 0)
    // The system counts what this process had when it started the other one.
    var own = rusage()
    getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &own)
    #expect(kilobytes < Int(own.ru_maxrss) + 300_000, "\(kilobytes) kB")
    try write("set/val/a/2.png", [1, 2, 3])
    let bad = try ProgramRunner.run(["data", "inspect", scratch("set"), "--json"])
    #expect(
      bad.status == 1 && bad.errors.contains("1 of 5 images cannot be decoded, such as \(scratch("set"))/val/a/2.png"))
    #expect((try Program.json(bad.output)["bad_files"] as? [Any])?.count == 1)
  }

  /// The contents of all chunks of a type, joined.
  private static func chunks(_ type: String, _ file: [UInt8]) -> [UInt8] {
    var (found, at) = ([UInt8](), 8)
    while at + 12 <= file.count {
      let length = file[at..<at + 4].reduce(0) { $0 << 8 | Int($1) }
      if file[at + 4..<at + 8].elementsEqual(type.utf8) { found += file[at + 8..<at + 8 + length] }
      at += 12 + length
    }
    return found
  }

  /// A chunk of a type and contents, with length and checksum.
  private static func sealed(_ content: [UInt8]) -> [UInt8] {
    func big(_ number: UInt32) -> [UInt8] { [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: number >> $0) } }
    let table = (0..<256 as Range<UInt32>).map { index in
      (0..<8).reduce(index) { sum, _ in sum & 1 == 1 ? 0xEDB8_8320 ^ sum >> 1 : sum >> 1 }
    }
    let sum = ~content.reduce(0xFFFF_FFFF as UInt32) { table[Int(UInt8(truncatingIfNeeded: $0) ^ $1)] ^ $0 >> 8 }
    return big(UInt32(content.count - 4)) + content + big(sum)
  }

  /// Runs the program; its status, and the most memory that it had, in kilobytes.
  private static func measured(_ arguments: [String]) throws -> (status: Int32, kilobytes: Int) {
    var words: [UnsafeMutablePointer<CChar>?] = ([ProgramRunner.program] + arguments).map { strdup($0) } + [nil]
    defer { for word in words { free(word) } }
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0)
    var process = pid_t()
    try #require(posix_spawn(&process, words[0]!, &actions, nil, &words, environ) == 0)
    var (status, usage) = (Int32(0), rusage())
    try #require(wait4(process, &status, 0, &usage) == process)
    return (status >> 8 & 0xFF, Int(usage.ru_maxrss))
  }
}
