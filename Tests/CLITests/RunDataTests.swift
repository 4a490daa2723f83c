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
    let whole = try Data(contentsOf: URL(fileURLWithPath: scratch("here/run/run.json")))
    try "{\"format_version\": 1".write(toFile: scratch("here/run/run.json"), atomically: false, encoding: .utf8)
    #expect(try mmoe(["train", "--resume", scratch("here/run"), "--steps", "8"], status: 1).contains("run.json"))
    let again = try mmoe(["train", "--resume", scratch("here/run"), "--steps", "8", "--data", scratch("here/c.txt")])
    #expect(try again.contains("put aside as") && (record("here/run")["commands"] as? [Any])?.count == 1)
    // A newer one is never written over.
    let newer = String(decoding: whole, as: UTF8.self).replacing(
      "\"format_version\" : 1", with: "\"format_version\" : 2")
    try newer.write(toFile: scratch("here/run/run.json"), atomically: false, encoding: .utf8)
    #expect(
      try mmoe(["train", "--resume", scratch("here/run"), "--steps", "9", "--data", scratch("here/c.txt")], status: 1)
        .contains("update mmoe"))
    // A checkpoint alone: the user says which data it is.
    try FileManager.default.createDirectory(atPath: scratch("alone"), withIntermediateDirectories: true)
    try FileManager.default.copyItem(atPath: scratch("here/run/best.h5"), toPath: scratch("alone/best.h5"))
    #expect(
      try mmoe(["eval", "--checkpoint", scratch("alone/best.h5")], status: 1).contains("name the data with --data"))
    let named = try mmoe(["eval", "--checkpoint", scratch("alone/best.h5"), "--data", scratch("here/c.txt"), "--json"])
    #expect(named.contains("\"matches_training\":true"))
  }

  /// A run that is moved together with its data finds it; a branch has the commands of its own history.
  @Test func runsMoveWithTheirData() throws {
    try write("p1/a.txt", "question")
    let train = ["train", "--task", "lm", "--preset", "gpt-toy", "--data", "../a.txt", "--out", "run", "--steps", "2"]
    try FileManager.default.createDirectory(atPath: scratch("p1/work"), withIntermediateDirectories: true)
    _ = try mmoe(train + RunDataTests.small + ["--set", "checkpoint.keep=5"], from: scratch("p1/work"))
    try FileManager.default.moveItem(atPath: scratch("p1"), toPath: scratch("p2"))
    _ = try mmoe(["train", "--resume", scratch("p2/work/run"), "--steps", "4"])
    #expect(try mmoe(["eval", "--checkpoint", "p2/work/run"], from: scratch.path).contains("evaluated on"))
    _ = try mmoe(["train", "--resume", scratch("p2/work/run/step-0000002.h5"), "--steps", "3"])
    let branch = try #require(try record("p2/work/run-from-0000002")["commands"] as? [[String: Any]])
    #expect(branch.map { $0["first_step"] as? Int } == [0, 2])
    let ignored = try mmoe([
      "train", "--init-from", scratch("p2/work/run"), "--out", scratch("p2/work/run"), "--resume", "--steps", "5",
    ])
    #expect(ignored.contains("is not used"))
  }

  /// Runs and studies below the data are no data: the same command always works.
  @Test func runsBelowTheirData() throws {
    try write("d/a.txt", "question")
    let command = ["train", "--task", "lm", "--preset", "gpt-toy", "--data", ".", "--out", "run", "--resume"]
    _ = try mmoe(command + ["--steps", "2"] + RunDataTests.small, from: scratch("d"))
    let more = try mmoe(command + ["--steps", "4"] + RunDataTests.small, from: scratch("d"))
    #expect(more.contains("resuming after step 2") && more.contains("folders of runs and studies (1, run)"))
    // A link to a checkpoint is the checkpoint.
    #expect(symlink(scratch("d/run/best.h5"), scratch("link.h5")) == 0)
    #expect(try mmoe(["eval", "--checkpoint", scratch("link.h5")]).contains("evaluated on"))
    #expect(try ProgramRunner.run(["train", "--resume", "", "--steps", "6"], in: scratch("d")).status == 64)
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
    // Neither the place of a preset nor that of a tokenizer counts, nor odd names on the command line.
    for place in ["p.yaml", "other/p.yaml"] {
      try FileManager.default.copyItem(atPath: ProgramRunner.package + "/configs/gpt-toy.yaml", toPath: scratch(place))
    }
    _ = try mmoe([
      "tokenizer", "train", scratch("a.txt"), "--vocabulary", "270", "--out", scratch("other/tok"),
    ])
    let own = ["train", "--task", "lm", "--data", scratch("a.txt"), "--steps", "1"] + TextCommandTests.small
    for (preset, tokenizer, folder, out) in [
      ("p.yaml", "tok", scratch("other"), "four\r\nseed: 5"), ("p.yaml", "other/tok", scratch.path, "five"),
    ] {
      let more = [
        "--preset", preset, "--set", "tokenizer.kind=bpe", "--set", "tokenizer.path=\(tokenizer)", "--out",
        scratch(out),
      ]
      _ = try mmoe(own + more, from: folder)
      // The same command again is no other run.
      _ = try mmoe(own + more + ["--resume"], from: folder)
    }
    #expect(try bytes("four\r\nseed: 5/step-0000001.h5") == bytes("five/step-0000001.h5"))
    let lines = try String(contentsOfFile: scratch("four\r\nseed: 5/config.yaml"), encoding: .utf8)
    #expect(lines.utf8.split(separator: 0x0A).dropFirst().first.map { String($0) } == "seed: 0")
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
    #expect((weights[0]["path"] as? String) == scratch("one") && (weights[0]["digest"] as? String)?.count == 32)
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
