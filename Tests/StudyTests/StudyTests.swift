import Foundation
import TestSupport
import Testing
import TinyRuns

@testable import MMoEConfig
@testable import MMoEReport
@testable import MMoERuns
@testable import MMoEStudy
@testable import MMoETrain

/// Studies: the plan, the runs that go on where they were stopped, and what is concluded from them.
@Suite(.serialized) struct StudyTests {
  let scratch = ScratchFolder()

  private func plan(_ yaml: String) throws -> StudyPlan { try StudyPlan(ConfigDocument(yaml: yaml, file: "s.yaml")) }

  private static let head = "task: imagenet-subset\npreset: debug\n"

  @Test func planAppliesSettingsInOrder() throws {
    let plan = try plan(
      StudyTests.head + """
        baseline: b
        seeds: 2
        learning_rates: [1e-3, 2e-3]
        search: {steps: 5, seed: 77}
        settings: {train.steps: 9, moe: {experts: 2}}
        variants:
          a: {moe.variant: top1, seeds: [4, 0]}
          b:
          c: {moe: {experts: 6, variant: scmoe}, baseline: a, init_from: x.h5, map: [a = b, c.* = none]}
        """)
    #expect(plan.variants.map(\.name) == ["a", "b", "c"])
    #expect(plan.variants.map(\.baseline) == ["b", nil, "a"])
    #expect(plan.variants.map(\.initFrom) == [[], [], ["x.h5"]] && plan.variants[2].map == ["a = b", "c.* = none"])
    #expect(plan.variants.map(\.seeds) == [[0, 4], [0, 1], [0, 1]])
    #expect(plan.variants.map(\.config.model.moe.experts) == [2, 2, 6])
    #expect(plan.variants.map(\.config.model.moe.variant) == ["top1", "top2", "scmoe"])
    #expect(plan.variants.allSatisfy { $0.config.train.steps == 9 && $0.config.checkpoint.keep == 1 })
    #expect(plan.seeds == [0, 1, 4] && plan.searchSteps == 5 && plan.searchSeed == 77)
  }

  static let refused: [(String, String)] = [
    ("task: nlp\nvariants: {a: {}}", "--task nlp: no such task"),
    (head, "s.yaml: variants: expected at least one, found none"),
    (head + "variants: {a b: {}}", "expected letters, digits, - and +, found the name 'a b'"),
    (head + "variants:\n  a: {moe.expert: 3}", "s.yaml:4: unknown key moe.expert"),
    (head + "variants:\n  a: {moe.variant: topp}", "variant a: moe.variant"),
    (head + "variants:\n  a: {seed: 3}", "s.yaml:4: variants.a.seed: expected none: the study decides it"),
    (
      head + "variants:\n  a: {optimizer.lr: 1}\nlearning_rates: [1]",
      "s.yaml:4: variants.a.optimizer.lr: expected none"
    ),
    (head + "seeds: 0\nvariants: {a: {}}", "s.yaml:3: seeds: expected a number of seeds from 1 to 1000"),
    (head + "seeds: [1, 1]\nvariants: {a: {}}", "or a list of different ones"),
    (head + "baseline: x\nvariants: {a: {}, b: {}}", "s.yaml:3: baseline: expected a or b, found 'x'"),
    (head + "variants: {a: {seeds: [1], baseline: b}, b: {seeds: [2]}}", "differences are paired by seed"),
    (
      head + "confidence: 95\nvariants: {a: {}}", "s.yaml:3: confidence: expected a number from 0.5 to 0.9999, found 95"
    ),
    (head + "learning_rate: [1]\nvariants: {a: {}}", "s.yaml:3: learning_rate: expected description, task"),
    (head + "learning_rates: [1e-3]\nsearch: {seed: 1}\nvariants: {a: {}}", "search.seed: expected another than"),
    (head + "variants:\n  a: {map: [[x]]}", "s.yaml:4: variants.a.map: expected a text"),
    (head + "learning_rates: 3\nvariants: {a: {}}", "s.yaml:3: learning_rates: expected a list of numbers, found 3"),
    ("task: lm\npreset: debug\nvariants: {a: {}}", "variant a: preset debug: model.kind is vit, expected gpt"),
  ]

