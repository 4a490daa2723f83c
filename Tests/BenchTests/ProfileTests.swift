import MMoETensor
import TestSupport
import Testing

@testable import MMoEBench
@testable import MMoEConfig
@testable import MMoEModels
@testable import MMoETrain

/// What is counted of operations, against parameters, against what runs, and shares of a made-up timeline.
@Suite struct ProfileTests {
  /// Presets, and what differs from them: every variant, every kind of model, every option that adds operations.
  static let forms: [(String, [String])] = variants + options + fusions

  private static let variants: [(String, [String])] = (["dense"] + MoEVariant.all.map(\.name)).map {
    ("gpt-toy", ["moe.variant=\($0)", "model.layers=4"])
  }
  private static let options: [(String, [String])] = [
    ("debug", ["model.class_token=true", "model.layers=4", "moe.variant=scmoe", "moe.combine=cg1"]),
    ("debug", ["moe.post_norm=true"]),
    ("debug", ["model.stochastic_depth=0.5", "model.layers=4", "moe.gate_noise=1", "moe.balance=none"]),
    ("debug", ["lora.rank=2", "lora.places=attention,mlp,experts", "moe.variant=shared"]),
    ("gpt-toy", ["moe.identity_experts=2", "moe.shortcut_norm=preceding", "moe.position=1", "moe.variant=scmoe"]),
    ("gpt-toy", ["model.activation=swiglu", "model.norm=rms", "model.positions=rotary", "model.kv_heads=1"]),
  ]
  private static let fusions: [(String, [String])] = {
    let late = ["fusion.kind=late", "moe.groups=none", "moe.balance=all_choices"]
    let forms: [[String]] = [
      [], ["moe.task_routing=true", "moe.variant=scmoe", "fusion.text_pooling=last"], ["model.stochastic_depth=0.5"],
      late + ["model.class_token=true", "fusion.text_width=48", "fusion.text_layers=4", "fusion.cross_blocks=2"],
      late + ["model.pre_norm=true", "fusion.cross_blocks=0", "model.classes=0", "model.tied_head=false"],
      late + ["lora.rank=2", "moe.variant=dgmoe"],
    ]
    return forms.map { ("pairs-emoji", ["model.width=32", "model.layers=2", "model.vocabulary=64"] + $0) }
  }()

  private func config(_ form: (String, [String])) throws -> RunConfig {
    var config = RunConfig()
    try RunConfig.table.apply(ProjectHome.presets.preset(form.0), to: &config)
    try RunConfig.table.set(form.1, in: &config)
    return config
  }

  /// Every matrix multiplies as many rows as reach it, and attention's scores and values are two products over the pairs that see
  /// each other: by hand from the parameters of a model.
  @Test(arguments: forms) func productsByParameters(form: (String, [String])) throws {
    let config = try config(form).model
    let towers = config.towers
    var products = 0.0
    for parameter in try config.makeModel(seed: nil, engine: Engine(threads: 1), describes: true).parameters {
      let words = parameter.path.split(separator: ".").map(String.init)
      let shape = parameter.shape
      guard shape.count > 1, !["task", "coefficient", "bias"].contains(words.last { $0 != "weight" }) else { continue }
      let matrix = shape.suffix(2).reduce(1, *)
      var rows = 0
      switch words[0] {
      case "blocks":
        let isFirst = Int(words[1])! < towers[0].layers
        let tower = isFirst ? towers[0] : towers[1]
        let variant = config.moe.variant == "dense" ? nil : try MoEVariant.resolve(config.moe)
        rows = words[3] == "key_value" ? config.vision.tokens : tower.tokens
        if shape.count == 3 { rows *= variant!.routes.reduce(0) { $0 + $1.k } }
      case "patch_embedding": rows = config.vision.tokens - (config.vision.classToken ? 1 : 0)
      case "token_embedding": rows = config.text.tiedHead ? config.text.context : 0
      case "language_head": rows = config.text.context
      case "head": rows = config.kind == .gpt ? config.text.context : 1
      case "image_projection", "text_projection", "classifier": rows = 1
      default: continue
      }
      products += Double(matrix * rows)
    }
    for (number, tower) in towers.enumerated() {
      let prefix = tower.kind == .gpt ? 0 : tower.vision.tokens
      let pairs = (0..<tower.tokens).reduce(0) { $0 + max(prefix, $1 + 1) }
      let cross = number == 0 ? 0 : config.fusion.crossBlocks * tower.tokens * towers[0].tokens
      products += Double(2 * (tower.layers * pairs + cross) * tower.width)
    }
    let forward = try OperationCosts(config, batch: 3, training: false).work.values.reduce(0) { $0 + $1.flops }
    #expect(forward == 6 * products)
    #expect(try ModelCosts(config).forwardFLOPs == 2 * products)
    // Nothing differentiates by pixels.
    let all = try OperationCosts(config, batch: 3, training: true).work
    let embedding = try Architecture(config).operations.first { $0.name == "embedding" }
    let training = all.values.reduce(0) { $0 + $1.flops }
    #expect(abs(training + 6 * (embedding?.multiplyAdds ?? 0) - 18 * products) < 1e-9 * training)
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

  /// No operation of a step is unknown, none is counted that does not run, and each runs as often as it is counted.
  @Test(
    arguments: forms.map { ($0, StepBenchmark.Mode.train) }
      + [options[2], fusions[0], fusions[3]].map { ($0, .forward) })
  func everyOperationHasItsCosts(of subject: ((String, [String]), StepBenchmark.Mode)) throws {
    let (form, mode) = subject
    let config = try config(form)
    let result = try StepBenchmark(
      config: config.model, optimizer: config.optimizer, preset: form.0, mode: mode, batch: 2, steps: 1
    ).run(engine: Engine(threads: 2), profiled: true)
    let profile = try #require(result.profile)
    let counted = Set(try OperationCosts(config.model, batch: 2, training: mode == .train).work.keys)
    let seen = Set(profile.operations.map(\.name))
    let small: Set = ["plan", "entropy", "balance", "balance ′", "cross-entropy", "cross-entropy ′"]
    #expect(seen.subtracting(counted).subtracting(small).isEmpty)
    #expect(counted.subtracting(seen).isEmpty)
    var calls: [String: Double] = [:]
    for operation in try Architecture(config.model, training: mode == .train).operations {
      // A gate is a product and a choice.
      calls[operation.name, default: 0] += operation.name == "gate" ? 2 : 1
    }
    for operation in profile.operations where calls[operation.name] != nil {
      #expect(operation.calls == calls[operation.name], "\(operation.name)")
    }
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
