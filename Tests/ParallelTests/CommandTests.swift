import Foundation
import TestSupport
import Testing

/// What was trained on several ranks can be used on several ranks: commands that do not train, each beside itself alone.
@Suite(.serialized) struct RankCommandTests {
  /// A language model with four experts a layer, of a text whose windows no number of ranks divides.
  static let language: (folder: ScratchFolder, checkpoint: String) = {
    let folder = ScratchFolder()
    let words = ["red", "green", "blue", "cat", "dog", "sees", "the", "and"]
    let lines: [String] = (0..<50).map { (line: Int) -> String in
      let chosen = (0..<30).map { (place: Int) -> String in words[(line * line + place * (line + 3)) % 8] }
      return chosen.joined(separator: " ")
    }
    try! lines.joined(separator: "\n\n").write(toFile: folder("text.txt"), atomically: true, encoding: .utf8)
    let settings = [
      "model.layers=2", "model.width=32", "model.heads=2", "model.context=16", "data.batch=8", "schedule.warmup=2",
      "text.documents=blank-lines", "train.sample_every=0", "train.eval_every=0", "moe.experts=4",
    ]
    let result = try! ProgramRunner.run(
      [
        "train", "--task", "lm", "--preset", "gpt-toy", "--moe", "scmoe", "--threads", "1", "--steps", "30", "--data",
        folder("text.txt"), "--out", folder("run"),
      ] + settings.flatMap { ["--set", $0] })
    precondition(result.status == 0, result.errors)
    return (folder, folder("run/step-0000030.h5"))
  }()

  /// What a command says on standard output, alone or on ranks.
  private func output(_ arguments: [String], ranks: Int) throws -> String {
    guard ranks > 1 else {
      let result = try ProgramRunner.run(arguments)
      #expect(result.status == 0, "\(arguments.prefix(3)) alone: \(result.errors)")
      return result.output
    }
    let result = try RankRunner.run("mmoe", arguments, ranks: ranks)
    #expect(result.status == 0, "\(arguments.prefix(3)) on \(ranks) ranks: \(result.errors)")
    return result.output
  }

  private func fields(_ arguments: [String], ranks: Int) throws -> [String: Any] {
    let line = try output(arguments + ["--json"], ranks: ranks).split(separator: "\n").last
    return try #require(JSONSerialization.jsonObject(with: Data((line ?? "").utf8)) as? [String: Any])
  }

  /// The loss of all windows, whoever reads them, with experts shared out and with a copy of them on every rank.
  @Test(.needsRanks, arguments: [[], ["--set", "moe.eval_capacity_factor=0.9"]])
  func evaluatesText(more: [String]) throws {
    let command = ["eval", "--checkpoint", RankCommandTests.language.checkpoint, "--threads", "1"] + more
    let alone = try fields(command, ranks: 1)
    let loss = try #require(alone["val_loss"] as? Double)
    for (ranks, group) in [(2, 2), (4, 4), (3, 1)] {
      let found = try fields(command + ["--expert-parallel", "\(group)"], ranks: ranks)
      let other = try #require(found["val_loss"] as? Double)
      #expect(abs(other - loss) < 1e-5, "\(ranks) ranks: \(other), alone \(loss)")
      #expect(found["tokens"] as? Int == alone["tokens"] as? Int)
    }
  }

  /// 36 images are no multiple of a pass on any number of ranks.
  @Test(.needsRanks) func evaluatesImages() throws {
    let folder = ScratchFolder()
    let trained = try RankRunner.run(
      "mmoe",
      [
        "train", "--task", "imagenet-subset", "--preset", "debug", "--threads", "1", "--data", RankTrainTests.data.path,
        "--moe", "dgmoe", "--steps", "4", "--out", folder("run"),
      ], ranks: 2)
    #expect(trained.status == 0, "\(trained.errors)")
    let command = ["--checkpoint", folder("run"), "--threads", "1", "--set", "data.batch=10"]
    func evaluated(ranks: Int) throws -> (fields: [String: Any], rows: [[String]]) {
      let file = folder("\(ranks).csv")
      return (try fields(["eval", "--predictions", file] + command, ranks: ranks), try self.rows(file))
    }
    let (alone, rows) = try evaluated(ranks: 1)
    let loss = try #require(alone["val_loss"] as? Double)
    let error = try #require(alone["calibration_error"] as? Double)
    #expect(rows.count == 37)
    for ranks in [2, 4] {
      let (found, others) = try evaluated(ranks: ranks)
      let other = try #require(found["val_loss"] as? Double)
      #expect(abs(other - loss) < 1e-5, "\(ranks) ranks: \(other), alone \(loss)")
      for metric in ["images", "top1", "top5"] {
        #expect(found[metric] as? Double == alone[metric] as? Double, "\(metric) on \(ranks) ranks")
      }
      #expect(abs(try #require(found["calibration_error"] as? Double) - error) < 1e-5)
      requireSame(rows, others, "eval on \(ranks) ranks")
    }

    // One image is unreadable, and the last passes of some ranks have none.
    let images = folder("images")
    try FileManager.default.copyItem(atPath: RankTrainTests.data.path + "/val", toPath: images)
    truncate(images + "/circle/00003.png", 80)
    func predicted(ranks: Int) throws -> [[String]] {
      let file = folder("predicted-\(ranks).csv")
      let words = ["predict", images, "--csv", file] + command
      let (status, errors): (Int32, String)
      if ranks > 1 {
        let result = try RankRunner.run("mmoe", words, ranks: ranks)
        (status, errors) = (result.status, result.errors)
      } else {
        let result = try ProgramRunner.run(words)
        (status, errors) = (result.status, result.errors)
      }
      let lines = errors.split(separator: "\n")
      #expect(status == 1 && lines.count == 2, "\(errors)")
      #expect(lines[0].contains("circle/00003.png: ") && lines[1] == "1 of 36 files could not be read", "\(errors)")
      return try self.rows(file)
    }
    let own = try predicted(ranks: 1)
    #expect(own.count == 36 && own[1][0].hasSuffix("circle/00000.png") && own[35][0].hasSuffix("triangle/00008.png"))
    for ranks in [2, 4] { requireSame(own, try predicted(ranks: ranks), "predict on \(ranks) ranks") }
  }

