import MMoEModels
import MMoETensor

/// A whole model: logits, loss, gradients, and several optimiser steps on one batch.
enum ModelParity {
  static func run(_ reference: ParityCase, _ engine: Engine) throws -> ParityReport? {
    guard try reference.text("backbone") == "vit" else { return nil }
    let images = try reference.tensor("inputs/x")
    let labels = try reference.integers("inputs/y")
    let model = try VisionTransformer(config(reference, images), seed: 0, engine: engine)
    let weights = try PairNames.fill(model.parameters, from: reference, path)

    var report = ParityReport()
    let steps = try reference.integer("steps")
    let optimizer = AdamW(
      model.parameters, config: try optimizerConfig(reference), engine: engine)
    var (losses, norms, auxiliary): ([Double], [Double], [Double]) = ([], [], [])
    for step in 0...steps {
      for parameter in model.parameters { parameter.clearGradient() }
      let tape = Tape(engine, recording: true)
      let pass = ForwardPass(tape, training: true)
      let logits = model(images, pass)
      if step == 0 {
        // Before the loss, which turns them into their gradient.
        report.compare("logits", logits.values, try reference.doubles("outputs/logits"))
      }
      _ = tape.crossEntropy(logits, targets: labels)
      losses.append(tape.objective)
      auxiliary.append(pass.balance)
      tape.backward()
      norms.append(optimizer.gradientNorm())
      if step == 0 {
        report.compare("loss", [losses[0]], try reference.doubles("outputs/loss"))
        report.compare("aux", [auxiliary[0]], try reference.doubles("outputs/aux"))
        try PairNames.compareGradients(&report, weights, reference)
      }
      if step < steps {
        optimizer.step(lr: try reference.number("lr"), gradientNorm: norms[step])
      }
    }
    report.compare("trained/loss", losses, try reference.doubles("trained/loss"))
    report.compare("trained/grad_norm", norms, try reference.doubles("trained/grad_norm"))
    report.compare("trained/aux", auxiliary, try reference.doubles("trained/aux"))
    for (name, parameter) in weights {
      let found = parameter.value.values.map(Double.init)
      let expected = try reference.doubles("trained/weights/\(name)")
      report.compare(
        "trained/\(name)", withoutKeyBias(name, found), withoutKeyBias(name, expected))
    }
    return report
  }

  /// The bias of K shifts all scores of a query alike, so its gradient is zero in exact arithmetic; in float32 Adam
  /// turns the rounding noise into steps of full size, which say nothing.
  private static func withoutKeyBias(_ name: String, _ values: [Double]) -> [Double] {
    guard name.hasSuffix("qkv.bias") else { return values }
    let d = values.count / 3
    return Array(values[..<d]) + Array(values[(2 * d)...])
  }

  private static func config(_ reference: ParityCase, _ images: Tensor) throws -> ModelConfig {
    var config = try PairNames.config(reference, prefix: "pairs.0.")
    let pairs = Set(
      try reference.names("weights").compactMap { name in
        name.hasPrefix("pairs.") ? name.split(separator: ".")[1] : nil
      })
    config.layers = 2 * pairs.count
    config.channels = images.shape[1]
    config.image = images.shape[2]
    let patchArea = try reference.reader.shape("weights/tok.weight")[1] / config.channels
    config.patch = Int(Double(patchArea).squareRoot().rounded())
    config.classes = try reference.reader.shape("weights/head.weight")[0]
    return config
  }

  private static func optimizerConfig(_ reference: ParityCase) throws -> OptimizerConfig {
    var config = OptimizerConfig()
    config.beta1 = try reference.number("beta1")
    config.beta2 = try reference.number("beta2")
    config.epsilon = try reference.number("eps")
    config.weightDecay = try reference.number("weight_decay")
    config.clip = try reference.number("clip")
    return config
  }

  private static func path(_ name: String) -> String? {
    switch name {
    case "tok.weight": return "patch_embedding.weight"
    case "tok.bias": return "patch_embedding.bias"
    case "pos": return "position_embedding"
    case "ln_f.weight": return "norm.weight"
    case "ln_f.bias": return "norm.bias"
    case "head.weight", "head.bias": return name
    default:
      let parts = name.split(separator: ".", maxSplits: 2)
      guard parts.count == 3, parts[0] == "pairs", let pair = Int(parts[1]) else { return nil }
      return PairNames.path(String(parts[2]), firstBlock: 2 * pair)
    }
  }
}
