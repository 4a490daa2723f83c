import MMoEModels
import MMoETensor
import TestSupport
import Testing

/// Every value of the variant table, picked up by itself: gradients, counted sizes, options, errors.
@Suite struct VariantTests {
  let engine = try! Engine(threads: 2)

  static let names = ["dense"] + MoEVariant.all.map(\.name)

  /// Two pairs of blocks on 8-pixel images.
  static func config(_ variant: String) -> ModelConfig {
    var config = ModelConfig()
    config.layers = 4
    config.width = 12
    config.heads = 2
    config.hidden = 20
    config.vision.image = 8
    config.vision.patch = 4
    config.vision.classes = 5
    config.initStd = 0.25
    config.moe.variant = variant
    config.moe.experts = 4
    return config
  }

  private func check(_ config: ModelConfig) throws {
    // The first weights that lie far enough from every jump of a choice.
    for seed in 1...20 {
      let model = try VisionTransformer(config, seed: UInt64(seed), engine: engine)
      let images = randomTensor([3, 3, 8, 8], seed: UInt64(100 + seed))
      let factors = randomTensor([3, 5], seed: 2)
      let checks = checkRoutedGradients(engine: engine, parameters: model.parameters) { tape in
        let pass = ForwardPass(tape, training: true, seed: 3)
        tape.innerProduct(model(images, pass), with: factors)
        return pass.routings.map(\.load)
      }
      guard let checks else { continue }
      for check in checks { #expect(check.error < 0.03, "\(config.moe.variant), seed \(seed): \(check)") }
      return
    }
    Issue.record("\(config.moe.variant): no weights away from jumps in 20 draws")
  }

  @Test(arguments: names) func gradients(variant: String) throws {
    try check(VariantTests.config(variant))
  }

  @Test(arguments: [1, 2, 3]) func shortcutPositions(position: Int) throws {
    for variant in ["scmoe", "dgmoe"] {
      var config = VariantTests.config(variant)
      config.moe.position = position
      config.moe.shortcutNorm = position == 2 ? .preceding : .own
      config.moe.combine = variant == "scmoe" ? .cg2 : .add
      config.vision.classToken = true
      try check(config)
    }
  }

  /// Identity experts, banks that layers share, and sources further back, by name.
  static let options = ["identities", "one bank", "far sources", "everything"]

  static func config(_ variant: String, option: String) -> ModelConfig {
    var config = config(variant)
    config.layers = 6
    if option == "identities" || option == "everything" { config.moe.identityExperts = 2 }
    if option == "one bank" || option == "everything" { config.moe.bankLayers = 2 }
    if option == "far sources" || option == "everything" {
      config.moe.variant = "hierarchical"
      config.moe.sources = [.position2, RouteSource("3:attention")!, RouteSource("4:output")!]
      config.moe.first = 3
      // One step of differences meets fewer jumps with fewer choices.
      config.moe.experts = 3
    }
    return config
  }

  @Test(arguments: options) func gradients(option: String) throws {
    for variant in option == "far sources" || option == "everything" ? ["hierarchical"] : ["top2", "scmoe", "dgmoe"] {
      try check(VariantTests.config(variant, option: option))
    }
  }

  /// A token that takes identities alone costs no expert and comes back weighted.
  @Test func identitiesReturnTheirInput() throws {
    var moe = MoEConfig()
    (moe.experts, moe.identityExperts) = (2, 2)
    let store = ParameterStore(engine: engine, seed: 1, initStd: 0.02)
    let router = try Gate(store, "gate", width: 4, config: moe, k: 2)
    // Tokens 0 and 1 prefer the identities, token 2 the experts, token 3 one of each.
    let scores: [[Float]] = [[0, 0, 3, 2], [0, 0, 2, 4], [5, 4, 0, 0], [3, 0, 2, 0]]
    for c in 0..<4 { for d in 0..<4 { router.weight.value.pointer[c * 4 + d] = c == d ? 1 : 0 } }
    let x = Tensor(scores.flatMap { $0 }, shape: [4, 4])
    let pass = ForwardPass(Tape(engine, recording: false), training: false)
    let routing = router(x, exclude: nil, block: 0, route: 0, pass)
    #expect(routing.plan.rows == 3)
    #expect(routing.plan.dropped == 0)
    #expect(routing.plan.load == [2, 1, 3, 2])
    let y = pass.tape.identityExperts(x, routing.choice, first: 2, base: Tensor.zeros([4, 4])).values
    for t in 0..<4 {
      let weight = (0..<2).reduce(Float(0)) { sum, j in
        routing.choice.experts[t * 2 + j] >= 2 ? sum + routing.choice.gates.pointer[t * 2 + j] : sum
      }
      #expect(abs(weight - [1, 1, 0, 0.26894143][t]) < 1e-5, "token \(t)")
      for d in 0..<4 { #expect(abs(y[t * 4 + d] - weight * scores[t][d]) < 1e-6) }
    }
  }

  @Test func impossible() throws {
    let cases: [(message: String, change: (inout ModelConfig) -> Void)] = [
      ("moe.first is 6, but model.layers is 6", { $0.moe.first = 6 }),
      ("moe.bank_layers is 4, but 3 blocks have experts", { $0.moe.bankLayers = 4 }),
      ("does not have; use moe.first=2 or higher", { $0.moe.sources = [RouteSource("2:attention")!] }),
      ("does not have; use moe.first=2 or higher", { $0.moe.sources = [RouteSource("3:output")!] }),
      ("give 1 to 8 different sources", { $0.moe.sources = [.position2, .position2] }),
      ("give 1 to 8 different sources", { $0.moe.sources = [] }),
      ("moe.variant dgmoe chooses 1 of 0 experts", { ($0.moe.variant, $0.moe.experts) = ("dgmoe", 1) }),
    ]
    for (message, change) in cases {
      var config = VariantTests.config("hierarchical")
      config.layers = 6
      change(&config)
      let error = #expect(throws: ModelError.self) { try config.validate() }
      #expect(error?.description.contains(message) == true, "\(error?.description ?? message)")
    }
  }

  @Test func sourcesAsText() {
    for text in ["0:input", "0:attention", "1:output", "12:attention"] {
      #expect(RouteSource(text)?.description == text)
    }
    for text in ["", "1", "attention", "1:", "-1:input", "0:output", "1:mlp", "1:input:2"] {
      #expect(RouteSource(text) == nil, "\(text)")
    }
    #expect(
      [RouteSource.current, .position1, .position2, .position3].sorted().map(\.description)
        == ["1:input", "1:attention", "1:output", "0:attention"])
  }

  /// The dry run's count is the model's with every option.
  @Test(arguments: options) func countedParameters(option: String) throws {
    for variant in ["top2", "scmoe", "dgmoe", "hierarchical"] {
      let config = VariantTests.config(variant, option: option)
      let model = try VisionTransformer(config, seed: 1, engine: engine)
      #expect(try ModelCosts(config).parameters == model.parameters.reduce(0) { $0 + $1.count }, "\(variant)")
    }
  }

  /// The dry run's count is the model's, whatever the options.
  @Test(arguments: names) func countedParameters(variant: String) throws {
    var config = VariantTests.config(variant)
    for option in 0..<4 {
      config.vision.classToken = option == 1
      config.moe.oneGate = option == 2
      let reach = MoEVariant.all.first { $0.name == variant }?.reach ?? 0
      config.moe.every = option == 3 && reach == 0 ? 1 : 2
      let counted = try ModelCosts(config).parameters
      let model = try VisionTransformer(config, seed: 1, engine: engine)
      #expect(counted == model.parameters.reduce(0) { $0 + $1.count }, "option \(option)")
    }
  }

  /// MoE in every block is possible where the source exists: Pos-1 is the block's own input.
  @Test func everyBlock() throws {
    var config = VariantTests.config("scmoe")
    config.moe.every = 1
    #expect(throws: ModelError.self) { try config.validate() }
    config.moe.position = 1
    try config.validate()
    try check(config)
  }

  /// Norms, biases (stacked ones too) and the class token do not decay; everything with two axes does.
  @Test func decayFlags() throws {
    var config = VariantTests.config("shared")
    config.vision.classToken = true
    config.moe.combine = .cg1
    let model = try VisionTransformer(config, seed: 1, engine: engine)
    for parameter in model.parameters {
      let name = parameter.path
      let expected = !(name.hasSuffix("bias") || name.contains("norm") || name == "class_token")
      #expect(parameter.decays == expected, "\(name)")
      #expect(parameter.reduction == (name.contains(".experts.") ? .expert : .replicated), "\(name)")
    }
  }
}
