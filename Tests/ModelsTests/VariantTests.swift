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

  /// The dry run's count is the model's, whatever the options.
  @Test(arguments: names) func countedParameters(variant: String) throws {
    var config = VariantTests.config(variant)
    for option in 0..<4 {
      config.vision.classToken = option == 1
      config.moe.oneGate = option == 2
      config.moe.every = option == 3 && variant != "scmoe" && variant != "scmoe2" && variant != "dgmoe" ? 1 : 2
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
