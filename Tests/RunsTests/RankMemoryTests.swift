import Foundation
import MMoEModels
import TestSupport
import Testing
import TinyRuns

@testable import MMoEConfig
@testable import MMoERuns
@testable import MMoETensor
@testable import MMoETrain

/// What a rank keeps in memory, from a described division, and what it is compared with.
@Suite struct RankMemoryTests {
  private func config(_ settings: [String], preset: String = "gpt-toy") throws -> RunConfig {
    var config = RunConfig()
    try RunConfig.table.apply(ProjectHome.presets.preset(preset), to: &config)
    try RunConfig.table.set(settings, in: &config)
    return config
  }

  private func memory(_ settings: [String], ranks: Int = 1, onHost: Int = 1) throws -> RankMemory {
    let config = try config(["moe.variant=top2", "moe.experts=8", "data.batch=16"] + settings)
    return try RankMemory(config, division(ranks, onHost), costs: ModelCosts(config.model))
  }

  private func division(_ ranks: Int, _ onHost: Int) -> RunDivision {
    var division = RunDivision()
    (division.ranks, division.ranksOnHost) = (ranks, onHost)
    return division
  }

  /// Numbers of a model by what they are, from a model that exists.
  private func counts(_ settings: [String]) throws -> (all: Double, experts: Double, adapters: Double) {
    let config = try config(["moe.variant=top2", "moe.experts=8"] + settings)
    let model = try config.model.makeModel(seed: nil, engine: Engine(threads: 1))
    func sum(_ isCounted: (Parameter) -> Bool) -> Double {
      Double(model.parameters.filter(isCounted).reduce(0) { $0 + $1.count })
    }
    return (sum { _ in true }, sum { $0.experts != nil }, sum { $0.path.contains(".lora_") })
  }

  @Test func oneProcessHasEverything() throws {
    let (all, _, _) = try counts([])
    let found = try memory([])
    #expect(found.weights == 4 * all && found.gradients == 4 * all && found.moments == 8 * all && found.copies == 0)
    #expect(all == Double(try ModelCosts(config(["moe.variant=top2", "moe.experts=8"]).model).parameters))
  }

  /// Ranks share out experts; copies of the rest are on each. ZeRO divides moments among the holders of the same numbers.
  @Test func ranksShareExpertsAndMoments() throws {
    let (all, experts, _) = try counts([])
    let four = try memory([], ranks: 4)
    #expect(four.weights == 4 * (all - experts + experts / 4) && four.moments == 2 * four.weights)
    let grid = try memory(["parallel.expert=2", "parallel.zero=1"], ranks: 4)
    #expect(grid.weights == 4 * (all - experts + experts / 2))
    #expect(grid.moments == 8 * ((all - experts) / 4 + experts / 2 / 2))
    #expect(grid.gradients == grid.weights)
    // The batch is that of all ranks.
    let one = try memory([])
    #expect(four.activations == one.activations / 4 && four.inputs == one.inputs / 4)
  }