  @Test(arguments: refused) func plansThatAreRefused(yaml: String, words: String) {
    var found = ""
    do { _ = try plan(yaml) } catch { found = "\(error)" }
    #expect(found.contains(words) && !found.contains("\n"), "\(found)")
  }

  @Test func shippedPlansCanBeRead() throws {
    for name in ["vision", "language"] {
      let plan = try StudyPlan(ProgramRunner.package + "/configs/studies/\(name).yaml")
      #expect(plan.variants.count >= 14)
      #expect(
        plan.variants.filter { $0.seeds.count == 8 }.map(\.name) == ["top2", "shared", "scmoe-pos2", "scmoe-pos2-cg1"])
    }
    let multimodal = try StudyPlan(ProgramRunner.package + "/configs/studies/multimodal.yaml")
    #expect(multimodal.variants.map(\.seeds.count) == Array(repeating: 3, count: 7))
    let transfer = try StudyPlan(ProgramRunner.package + "/configs/studies/transfer.yaml")
    #expect(transfer.variants.map(\.initFrom.count) == [0, 1, 0, 1, 0] && transfer.variants[3].map.count == 4)
  }

  /// Values of printed tables.
  @Test(arguments: [
    (0.975, 1, 12.7062), (0.975, 2, 4.30265), (0.975, 7, 2.36462), (0.8, 2, 1.06066), (0.8, 7, 0.89603),
    (0.995, 30, 2.75000), (0.95, 120, 1.65765), (0.025, 2, -4.30265),
  ]) func quantilesOfStudent(p: Double, degrees: Int, expected: Double) {
    let found = StudentT.quantile(p, degrees: degrees)
    #expect(abs(found - expected) < 1e-5 * max(1, abs(expected)), "\(found)")
    #expect(abs(StudentT.cumulative(found, degrees: degrees) - p) < 1e-12)
  }

  private func row(
    _ variant: String, _ seed: Int, _ loss: Double?, rate: Double = 2e-3, _ purpose: StudyRow.Purpose = .run
  ) -> StudyRow {
    StudyRow(
      purpose: purpose, variant: variant, seed: seed, learningRate: rate, configuration: "", steps: 9,
      validationLoss: loss, metrics: ["top1": 0.5], trainLoss: 0.5, cpuSeconds: seed == 0 ? nil : 10, parameters: 100,
      activeParameters: 60,
      flops: 1e9)
  }

  @Test func differencesArePairedBySeed() throws {
    let plan = try plan(
      StudyTests.head + "seeds: 3\nbaseline: b\nvariants: {a: {}, b: {seeds: 4}, c: {}, d: {}}")
    let rows =
      [(0, 1.0), (1, 2.0), (2, 3.0), (3, 9.0)].map { row("b", $0.0, $0.1) }
      + [(0, 1.1), (1, 2.3), (2, 3.2)].map { row("a", $0.0, $0.1) } + [row("c", 0, nil), row("c", 1, 2.5)]
    let lines = StudySummary(plan, rows).lines
    #expect(lines.map(\.variant) == ["a", "b", "c"])
    let a = try #require(lines.first)
    let difference = try #require(a.difference)
    #expect(difference.pairs == 3 && abs(difference.mean - 0.2) < 1e-12)
    // The deviation of 0.1, 0.3, 0.2 is 0.1.
    let unit: Double = 0.1 / 3.0.squareRoot()
    let (halfWidth, detectable) = (try #require(difference.halfWidth), try #require(difference.detectable))
    #expect(abs(halfWidth - 4.30265 * unit) < 1e-6)
    #expect(abs(detectable - 5.36331 * unit) < 1e-6)
    #expect(a.cpuSeconds == 10)
    #expect(lines[1].difference == nil && lines[1].mean == 3.75)
    #expect(lines[2].diverged == 1 && lines[2].difference?.halfWidth == nil)
    let text = StudySummary(plan, rows).text()
    #expect(text.contains("not finished: d") && text.contains("1 + 1 diverged") && text.contains("−0.0484 to +0.4484"))
    #expect(StudySummary(plan, rows).csv().split(separator: "\n").count == 4)
  }

  @Test func allAgainstOne() throws {
    var plan = try plan(StudyTests.head + "baseline: b\nvariants: {a: {}, b: {}, c: {}}")
    try plan.compareAll(with: "c")
    #expect(plan.variants.map(\.baseline) == ["c", "c", nil])
    #expect { try plan.compareAll(with: "d") } throws: {
      "\($0)".contains("--against d: no such variant in s.yaml; expected a, b or c")
    }
  }

  @Test func comparesByAMetric() throws {
    var plan = try plan(StudyTests.head + "baseline: b\nmetrics: [top5, top1]\nvariants: {a: {}, b: {}}")
    let rows = [("a", 0, 0.5), ("a", 1, 0.75), ("b", 0, 0.25), ("b", 1, 0.25)].map { name, seed, value in
      var row = row(name, seed, 1)
      row.metrics = ["top1": value, "top5": 0.875, "other": 7]
      return row
    }
    #expect(StudySummary(plan, rows).csv().hasPrefix("variant,learning_rate,seeds,diverged,val_loss,val_loss_sd,"))
    #expect(StudySummary(plan, rows).csv().contains(",top5,top1\n"))
    try plan.compare(by: "top1", rows)
    let summary = StudySummary(plan, rows)
    #expect(summary.lines[0].difference?.mean == 0.375 && summary.lines[0].mean == 0.625)
    // What is compared is no column of its own, and larger may be better.
    #expect(summary.csv().contains("top1,top1_sd,") && summary.csv().contains(",cpu_seconds,val_loss,top5\n"))
    #expect(!summary.text().contains("negative is better"))
    #expect { try plan.compare(by: "topp", rows) } throws: {
      "\($0)".contains("--measure topp: not measured by the runs of s.yaml; expected val_loss, other, top1 or top5")
    }
    let odd = try self.plan(StudyTests.head + "metrics: [top9]\nvariants: {a: {}, b: {}}")
    try odd.requireMetrics([])
    #expect { try odd.requireMetrics(rows) } throws: { "\($0)".contains("s.yaml: metrics: 'top9' is not measured") }
  }

  /// A run that ended and whose metric was not finite: no mean of the others takes its place.
  @Test func metricsThatAreNotFiniteAreSeen() throws {
    var plan = try plan(StudyTests.head + "baseline: b\nvariants: {a: {}, b: {}}")
    let rows = [("a", 0), ("a", 1), ("b", 0), ("b", 1)].map { name, seed in
      var row = row(name, seed, 1)
      row.metrics = name == "a" && seed == 0 ? ["top1": 0.5] : ["top1": 0.5, "perplexity": 3]
      return row
    }
    let lines = StudySummary(plan, rows).lines
    #expect(lines[0].metrics["perplexity"] == nil && lines[0].metrics["top1"] == 0.5 && lines[0].diverged == 0)
    #expect(lines[1].metrics["perplexity"] == 3)
    try plan.compare(by: "perplexity", rows)
    let compared = StudySummary(plan, rows).lines
    #expect(compared[0].diverged == 1 && compared[0].values.count == 1 && compared[1].diverged == 0)
  }

  @Test func theBestLearningRateIsChosen() throws {
    let plan = try plan(StudyTests.head + "learning_rates: [1e-3, 2e-3, 4e-3]\nvariants: {a: {}, b: {}}")
    let search = { (variant: String, rate: Double, loss: Double?) in
      row(variant, 1_000_000, loss, rate: rate, .search)
    }
    var rows = [search("a", 1e-3, 2), search("a", 2e-3, 1.5)]
    #expect(StudySummary.learningRate(of: plan.variants[0], plan, rows) == nil)
    rows += [search("a", 4e-3, nil), search("b", 1e-3, nil), search("b", 2e-3, nil), search("b", 4e-3, nil)]
    #expect(StudySummary.learningRate(of: plan.variants[0], plan, rows) == 2e-3)
    #expect(StudySummary.learningRate(of: plan.variants[1], plan, rows) == nil)
    // Runs with another rate, of an earlier plan, do not count.
    let summary = StudySummary(plan, rows + [row("a", 0, 5, rate: 1e-3), row("a", 1, 3)])
    #expect(summary.lines.map(\.values) == [[1: 3]])
    #expect(summary.text().contains("diverged"))
  }

  private func session(
    _ yaml: String, out: String, report: Bool = false, data: String = TinyRun.data.path
  ) throws -> (StudySession, TextBuffer) {
    let file = scratch("s.yaml")
    try yaml.write(toFile: file, atomically: true, encoding: .utf8)
    var options = StudySession.Options()
    options.file = file
    options.out = out
    options.data = data
    options.threads = 2
    options.onlyReports = report
    options.printsJSON = true
    let output = TextBuffer()
    return (try StudySession(options, CommandSinks(output: output, errors: TextBuffer())), output)
  }

  private static let small =
    head + """
      baseline: top2
      seeds: 2
      learning_rates: [1.0e-3, 3.0e-3]
      search: {steps: 3, seed: 9}
      settings: {train.steps: 6, train.eval_every: 3, checkpoint.every: 3, schedule.warmup: 2}
      variants:
        top2:
        scmoe: {moe.variant: scmoe}
      """

  /// A variant that starts from another run's weights begins with them, and keeps the form that the study gives it.
  @Test func variantsStartFromCheckpoints() throws {
    try TinyRun(["train.steps=9", "moe.experts=2", "train.eval_every=9"]).train(into: scratch("base"))
    let yaml =
      StudyTests.head + """
        baseline: fresh
        seeds: 1
        settings: {train.steps: 1, schedule.warmup: 1000, moe.experts: 4}
        variants:
          fresh:
          started: {init_from: \(scratch("base"))}
          router: {init_from: \(scratch("base")), map: "blocks.*.moe.experts.* = none"}
        """
    #expect(try session(yaml, out: scratch("study")).0.run() == 0)
    let rows = try StudyRecord(scratch("study/rows.jsonl")).rows
    #expect(Set(rows.map(\.configuration)).count == 3 && Set(rows.map(\.parameters)).count == 1)
    func expert(_ variant: String) throws -> [Float] {
      let run = try #require(
        try FileManager.default.contentsOfDirectory(atPath: scratch("study/runs")).first { $0.contains("-\(variant)-") }
      )
      return try LoadedCheckpoint(scratch("study/runs/\(run)/step-0000001.h5"))
        .modelArray("blocks.1.moe.experts.0003.fc1.weight")
    }
    let base = try LoadedCheckpoint(scratch("base/step-0000009.h5")).modelArray("blocks.1.moe.experts.0001.fc1.weight")
    func distance(_ a: [Float]) -> Float { zip(a, base).reduce(0) { max($0, abs($1.0 - $1.1)) } }
    #expect(try distance(expert("started")) < 1e-3, "expert 3 of 4 comes from expert 1 of 2")
    #expect(try distance(expert("fresh")) > 1e-2 && distance(expert("router")) > 1e-2)

    // Other weights under the name: rows are refused, and a run without its row is not gone on with.
    let rowsFile = scratch("study/rows.jsonl")
    try FileManager.default.removeItem(atPath: scratch("base"))
    try TinyRun(["train.steps=8", "moe.experts=2", "train.eval_every=8"]).train(into: scratch("base"))
    #expect(throws: StudyError.self) { try session(yaml, out: scratch("study")).0.run() }
    let left = try String(contentsOfFile: rowsFile, encoding: .utf8).split(separator: "\n").filter {
      $0.contains("\"fresh\"")
    }
    try (left.joined(separator: "\n") + "\n").write(toFile: rowsFile, atomically: false, encoding: .utf8)
    #expect(try session(yaml, out: scratch("study")).0.run() == 0)
    let again = try StudyRecord(rowsFile).rows
    #expect(again.map(\.variant) == ["fresh", "started", "router"])
    #expect(again[1].validationLoss != rows[1].validationLoss)
    let names = try FileManager.default.contentsOfDirectory(atPath: scratch("study/runs"))
    #expect(names.contains { $0.hasSuffix("-before") })
  }

  @Test(.timeLimit(.minutes(3))) func runsEverythingOnceAndGoesOn() throws {
    let (whole, output) = try session(StudyTests.small, out: scratch("whole"))
    #expect(try whole.run() == 0)
    let rows = try StudyRecord(scratch("whole/rows.jsonl")).rows
    #expect(rows.map(\.purpose) == [.search, .search, .search, .search, .run, .run, .run, .run])
    #expect(rows.suffix(4).map { "\($0.variant) \($0.seed)" } == ["top2 0", "scmoe 0", "top2 1", "scmoe 1"])
    #expect(rows.suffix(4).allSatisfy { $0.steps == 6 && $0.validationLoss != nil && $0.metrics["top1"] != nil })
    #expect(Set(rows.compactMap(\.validationLoss)).count > 4)
    // What the evaluation measured, nothing of the run's speed.
    #expect(rows.allSatisfy { $0.metrics.keys.sorted() == ["calibration_error", "top1", "top5"] })
    for name in ["summary.csv", "summary.txt", "losses.png", "curves.png", "search.png"] {
      #expect(FileManager.default.fileExists(atPath: scratch("whole/" + name)), "\(name)")
    }
    #expect(output.text.contains("\"variant\":\"scmoe\""))

    // Stopped by a signal in the middle of a run, cut off in the middle of a line, and then continued.
    let out = scratch("stopped")
    try FileManager.default.createDirectory(atPath: out, withIntermediateDirectories: true)
    try Data(contentsOf: URL(fileURLWithPath: scratch("whole/rows.jsonl"))).prefix(700)
      .write(to: URL(fileURLWithPath: out + "/rows.jsonl"))
    let stopped = try session(StudyTests.small, out: out).0
    #expect(try Interrupt.$isSimulated.withValue(true) { try stopped.run() } == 130)
    #expect(try session(StudyTests.small, out: out).0.run() == 0)
    let resumed = try StudyRecord(out + "/rows.jsonl").rows
    #expect(resumed.map(\.validationLoss) == rows.map(\.validationLoss))
    #expect(resumed.map(\.configuration) == rows.map(\.configuration))

    // Nothing is run twice, and rows of another configuration are refused.
    let size = try bytes(out + "/rows.jsonl").count
    #expect(try session(StudyTests.small, out: out).0.run() == 0)
    #expect(try session(StudyTests.small, out: out, report: true).0.run() == 0)
    #expect(try bytes(out + "/rows.jsonl").count == size)
    var found = ""
    // Other data is noticed by its content, the same data in another place is the same.
    let (other, copy) = (scratch("other"), scratch("copy"))
    for place in [other, copy] { try FileManager.default.copyItem(atPath: TinyRun.data.path, toPath: place) }
    let names = FileManager.default.enumerator(atPath: other)?.compactMap { $0 as? String }.filter {
      $0.hasSuffix(".png")
    }
    let images = try #require(names).sorted().filter { $0.hasPrefix("train/") }
    try FileManager.default.removeItem(atPath: other + "/" + images[0])
    try FileManager.default.copyItem(atPath: other + "/" + images[1], toPath: other + "/" + images[0])
    #expect(try session(StudyTests.small, out: out, data: copy).0.run() == 0)
    for (yaml, data) in [
      (StudyTests.small.replacing("schedule.warmup: 2", with: "schedule.warmup: 1"), TinyRun.data.path),
      (StudyTests.small.replacing("schedule.warmup: 2", with: "schedule.warmup: 2, dtype: bf16"), TinyRun.data.path),
      (StudyTests.small, other),
    ] {
      found = ""
      do { _ = try session(yaml, out: out, data: data).0.run() } catch { found = "\(error)" }
      #expect(found.contains("rows.jsonl:1: variant top2, seed 9 was run with another configuration"), "\(found)")
    }
    try "{}\n".write(toFile: out + "/rows.jsonl", atomically: true, encoding: .utf8)
    do { _ = try session(StudyTests.small, out: out).0.run() } catch { found = "\(error)" }
    #expect(found.contains("rows.jsonl:1: expected a study's row"), "\(found)")
  }
}
