import MMoETensor
import TestSupport
import Testing

@testable import MMoEBench
@testable import MMoEConfig
@testable import MMoEModels
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

  /// Counted is what experts computed: choices that a capacity drops and those of identity experts are no products. By hand
  /// from each call's plan.
  @Test(arguments: ["gpt-toy", "debug"], [("top2", 0.25, 0), ("scmoe2", 0, 3), ("top2", 0.5, 2), ("top2", 0, 0)])
  func dropsAndIdentitiesCostNothing(preset: String, routing: (variant: String, factor: Double, identities: Int)) throws
  {
    let config = try config(
      (
        preset,
        [
          "moe.variant=\(routing.variant)", "moe.capacity_factor=\(routing.factor)",
          "moe.identity_experts=\(routing.identities)", "model.layers=4",
        ]
      ))
    let model = config.model
    let result = try StepBenchmark(
      config: model, optimizer: config.optimizer, preset: preset, mode: .train, batch: 2, steps: 1
    ).run(engine: Engine(threads: 2), profiled: true)
    let counted = try ModelCosts(model).trainingFLOPs * 2
    // The profile's own products, less the images' gradient, which is not computed.
    let profile = try #require(result.profile)
    let unneeded =
      model.kind == .vit ? try OperationCosts(model, batch: 2, training: false).work["embedding"]!.flops : 0
    let measured = profile.operations.reduce(unneeded) { $0 + ($1.gflop ?? 0) * 1e9 }
    #expect(abs(result.gflopPerStep * 1e9 - measured) < 1e-6 * measured)
    if routing.factor == 0 && routing.identities == 0 {
      #expect(abs(result.gflopPerStep * 1e9 - counted) < 1e-9 * counted)
    } else {
      #expect(result.gflopPerStep * 1e9 < 0.98 * counted)
    }
    #expect(result.peakGflops > 0)
  }

  /// `savedFLOPs` is one expert's products for every row that was not computed, in either tower.
  @Test func savedProductsByHand() throws {
    var model = ModelConfig()
    (model.kind, model.layers, model.width, model.heads, model.hidden) = (.multimodal, 2, 8, 1, 24)
    (model.fusion.kind, model.fusion.textLayers, model.fusion.textWidth) = (.late, 2, 16)
    (model.fusion.textHidden, model.activation, model.moe.experts) = (40, .swiglu, 4)
    let costs = try ModelCosts(model)
    func report(_ block: Int, load: [Int], rows: Int) -> RoutingReport {
      RoutingReport(
        block: block, route: 0, load: load, expertRows: rows, pairs: 7, kept: 7, tokens: 7, entropySum: 0,
        auxiliary: [:],
        modalityLoad: [])
    }
    // SwiGLU: three products of width times hidden, two operations each.
    #expect(costs.savedFLOPs([report(1, load: [3, 1, 1, 2], rows: 5)]) == 2 * 2 * 3 * 8 * 24)
    #expect(costs.savedFLOPs([report(3, load: [3, 1, 1, 2], rows: 4)]) == 3 * 2 * 3 * 16 * 40)
    #expect(costs.savedFLOPs([report(3, load: [3, 1, 1, 2], rows: 7)]) == 0)
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
      timeline, config(("debug", [])).model, OptimizerConfig(), batch: 1, training: true, dtype: .float32, steps: 2,
      stepSeconds: 0.15)
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