  /// Frozen numbers have neither gradient nor moments, and what comes before the first trained block is not recorded.
  @Test func frozenNumbersHaveWeightsAlone() throws {
    let lora = ["lora.rank=4", "lora.places=attention"]
    let (all, _, adapters) = try counts(lora)
    let adapted = try memory(lora)
    #expect(adapted.weights == 4 * all && adapted.gradients == 4 * adapters && adapted.moments == 8 * adapters)
    let (experts, whole) = (try memory(["finetune.train_only=experts"]), try memory([]))
    #expect(experts.gradients == 4 * (try counts([]).experts) && experts.activations < whole.activations)
    // All ranks record the same, since exchanges must match.
    #expect(
      try memory(["finetune.train_only=experts"], ranks: 2).activations == memory([], ranks: 2).activations)
  }

  /// Steps of several micro-batches keep the input of all where a balance loss looks at the whole step.
  @Test func accumulationKeepsInputs() throws {
    let (one, four) = (try memory([]), try memory(["train.accumulation=4"]))
    #expect(four.activations == one.activations / 4 && four.inputs == one.inputs)
    #expect(try memory(["train.accumulation=4", "moe.balance=none"]).inputs == one.inputs / 4)
  }

  /// A checkpoint in the background is written from a copy: of all experts on the first rank, or of its own in parts.
  @Test func backgroundSavesKeepACopy() throws {
    let (all, experts, _) = try counts([])
    let own = 12 * (all - experts + experts / 4)
    let whole = try memory(["checkpoint.background=true"], ranks: 4)
    #expect(whole.copies == own && whole.firstRankMore == 9 * experts)
    let parts = try memory(["checkpoint.background=true", "checkpoint.shards=true", "parallel.zero=1"], ranks: 4)
    #expect(parts.copies == own && parts.firstRankMore == 0)
  }

  /// What one host cannot hold may be trained on several; the ranks of one host count together.
  @Test func hostsHoldTheSumOfTheirRanks() throws {
    let config = try config([
      "moe.variant=top2", "moe.experts=64", "model.width=1024", "model.layers=8", "data.batch=64",
    ])
    let one = try RankMemory(config, division(1, 1), costs: ModelCosts(config.model)).total
    let each = try RankMemory(config, division(16, 1), costs: ModelCosts(config.model)).total
    #expect(each < one / 4)
    var bounds = MemoryBounds()
    (bounds.host, bounds.isContainer, bounds.process) = (Int(2.5 * each), false, nil)
    #expect { try bounds.require(config, division(1, 1)) } throws: { "\($0)".contains("this machine has") }
    try bounds.require(config, division(16, 2))
    #expect { try bounds.require(config, division(16, 4)) } throws: { error in
      let line = "\(error)"
      return line.contains(" a rank, ") && line.contains("for the 4 ranks of a host")
        && line.contains("parallel.zero=1")
        && !line.contains("\n")
    }
    bounds.isContainer = true
    #expect { try bounds.require(config, division(16, 4)) } throws: {
      "\($0)".contains("this container or job may take")
    }
    // Of one process, whatever its neighbors take.
    (bounds.host, bounds.process) = (.max, Int(each / 2))
    #expect { try bounds.require(config, division(16, 1)) } throws: { "\($0)".contains("ulimit -v") }
  }

  /// Shapes alone take no memory: a model of a petabyte is described.
  @Test func describingTakesNoMemory() throws {
    let before = BufferPool.shared.statistics.usedBytes
    let huge = try config(["model.width=65536", "model.heads=64", "moe.experts=512", "model.layers=24"])
    let model = try huge.model.makeModel(seed: nil, engine: Engine(threads: 1), describes: true)
    let numbers = model.parameters.reduce(0) { $0 + $1.count }
    #expect(numbers == (try ModelCosts(huge.model).parameters) && numbers > 1 << 40)
    // Other tests run meanwhile.
    #expect(BufferPool.shared.statistics.usedBytes - before < 1 << 34)
  }

  // MARK: Control groups

  @Test(
    arguments: [
      // Version 2: the least of the own group and those above it.
      ("0::/job/step\n", ["job/memory.max": "3000", "job/step/memory.max": "5000", "memory.max": "max"], 3000),
      ("0::/job/step\n", ["job/memory.max": "max", "job/step/memory.max": "max"], nil),
      // In a container whose own group is the root.
      ("0::/\n", ["memory.max": "4096\n"], 4096),
      ("0::/../outside\n", ["memory.max": "4096"], 4096),
      // Version 1, where no limit is a number near 2^63.
      (
        "5:cpu,cpuacct:/x\n4:memory:/slurm/job_1\n0::/\n",
        [
          "memory/memory.limit_in_bytes": "9223372036854771712", "memory/slurm/memory.limit_in_bytes": "7000",
          "memory/slurm/job_1/memory.limit_in_bytes": "8000",
        ], 7000
      ),
      ("4:memory:/docker/of-the-host\n", ["memory/memory.limit_in_bytes": "6000"], 6000),
      ("", ["memory.max": "1"], nil), ("0::/\n", [:], nil), ("nonsense\n0::/\n", ["memory.max": "?"], nil),
    ] as [(String, [String: String], Int?)])
  func limitsOfControlGroups(membership: String, files: [String: String], expected: Int?) throws {
    let folder = ScratchFolder()
    for (name, text) in files {
      let file = URL(fileURLWithPath: folder(name))
      try FileManager.default.createDirectory(
        at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
      try Data(text.utf8).write(to: file)
    }
    #expect(MemoryLimit.containerBytes(membership, mount: folder.path) == expected)
  }

  /// The sum of the estimate is near what a real run takes at most, beyond what the program itself takes.
  @Test func estimateIsNearTheMeasuredPeak() throws {
    let folder = ScratchFolder()
    func run(_ more: [String]) throws -> [String: Any] {
      let result = try ProgramRunner.run(
        [
          "train", "--task", "imagenet-subset", "--preset", "debug", "--data", TinyRun.data.path, "--json",
          "--set", "model.width=256", "--set", "model.hidden=1024", "--set", "moe.experts=8", "--set", "model.layers=4",
        ] + more)
      let line = result.output.split(separator: "\n").last.map { Data($0.utf8) } ?? Data()
      return try JSONSerialization.jsonObject(with: line) as? [String: Any] ?? [:]
    }
    let estimate = try run(["--dry-run"])["memory_bytes"] as? Double ?? 0
    let peak = (try run(["--steps", "3", "--out", folder("run")])["peak_rss_mb"] as? Double ?? 0) * 1e6
    let (least, most) = (0.7 * estimate, 1.3 * estimate + 150e6)
    #expect((least...most).contains(peak), "estimated \(estimate / 1e6) MB, took \(peak / 1e6) MB")
  }
}
