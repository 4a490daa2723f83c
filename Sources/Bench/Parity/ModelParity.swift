import MMoEConfig
import MMoEFiles
import MMoEModels
import MMoEReport
import MMoETensor
import MMoETrain

/// A whole model: logits, loss, gradients, and several optimizer steps on one batch.
enum ModelParity {
  static func run(_ reference: ParityCase, _ engine: Engine) throws -> ParityReport {
    let subject = try Subject(reference, engine)
    let model = subject.model
    let weights = try PairNames.fill(model.parameters, from: reference) { subject.path($0) }

    var report = ParityReport()
    let steps = try reference.integer("steps")
    let optimizer = Updater(
      model.parameters, config: try optimizerConfig(reference), engine: engine)
    var (losses, norms, auxiliary): ([Double], [Double], [Double]) = ([], [], [])
    report.compare("logits", subject.logits(engine), try reference.doubles("outputs/logits"))
    for step in 0...steps {
      for parameter in model.parameters { parameter.clearGradient() }
      let tape = Tape(engine, recording: true)
      let pass = ForwardPass(tape, training: true)
      subject.addLoss(pass)
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

  /// A model of either kind on the case's batch.
  private enum Subject {
    case vision(VisionTransformer, images: Tensor, labels: [Int32])
    case language(GPT, ids: [Int32], targets: [Int32], sequence: Int)

    init(_ reference: ParityCase, _ engine: Engine) throws {
      // Pairs before `first_pair` are dense.
      let first = try reference.integer("first_pair", default: 0)
      var config = try PairNames.config(reference, prefix: "pairs.\(first).")
      config.moe.first = 2 * first + 1
      config.moe.bankLayers = try reference.integer("bank_pairs", default: 1)
      let pairs = Set(
        try reference.names("weights").compactMap { name in
          name.hasPrefix("pairs.") ? name.split(separator: ".")[1] : nil
        })
      config.layers = 2 * pairs.count
      let token = try reference.reader.shape("weights/tok.weight")
      switch try reference.text("backbone") {
      case "vit":
        let images = try reference.tensor("inputs/x")
        config.vision.channels = images.shape[1]
        config.vision.image = images.shape[2]
        config.vision.patch = Int(Double(token[1] / config.vision.channels).squareRoot().rounded())
        config.vision.classes = try reference.reader.shape("weights/head.weight")[0]
        self = .vision(
          try VisionTransformer(config, seed: 0, engine: engine), images: images,
          labels: try reference.integers("inputs/y"))
      case "gpt":
        config.kind = .gpt
        config.text.vocabulary = token[0]
        config.text.context = try reference.reader.shape("weights/pos")[0]
        self = .language(
          try GPT(config, seed: 0, engine: engine), ids: try reference.integers("inputs/x"),
          targets: try reference.integers("inputs/y"),
          sequence: try reference.reader.shape("inputs/x")[1])
      case let other:
        throw BenchError("\(reference.file): backbone is \(other); expected vit or gpt")
      }
    }

    var model: any TrainableModel {
      switch self {
      case .vision(let model, _, _): model
      case .language(let model, _, _, _): model
      }
    }

    /// Our path of a case's weight.
    func path(_ name: String) -> String? {
      switch (name, self) {
      case ("tok.weight", .language): return "token_embedding"
      case ("tok.weight", .vision): return "patch_embedding.weight"
      case ("tok.bias", _): return "patch_embedding.bias"
      case ("pos", _): return "position_embedding"
      case ("ln_f.weight", _): return "norm.weight"
      case ("ln_f.bias", _): return "norm.bias"
      case ("head.weight", _), ("head.bias", _): return name
      default:
        let parts = name.split(separator: ".", maxSplits: 2)
        guard parts.count == 3, parts[0] == "pairs", let pair = Int(parts[1]) else { return nil }
        return PairNames.path(String(parts[2]), firstBlock: 2 * pair)
      }
    }

    func logits(_ engine: Engine) -> [Float] {
      let pass = ForwardPass(Tape(engine, recording: false), training: true)
      switch self {
      case .vision(let model, let images, _): return model(images, pass).values
      case .language(let model, let ids, _, let sequence):
        return model.logits(model(ids, sequence: sequence, pass), pass.tape).values
      }
    }

    func addLoss(_ pass: ForwardPass) {
      switch self {
      case .vision(let model, let images, let labels):
        _ = pass.tape.crossEntropy(model(images, pass), targets: labels)
      case .language(let model, let ids, let targets, let sequence):
        _ = model.loss(ids, targets: targets, sequence: sequence, pass)
      }
    }
  }

  /// The bias of K shifts all scores of a query alike, so its gradient is zero in exact arithmetic; in float32 Adam
  /// turns the rounding noise into steps of full size, which say nothing.
  private static func withoutKeyBias(_ name: String, _ values: [Double]) -> [Double] {
    guard name.hasSuffix("qkv.bias") else { return values }
    let d = values.count / 3
    return Array(values[..<d]) + Array(values[(2 * d)...])
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
}