  private func rows(_ file: String) throws -> [[String]] {
    try String(contentsOfFile: file, encoding: .utf8).split(separator: "\n").map { $0.components(separatedBy: ",") }
  }

  /// The same rows in the same order, but for the rounding of numbers.
  private func requireSame(_ rows: [[String]], _ others: [[String]], _ what: String) {
    #expect(rows.count == others.count, "\(what)")
    for (a, b) in zip(rows, others) {
      #expect(a.count == b.count, "\(what)")
      for (x, y) in zip(a, b) where x != y {
        #expect(abs((Double(x) ?? .nan) - (Double(y) ?? .nan)) < 1e-4, "\(what): \(x), \(y)")
      }
    }
  }

  /// Greedy tokens do not depend on where the experts are; those that are drawn are the same on all ranks.
  @Test(.needsRanks) func generates() throws {
    func ids(_ more: [String], ranks: Int) throws -> [Int] {
      let line = try output(
        [
          "generate", "--checkpoint", RankCommandTests.language.checkpoint, "--prompt", "the ", "--tokens", "40",
          "--threads", "1", "--json",
        ] + more, ranks: ranks)
      let fields = try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any]
      return try #require(fields?["ids"] as? [Int])
    }
    let greedy = try ids(["--temperature", "0"], ranks: 1)
    #expect(greedy.count == 40)
    for ranks in [2, 4] { #expect(try ids(["--temperature", "0"], ranks: ranks) == greedy) }
    #expect(try ids(["--temperature", "1.5", "--seed", "3"], ranks: 2).count == 40)
  }

  /// Every rank reads all samples, so that the tables are those of one process.
  @Test(.needsRanks, arguments: ["routing", "gradients"]) func analyzes(kind: String) throws {
    let folder = ScratchFolder()
    func tables(ranks: Int) throws -> [String] {
      let out = folder("\(ranks)")
      _ = try output(
        [
          "analyze", kind, RankCommandTests.language.checkpoint, "--out", out, "--samples", "12", "--threads", "1",
        ], ranks: ranks)
      let names = try FileManager.default.contentsOfDirectory(atPath: out).filter { $0.hasSuffix(".csv") }.sorted()
      return try names.map { try String(contentsOfFile: out + "/" + $0, encoding: .utf8) }
    }
    let (alone, shared) = (try tables(ranks: 1), try tables(ranks: 2))
    #expect(!alone.isEmpty && alone.count == shared.count)
    for (a, b) in zip(alone, shared) {
      let (cells, others) = (a.split { ",\n".contains($0) }, b.split { ",\n".contains($0) })
      #expect(cells.count == others.count)
      for (x, y) in zip(cells, others) where x != y {
        let (x, y) = (try #require(Double(x)), try #require(Double(y)))
        #expect(abs(x - y) <= 1e-4 * max(abs(x), abs(y)), "\(x), \(y)")
      }
    }
  }

  /// A task that a program registers is trained, saved and evaluated by its name, on any number of ranks.
  @Test(.needsRanks) func taskFromOutside() throws {
    let folder = ScratchFolder()
    func loss(_ verb: String, ranks: Int) throws -> Double {
      let result = try RankRunner.run("parallel-checks", ["task", verb, folder("run")], ranks: ranks)
      #expect(result.status == 0, "\(verb) on \(ranks) ranks: \(result.errors)")
      return try #require(Double(result.output.split(separator: " ").last?.dropLast() ?? ""))
    }
    let trained = try loss("train", ranks: 2)
    // ln 16 = 2.77 before it has learned.
    #expect(trained < 2)
    for ranks in [1, 2] { #expect(abs(try loss("eval", ranks: ranks) - trained) < 1e-4) }
  }

  /// Who forgot the ranks is told so.
  @Test func oneProcessSharesNothingOut() throws {
    for command in [
      ["eval", "--checkpoint", RankCommandTests.language.checkpoint], ["train", "--task", "lm", "--dry-run"],
    ] {
      let result = try ProgramRunner.run(command + ["--expert-parallel", "2"])
      #expect(
        result.status == 1 && result.errors.contains("parallel.expert is 2, but this is one process"),
        "\(result.errors)")
    }
  }

  /// What cannot be done on ranks is said once, in one line.
  @Test(.needsRanks) func refusals() throws {
    let checkpoint = RankCommandTests.language.checkpoint
    for (command, words) in [
      (["generate", "--checkpoint", checkpoint, "--offload", "async"], "--offload: async on 2 ranks"),
      (["eval", "--checkpoint", checkpoint + "x"], "\(checkpoint)x"),
      (["eval", "--checkpoint", checkpoint, "--expert-parallel", "3"], "parallel.expert is 3"),
      (["presets"], "a launcher started 2 processes"),
    ] {
      let result = try RankRunner.run("mmoe", command, ranks: 2, timeout: 60)
      let lines = result.errors.split(separator: "\n").filter { $0.contains(words) }
      #expect(result.status != 0 && lines.count == 1, "\(command.prefix(4)): \(result.errors)")
    }
  }
}
