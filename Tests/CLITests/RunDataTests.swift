import Foundation
import MMoEData
import TestSupport
import Testing

/// A run knows its data: commands that name none use that of the run, and what has changed is refused.
@Suite struct RunDataTests {
  let scratch = ScratchFolder()
  private static let small = TextCommandTests.small + ["--set", "tokenizer.kind=byte", "--threads", "2"]

  private func mmoe(_ arguments: [String], status: Int32 = 0, from folder: String? = nil) throws -> String {
    let result = try ProgramRunner.run(arguments, in: folder)
    #expect(result.status == status, "\(arguments): \(result.output)\(result.errors)")
    if status != 0 { #expect(result.errors.split(separator: "\n").count == 1, "\(result.errors)") }
    return result.output + result.errors
  }

  private func write(_ name: String, _ word: String, lines: Int = 60) throws {
    let text = String(repeating: "to be or not to be, that is the \(word).\n", count: lines)
    try FileManager.default.createDirectory(
      atPath: scratch(name).split(separator: "/").dropLast().reduce("") { $0 + "/" + $1 },
      withIntermediateDirectories: true)
    try text.write(toFile: scratch(name), atomically: false, encoding: .utf8)
  }

  private func record(_ run: String) throws -> [String: Any] {
    let bytes = try Data(contentsOf: URL(fileURLWithPath: scratch(run + "/run.json")))
    return try #require(try JSONSerialization.jsonObject(with: bytes) as? [String: Any])
  }

  /// The data is named once, as a path of that moment's folder; afterwards the run knows it, wherever a command is typed.
  @Test func dataIsNamedOnce() throws {
    try write("here/a.txt", "question")
    try write("here/b.txt", "quagmire")
    let place = scratch("here")
    let train = ["train", "--task", "lm", "--preset", "gpt-toy", "--data", "a.txt", "--out", "run", "--steps", "4"]
    _ = try mmoe(train + RunDataTests.small, from: place)
    let first = try record("here/run")
    let data = try #require(first["data"] as? [String: Any])
    #expect(data["path"] as? String == "a.txt" && (data["absolute"] as? String)?.hasSuffix("/here/a.txt") == true)
    let commands = try #require(first["commands"] as? [[String: Any]])
    #expect(
      (commands[0]["command"] as? String)?.hasPrefix("mmoe train --task lm --preset gpt-toy --data a.txt") == true)
    let config = try String(contentsOfFile: scratch("here/run/config.yaml"), encoding: .utf8)
    #expect(config.hasPrefix("# " + (commands[0]["command"] as? String ?? "")))

    // Neither task nor data, from anywhere.
    let went = try mmoe(["train", "--resume", scratch("here/run"), "--steps", "6"])
    #expect(went.contains("data \(scratch("here/a.txt"))") && went.contains("step-0000006.h5"))
    #expect((try record("here/run")["commands"] as? [Any])?.count == 2)
    let seen = try mmoe(["eval", "--checkpoint", scratch("here/run")])
    #expect(seen.split(separator: "\n").last?.hasPrefix("evaluated on \(scratch("here/a.txt")): ") == true, "\(seen)")

    // Other data: never for the same run, for an evaluation on purpose.
    let refused = try mmoe(
      ["train", "--resume", scratch("here/run"), "--steps", "8", "--data", scratch("here/b.txt")], status: 1)
    #expect(refused.contains("its train part has") && refused.contains("--init-from"))
    let other = try mmoe(["eval", "--checkpoint", scratch("here/run"), "--data", scratch("here/b.txt")])
    #expect(other.contains("is not the data of training") && other.contains("evaluated on \(scratch("here/b.txt"))"))

    // The text changes under its name, size and all.
    try write("here/a.txt", "quagmire")
    #expect(try mmoe(["eval", "--checkpoint", scratch("here/run")], status: 1).contains("to use it as it is"))
    #expect(try mmoe(["train", "--resume", scratch("here/run"), "--steps", "8"], status: 1).contains("has seen"))
    try FileManager.default.removeItem(atPath: scratch("here/a.txt"))
    #expect(try mmoe(["eval", "--checkpoint", scratch("here/run")], status: 1).contains("does not exist any more"))
    let gone = try mmoe(["analyze", "routing", scratch("here/run"), "--out", scratch("routes")], status: 1)
    #expect(gone.contains("does not exist any more"))
    // Without the record nobody can say where the data was, but its digest is in the checkpoint.
    try write("here/c.txt", "question")
    try "{\"format_version\": 1".write(toFile: scratch("here/run/run.json"), atomically: false, encoding: .utf8)
    #expect(try mmoe(["train", "--resume", scratch("here/run"), "--steps", "8"], status: 1).contains("run.json"))
    _ = try mmoe(["train", "--resume", scratch("here/run"), "--steps", "8", "--data", scratch("here/c.txt")])
    #expect((try record("here/run")["commands"] as? [Any])?.count == 1)
  }

