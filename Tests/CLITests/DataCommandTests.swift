import Foundation
import TestSupport
import Testing

/// `mmoe data tokenize`, `import-bin` and `inspect` of what they make.
@Suite struct DataCommandTests {
  private let scratch = ScratchFolder()

  private func write(_ name: String, _ text: String) throws -> String {
    try text.write(toFile: scratch(name), atomically: true, encoding: .utf8)
    return scratch(name)
  }

  private func run(_ arguments: String...) throws -> ProgramRunner.Result {
    try ProgramRunner.run(["data"] + arguments)
  }

  @Test func tokenizesAndInspects() throws {
    let lines = (0..<50).map { "{\"body\": \"story number \($0)\"}\n" }
    let input = try write("stories.jsonl", lines.joined())
    let made = try run(
      "tokenize", input, "--tokenizer", "bytes", "--out", scratch("shards"), "--field", "body", "--val-share", "0.2",
      "--threads", "2")
    try #require(made.status == 0, "\(made.errors)")
    #expect(made.output.contains("train: ") && made.output.contains("val: "))
    let inspected = try Program.json(try run("inspect", scratch("shards"), "--json").output)
    #expect(inspected["tokenizer"] as? String == "bytes")
    let parts = inspected["parts"] as? [[String: Any]] ?? []
    #expect(parts.compactMap { $0["documents"] as? Int }.reduce(0, +) == 50)
    // 13 letters, one or two digits and a line end each.
    let tokens = parts.compactMap { $0["tokens"] as? Int }.reduce(0, +)
    #expect(tokens == 10 * 15 + 40 * 16)
    let text = try run("inspect", scratch("shards"))
    #expect(text.status == 0 && text.output.contains("all checksums and ids are right"))
  }

  @Test func imports() throws {
    try Data((0..<600).flatMap { [UInt8($0 % 250), 0] }).write(to: URL(fileURLWithPath: scratch("train.bin")))
    let made = try run("import-bin", scratch("train.bin"), "--vocabulary", "250", "--out", scratch("shards"))
    try #require(made.status == 0, "\(made.errors)")
    #expect(made.output.contains("train: 600 tokens, 1 documents, 1 shards"))
    let timed = try ProgramRunner.run(["bench", "data", "--data", scratch("shards"), "--json"])
    let speed = try Program.json(timed.output)["tokens_per_s"] as? Double ?? 0
    #expect(timed.status == 0 && speed > 0)
  }

  /// One line and status 1 each; 64 for usage.
  @Test func badInput() throws {
    let empty = try write("empty.txt", "")
    let broken = try write("broken.jsonl", "{\"text\": \"a\"}\n{\"text\": \"b\"}\n{\n")
    let bin = try write("odd.bin", "abc")
    let out = scratch("out")
    for (arguments, words) in [
      (["tokenize", empty, "--tokenizer", "bytes", "--out", out], "empty.txt: 0 bytes of text"),
      (["tokenize", broken, "--tokenizer", "bytes", "--out", out], "broken.jsonl:3: no valid JSON"),
      (["tokenize", scratch("none"), "--tokenizer", "bytes", "--out", out], "no such file or folder"),
      (["tokenize", broken, "--tokenizer", scratch("none"), "--out", out], "no such tokenizer"),
      (["tokenize", broken, "--tokenizer", "bytes", "--val-share", "2", "--out", out], "validation share is 2.0"),
      (["import-bin", bin, "--vocabulary", "100", "--out", out], "odd.bin: "),
      (["import-bin", bin, "--vocabulary", "0", "--out", out], "vocabulary of 0 tokens"),
    ] {
      let result = try ProgramRunner.run(["data"] + arguments)
      #expect(result.status == 1 && result.errors.contains(words), "\(arguments): \(result.errors)")
      #expect(result.errors.split(separator: "\n").count == 1, "\(result.errors)")
    }
    #expect(!FileManager.default.fileExists(atPath: out))
    for arguments in [["tokenize", empty], ["import-bin", bin, "--out", out]] {
      #expect(try ProgramRunner.run(["data"] + arguments).status == 64)
    }
  }

  /// What the words themselves say is wrong, before data is looked for or an address is asked.
  @Test(arguments: [
    (["inspect"], "Missing expected argument"), (["preview", "--data", "x"], "Missing expected argument '--out"),
    (["preview", "--out", "x.png", "--count", "0"], "--count is 0, expected 1 to 100"),
    (["preview", "--out", "x.png", "--draws", "100000"], "--draws is 100000, expected 1 to 20"),
    (["fetch", "--out", "x"], "--out and --address are for a set"),
    (["fetch", "mnist", "--address", "ftp://x"], "--address is 'ftp://x', expected one that begins with http"),
    (["fetch", "mnist", "--address", "http://a b"], "--address is 'http://a b'"),
  ]) func usage(arguments: [String], words: String) throws {
    let result = try ProgramRunner.run(["data"] + arguments, in: scratch.path)
    #expect(result.status == 64 && result.errors.contains(words), "\(result.errors)")
    #expect(try FileManager.default.contentsOfDirectory(atPath: scratch.path).isEmpty)
  }
}
