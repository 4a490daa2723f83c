import Foundation
import TestSupport
import Testing

/// The language side of the program as a user meets it: train, evaluate, generate, and what is wrong in one line.
@Suite struct TextCommandTests {
  static let small = [
    "--set", "model.layers=2", "--set", "model.width=32", "--set", "model.heads=2", "--set", "model.context=16",
    "--set", "data.batch=4",
  ]
  static let text = String(repeating: "to be or not to be, that is the question.\n", count: 60)

  /// A short run on a text file, made once.
  static let run: (folder: ScratchFolder, text: String, checkpoint: String) = {
    let folder = ScratchFolder()
    try! text.write(toFile: folder("text.txt"), atomically: true, encoding: .utf8)
    let result = try! ProgramRunner.run(
      [
        "train", "--task", "lm", "--data", folder("text.txt"), "--preset", "gpt-toy", "--out", folder("run"), "--steps",
        "30",
      ]
        + small)
    precondition(result.status == 0, result.errors)
    return (folder, folder("text.txt"), folder("run/step-0000030.h5"))
  }()

  private func json(_ text: String) throws -> [String: Any] {
    let line = try #require(text.split(separator: "\n").last)
    return try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
  }

  @Test func evaluatesAndGenerates() throws {
    let run = TextCommandTests.run
    let evaluated = try ProgramRunner.run([
      "eval", "--task", "lm", "--checkpoint", run.checkpoint, "--data", run.text, "--json", "--set",
      "text.eval_stride=4",
    ])
    #expect(evaluated.status == 0, "\(evaluated.errors)")
    let fields = try json(evaluated.output)
    let loss = try #require(fields["val_loss"] as? Double)
    // Every byte is a token here, so a byte costs what a token costs.
    #expect(abs(try #require(fields["bits_per_byte"] as? Double) - loss / log(2)) < 1e-9)
    #expect(abs(try #require(fields["perplexity"] as? Double) - exp(loss)) < 1e-9 * exp(loss))
    let arguments = [
      "generate", "--checkpoint", run.checkpoint, "--prompt", "to be", "--prompt", "or", "--tokens", "20",
    ]
    let first = try ProgramRunner.run(arguments + ["--seed", "3"])
    #expect(first.status == 0 && first.output.hasPrefix("to be") && first.errors.contains("40 tokens in"))
    #expect(try ProgramRunner.run(arguments + ["--seed", "3", "--threads", "1"]).output == first.output)
    #expect(try ProgramRunner.run(arguments + ["--seed", "4"]).output != first.output)
    let lines = try ProgramRunner.run(arguments + ["--json", "--temperature", "0"]).output.split(separator: "\n")
    #expect(lines.count == 2)
    #expect((try json(String(lines[0]))["ids"] as? [Int])?.count == 20)
  }

  private func expectOneLine(_ arguments: [String], _ words: String...) throws {
    let result = try ProgramRunner.run(arguments)
    #expect(result.status == 1, "\(result.errors)")
    let lines = result.errors.split(separator: "\n")
    #expect(lines.count == 1, "\(result.errors)")
    for word in words { #expect(result.errors.contains(word), "no '\(word)' in: \(result.errors)") }
  }

  private func training(_ data: String, _ more: [String] = []) -> [String] {
    ["train", "--task", "lm", "--data", data, "--steps", "1", "--out", data + "-run"] + TextCommandTests.small + more
  }

  @Test func wrongTextsAreNamed() throws {
    let scratch = ScratchFolder()
    func file(_ name: String, _ content: String) throws -> String {
      try content.write(toFile: scratch(name), atomically: true, encoding: .utf8)
      return scratch(name)
    }
    try expectOneLine(training(scratch("none.txt")), "none.txt")
    try expectOneLine(training(try file("empty.txt", "")), "empty.txt")
    try expectOneLine(training(try file("short.txt", "too short")), "17")
    try expectOneLine(
      training(try file("broken.jsonl", "{\"text\": \"one\"}\n{\"text\": \n{\"text\": \"two\"}\n")), "broken.jsonl:2")
    try expectOneLine(
      training(try file("field.jsonl", "{\"body\": \"one\"}\n{\"body\": \"two\"}\n")), "field.jsonl:1", "text")
    let good = try file("good.txt", TextCommandTests.text)
    try expectOneLine(training(good, ["--set", "tokenizer.kind=gpt2"]), "tokenizer.path", "encoder.json")
    try expectOneLine(
      training(good, ["--set", "tokenizer.kind=bpe", "--set", "tokenizer.path=\(scratch("nowhere"))"]), "nowhere",
      "no such tokenizer")
    try expectOneLine(training(good, ["--preset", "vit-tiny"]), "vit-tiny", "model.kind is vit")
    try expectOneLine(
      ["train", "--task", "imagenet-subset", "--preset", "gpt-toy", "--steps", "1"], "gpt-toy", "model.kind is gpt")
    try expectOneLine(
      training(good, ["--set", "model.heads=32", "--set", "model.positions=rotary"]), "model.positions is rotary")
  }

  @Test func wrongPromptsAndQuestionsAreNamed() throws {
    let run = TextCommandTests.run
    let scratch = ScratchFolder()
    let generate = ["generate", "--checkpoint", run.checkpoint]
    try expectOneLine(
      generate + ["--prompt", String(repeating: "x", count: 17)], "17 tokens, expected 1 to 16")
    try expectOneLine(generate + ["--top-p", "0"], "--top-p is 0.0")
    try expectOneLine(["generate", "--checkpoint", scratch("none.h5")], "none.h5")
    let evaluate = ["eval", "--task", "lm", "--checkpoint", run.checkpoint, "--choices", scratch("q.jsonl")]
    try expectOneLine(evaluate, "q.jsonl", "cannot be read")
    try "{\"context\": \"a\", \"choices\": [\"b\"], \"answer\": 1}\n".write(
      toFile: scratch("q.jsonl"), atomically: true, encoding: .utf8)
    try expectOneLine(evaluate, "q.jsonl:1", "answer is 1, expected 0 to 0")
  }
}