  /// `mmoe eval` by itself: the latest run, of the task if one is given.
  @Test func theLatestRunIsFound() throws {
    try write("a.txt", "question")
    let train = ["train", "--task", "lm", "--preset", "gpt-toy", "--data", scratch("a.txt"), "--steps", "2"]
    _ = try mmoe(train + RunDataTests.small + ["--out", "checkpoints/named-freely"], from: scratch.path)
    for command in [["eval", "--task", "lm"], ["eval"]] {
      let text = try mmoe(command, from: scratch.path)
      #expect(text.contains("checkpoints/named-freely/best.h5") && text.contains("evaluated on \(scratch("a.txt"))"))
    }
    let made = try mmoe(["generate", "--prompt", "to be", "--tokens", "2"], from: scratch.path)
    #expect(made.contains("checkpoints/named-freely/best.h5"))
    _ = try mmoe(["train", "--resume", "--steps", "3"], from: scratch.path)
    let none = try mmoe(["eval", "--task", "multimodal"], status: 1, from: scratch.path)
    #expect(none.contains("found no run of the task multimodal"))
    #expect(
      try mmoe(
        ["eval", "--task", "multimodal", "--checkpoint", "checkpoints/named-freely"], status: 1, from: scratch.path
      )
      .contains("a checkpoint of the task lm, expected multimodal"))
    #expect(try ProgramRunner.run(["train", "--steps", "3"]).status == 64)
  }

  /// The same run has the same checkpoints, wherever its data is and whatever the command is; where weights came from is
  /// recorded by content.
  @Test func checkpointsKnowContentAlone() throws {
    try write("a.txt", "question")
    try write("other/b.txt", "question")
    let train = ["train", "--task", "lm", "--preset", "gpt-toy", "--steps", "2"] + RunDataTests.small
    _ = try mmoe(train + ["--data", scratch("a.txt"), "--out", scratch("one")])
    _ = try mmoe(train + ["--data", "b.txt", "--out", scratch("two")], from: scratch("other"))
    func bytes(_ file: String) throws -> Data { try Data(contentsOf: URL(fileURLWithPath: scratch(file))) }
    let first = try bytes("one/step-0000002.h5")
    #expect(try first == bytes("two/step-0000002.h5"))
    // A shard folder of the text is the text.
    let shards = [
      "data", "tokenize", scratch("a.txt"), "--tokenizer", "bytes", "--out", scratch("shards"),
    ]
    _ = try mmoe(shards)
    _ = try mmoe(train + ["--data", scratch("shards"), "--out", scratch("three")])
    #expect(try first == bytes("three/step-0000002.h5"))

    _ = try mmoe(
      ["train", "--init-from", scratch("one"), "--data", scratch("a.txt"), "--out", scratch("tuned"), "--steps", "1"])
    let weights = try #require(try record("tuned")["initial_weights"] as? [[String: Any]])
    #expect((weights[0]["path"] as? String)?.contains("one/") == true && (weights[0]["digest"] as? String)?.count == 32)
    let info = try mmoe(["checkpoint", "info", scratch("tuned")])
    #expect(info.contains("trained on") && info.contains("validated on") && info.contains("started from"))
    // A branch begins with the history of its run.
    _ = try mmoe([
      "train", "--resume", scratch("one/step-0000002.h5"), "--out", scratch("branch"), "--steps", "3",
    ])
    let branch = try record("branch")
    #expect((branch["branch"] as? [String: Any])?["step"] as? Int == 2)
    #expect((branch["commands"] as? [Any])?.count == 2)
  }
}
