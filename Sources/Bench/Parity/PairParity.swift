import MMoEFiles
import MMoEModels
import MMoEReport
import MMoETensor
import MMoETrain

/// The names of a block pair's weights in reference cases and in our models.
enum PairNames {
  /// Our path of a case's weight within the pair whose first block is `block`; nil when the name is unknown.
  static func path(_ name: String, firstBlock block: Int) -> String? {
    let first = "blocks.\(block)."
    let second = "blocks.\(block + 1)."
    if name == "coef" { return second + "moe.coefficient.weight" }
    if name.hasPrefix("gate") && !name.contains(".") { return second + "moe.\(name).weight" }
    // Of several sources, each has a norm.
    if name.hasPrefix("ln_sc") { return second + "moe.shortcut_norm" + name.dropFirst("ln_sc".count) }
    let prefixes = [
      ("ln_a1", first + "norm1"), ("attn1", first + "attention"), ("ln_m1", first + "norm2"),
      ("mlp1", first + "mlp"), ("ln_a2", second + "norm1"), ("attn2", second + "attention"),
      ("ln_m2", second + "norm2"), ("mlp2", second + "mlp"), ("experts", second + "moe.experts"),
      ("shared", second + "moe.shared"), ("ln_post", second + "moe.post_norm"),
    ]
    for (prefix, path) in prefixes where name.hasPrefix(prefix + ".") {
      return path + name.dropFirst(prefix.count)
    }
    return nil
  }

  /// The model configuration of a pair case or a model case: sizes from the weights' shapes, options from `meta`.
  ///
  /// - Parameter prefix: of the first pair's weights, such as `pairs.0.`.
  static func config(_ reference: ParityCase, prefix: String) throws -> ModelConfig {
    var config = ModelConfig()
    let variant = try reference.text("variant")
    let qkv = try reference.reader.shape("weights/\(prefix)attn1.qkv.weight")
    config.width = qkv[1]
    config.heads = try reference.integer("heads")
    config.hidden = try reference.reader.shape("weights/\(prefix)mlp1.fc1.weight")[0]
    config.normEpsilon = try reference.number("layernorm_eps", default: 1e-5)
    config.layers = 2
    config.moe.variant = variant
    guard variant != "dense" else { return config }
    let experts = try reference.reader.shape("weights/\(prefix)experts.fc1.weight")
    config.moe.experts = experts[0]
    config.moe.hidden = experts[1]
    config.moe.renormalize = try reference.flag("renorm")
    let position = try reference.integer("shortcut_pos", default: 2)
    config.moe.position = position == 0 ? 2 : position
    config.moe.capacityFactor = try reference.number("capacity_factor", default: 0)
    config.moe.balanceWeight = try reference.number("aux_coef")
    let combination = try reference.integer("combine", default: 0)
    guard Combination.allCases.indices.contains(combination) else {
      throw BenchError("\(reference.file): meta/combine is \(combination); expected 0, 1 or 2")
    }
    config.moe.combine = Combination.allCases[combination]
    config.moe.coefficientInput = try reference.flag("coef_current") ? .current : .routed
    config.moe.shortcutNorm = try reference.flag("preceding_norm") ? .preceding : .own
    config.moe.postNorm = try reference.flag("post_norm")
    config.moe.oneGate = try reference.flag("one_gate")
    config.moe.constrained = !(try reference.flag("unconstrained"))
    config.moe.identityExperts = try reference.integer("identity_experts", default: 0)
    if variant == "hierarchical" { config.moe.sources = try sources(reference) }
    return config
  }

  /// `meta/sources`: blocks back and state (0 input, 1 after attention, 2 output), one after the other.
  private static func sources(_ reference: ParityCase) throws -> [RouteSource] {
    let numbers = try reference.integers("meta/sources").map(Int.init)
    let sites: [RouteSource.Site] = [.input, .afterAttention, .output]
    guard numbers.count % 2 == 0 else {
      throw BenchError("\(reference.file): meta/sources has \(numbers.count) numbers; expected two a source")
    }
    return try stride(from: 0, to: numbers.count, by: 2).map { at in
      guard numbers[at] >= 0, sites.indices.contains(numbers[at + 1]) else {
        throw BenchError(
          "\(reference.file): meta/sources has \(numbers[at]), \(numbers[at + 1]); expected blocks back and 0, 1 or 2")
      }
      return RouteSource(blocksBack: numbers[at], site: sites[numbers[at + 1]])
    }
  }

  /// Joins a case's weights with our parameters and fills them.
  ///
  /// - Throws: `BenchError` for a weight that the model does not have, or a parameter without a weight.
  static func fill(
    _ parameters: [Parameter], from reference: ParityCase, _ path: (String) -> String?
  ) throws -> [(name: String, parameter: Parameter)] {
    let byPath = Dictionary(uniqueKeysWithValues: parameters.map { ($0.path, $0) })
    let pairs = try reference.names("weights").map { name in
      guard let path = path(name), let parameter = byPath[path] else {
        throw BenchError("\(reference.file)", found: "weights/\(name) is no weight of this variant")
      }
      try reference.fill(parameter, from: "weights/\(name)")
      return (name: name, parameter: parameter)
    }
    let filled = Set(pairs.map(\.parameter.path))
    if let missing = parameters.first(where: { !filled.contains($0.path) }) {
      throw BenchError("\(reference.file)", found: "has no weight for our parameter \(missing.path)")
    }
    return pairs
  }

  /// Our parameters' gradients against the case's.
  static func compareGradients(
    _ report: inout ParityReport, _ weights: [(name: String, parameter: Parameter)],
    _ reference: ParityCase
  ) throws {
    for (name, parameter) in weights {
      let found =
        parameter.hasGradient
        ? parameter.gradient.values : [Float](repeating: 0, count: parameter.count)
      report.compare("grads/\(name)", found, try reference.doubles("grads/\(name)"))
    }
  }
}

extension ForwardPass {
  /// The sum of all unweighted balance losses, as cases report it.
  package var balance: Double { routings.reduce(0) { $0 + Double($1.auxiliary["balance"] ?? 0) } }
}

/// Two blocks, the second with the experts.
enum PairParity {
  static func run(_ reference: ParityCase, _ engine: Engine) throws -> ParityReport {
    let config = try PairNames.config(reference, prefix: "")
    try config.validate()
    let store = ParameterStore(engine: engine, seed: 0, initStd: 0.02)
    let backbone = try Backbone(
      store, config: config, causal: try reference.flag("causal"), dispatcher: LocalDispatcher())
    let weights = try PairNames.fill(store.parameters, from: reference) {
      PairNames.path($0, firstBlock: 0)
    }
    let input = try reference.tensor("inputs/x")
    let x = Tensor(input.values, shape: [input.rows, input.columns])
    let tape = Tape(engine, recording: true)
    tape.watch(x)
    let pass = ForwardPass(tape, training: true)
    let out = backbone(x, sequence: input.shape[1], pass)
    tape.innerProduct(out, with: try reference.tensor("inputs/dout"))
    let loss = tape.objective
    tape.backward()

    var report = ParityReport()
    report.compare("out", out.values, try reference.doubles("outputs/out"))
    report.compare("aux", [pass.balance], try reference.doubles("outputs/aux"))
    report.compare("loss", [loss], try reference.doubles("outputs/loss"))
    report.compare("grads/x", x.gradient?.values ?? [], try reference.doubles("grads/x"))
    try PairNames.compareGradients(&report, weights, reference)
    return report
  }
}
