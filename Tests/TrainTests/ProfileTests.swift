import MMoEModels
import MMoETensor
import TestSupport
import Testing

@testable import MMoETrain

/// The profiler's counts against the model's own, and its shares on a made-up timeline.
@Suite struct ProfileTests {
  /// Presets, and what differs from them.
  static let forms: [(String, [String])] =
    (["dense"] + MoEVariant.all.map(\.name)).map { ("gpt-toy", ["moe.variant=\($0)", "model.layers=4"]) } + [
      ("debug", ["model.class_token=true", "model.layers=4", "moe.variant=scmoe", "moe.combine=cg1"]),
      ("debug", ["moe.post_norm=true"]),
      ("gpt-toy", ["model.activation=swiglu", "model.norm=rms", "model.positions=rotary", "model.kv_heads=1"]),
    ]

  private func config(_ form: (String, [String])) throws -> RunConfig {
    var config = RunConfig()
    try RunConfig.table.apply(ProjectHome.presets.preset(form.0), to: &config)
    try RunConfig.table.set(form.1, in: &config)
    return config
  }

  @Test(arguments: forms) func productsAddUpToTheModels(form: (String, [String])) throws {
    let config = try config(form).model
    let forward = try OperationCosts(config, batch: 3, training: false).work.values.reduce(0) { $0 + $1.flops }
    let costs = try ModelCosts(config)
    #expect(abs(forward - 3 * costs.forwardFLOPs) < 1e-9 * forward)
    // Nothing differentiates by pixels.
    let all = try OperationCosts(config, batch: 3, training: true).work
    let unneeded = config.kind == .vit ? all["embedding"]!.flops : 0
    let training = all.values.reduce(0) { $0 + $1.flops }
    #expect(abs(training + unneeded - 3 * costs.trainingFLOPs) < 1e-9 * training)
  }

  /// No operation of a step is unknown, and none is counted that does not run.
  @Test(arguments: forms) func everyOperationHasItsCosts(form: (String, [String])) throws {
    let config = try config(form)
    let result = try StepBenchmark(
      config: config.model, optimizer: config.optimizer, preset: form.0, mode: .train, batch: 2, steps: 1
    ).run(engine: Engine(threads: 2), profiled: true)
    let profile = try #require(result.profile)
    let counted = Set(try OperationCosts(config.model, batch: 2, training: true).work.keys)
    let seen = Set(profile.operations.map(\.name))
    let small: Set = ["plan", "entropy", "balance", "balance ′", "cross-entropy", "cross-entropy ′"]
    #expect(seen.subtracting(counted).subtracting(small).isEmpty)
    #expect(counted.subtracting(seen).isEmpty)
    let shares = profile.operations.reduce(profile.otherShare) { $0 + $1.share }
    #expect(abs(shares - 1) < 1e-9 && profile.operations.allSatisfy { $0.ms >= 0 && $0.calls >= 1 })
  }

  @Test func sharesOfBlocksWithExperts() throws {
    let timeline = Timeline()
    var now = 0.0
    func add(_ name: String, _ block: Int, _ kind: Timeline.Kind, _ ms: Double) {
      timeline.append(name, scope: "blocks.\(block)", kind, from: now, to: now + ms / 1e3)
      now += ms / 1e3
    }
    add("mlp", 0, .forward, 50)
    add("gate", 1, .forward, 1)
    add("plan", 1, .forward, 2)
    add("permute", 1, .forward, 4)
    add("experts", 1, .forward, 70)
    add("combine", 1, .forward, 3)
    add("combine", 1, .backward, 5)
    add("experts", 1, .backward, 110)
    add("permute", 1, .backward, 3)
    add("gate", 1, .backward, 2)
    let profile = try StepProfile(
      timeline, config(("debug", [])).model, batch: 1, training: true, dtype: .float32, steps: 2, stepSeconds: 0.15)
    #expect(abs(profile.moeBlocksMs - 100) < 1e-9)
    #expect(abs(profile.routingShare - 5.0 / 200) < 1e-9 && abs(profile.permutingShare - 7.0 / 200) < 1e-9)
    #expect(abs(profile.combiningShare - 8.0 / 200) < 1e-9)
    #expect(abs(profile.otherMs - 25) < 1e-9 && profile.operations[0].name == "experts ′")
    #expect(
      profile.operations[0].calls == 0.5
        && profile.text.contains("routing 2.50 %, permuting 3.50 %, combining 4.00 %: 10.00 %"))
    #expect(profile.operations.first { $0.name == "experts" }!.gflop! > 0)
  }
}
