import MMoEFiles
import MMoEModels
import MMoEReport
import MMoETensor
import MMoETrain

/// A gate alone: probabilities, choices, queues, drops, auxiliary loss and the gradient of the logits.
enum RoutingParity {
  static func run(_ reference: ParityCase, _ engine: Engine) throws -> ParityReport {
    let logits = try reference.tensor("inputs/logits")
    let factors = try reference.tensor("inputs/dgates")
    let coefficient = try reference.number("aux_coef")
    var report = ParityReport()

    let (routing, auxiliary, gradient) = try route(
      reference, engine, logits, balanceWeight: coefficient, factors: factors)
    report.compare(
      "probs", routing.choice.probabilities.values, try reference.doubles("outputs/probs"))
    report.compare("gates", routing.choice.gates.values, try reference.doubles("outputs/gates"))
    let integers: [(String, [Double])] = [
      ("experts", routing.choice.experts.map(Double.init)),
      ("place", routing.plan.place.map(Double.init)),
      ("kept", routing.plan.position.map { $0 >= 0 ? 1 : 0 }),
      ("counts_before", routing.plan.load.map(Double.init)),
      ("counts_after", routing.plan.kept.map(Double.init)),
    ]
    for (name, found) in integers {
      report.compare(name, found, try reference.doubles("outputs/\(name)"))
    }
    report.compare(
      "capacity", [Double(routing.plan.capacity ?? 0)], try reference.doubles("meta/capacity"))
    report.compare("aux", [auxiliary], try reference.doubles("outputs/aux"))
    report.compare("grads/logits", gradient, try reference.doubles("grads/logits"))

    let alone = try route(reference, engine, logits, balanceWeight: 1, factors: nil)
    report.compare("grads/aux_logits", alone.gradient, try reference.doubles("grads/aux_logits"))
    func loss(_ logits: Tensor, _ balance: String) throws -> Double {
      try route(reference, engine, logits, balanceWeight: 1, balance: balance, factors: nil).auxiliary
    }
    guard let sequences = try reference.sequences(of: logits.rows) else {
      report.compare(
        "aux_first_choice", [try loss(logits, "first_choice")], try reference.doubles("outputs/aux_first_choice"))
      return report
    }
    let each = try sequences.map { rows in
      let own = Tensor(
        Array(logits.values[rows.lowerBound * logits.columns..<rows.upperBound * logits.columns]),
        shape: [rows.count, logits.columns])
      return try loss(own, "sequence")
    }
    report.compare("aux_per_sequence", each, try reference.doubles("outputs/aux_per_sequence"))
    report.compare(
      "aux_whole_batch", [try loss(logits, "all_choices")], try reference.doubles("outputs/aux_whole_batch"))
    return report
  }

  /// The router with the identity as its weight sees the logits themselves.
  private static func route(
    _ reference: ParityCase, _ engine: Engine, _ logits: Tensor, balanceWeight: Double, balance: String? = nil,
    factors: Tensor?
  ) throws -> (routing: Routing, auxiliary: Double, gradient: [Float]) {
    let experts = logits.columns
    var config = MoEConfig()
    config.experts = experts
    config.renormalize = try reference.flag("renorm")
    config.capacityFactor = try reference.number("capacity_factor")
    let sequences = try reference.sequences(of: logits.rows)
    config.balance = balance ?? (sequences == nil ? "all_choices" : "sequence")
    config.balanceWeight = balanceWeight
    let store = ParameterStore(engine: engine, seed: 0, initStd: 0.02)
    let gate = try Gate(store, "gate", width: experts, config: config, k: try reference.integer("k"))
    for i in 0..<gate.weight.count { gate.weight.value.pointer[i] = 0 }
    for e in 0..<experts { gate.weight.value.pointer[e * experts + e] = 1 }
    let x = logits.copy()
    let tape = Tape(engine, recording: true)
    tape.watch(x)
    let pass = ForwardPass(tape, training: true)
    let routing = gate(
      x, exclude: nil, block: 0, route: 0, tags: TokenTags(sequences: sequences ?? [0..<logits.rows]), pass)
    if let factors {
      let masked = factors.copy()
      for (i, position) in routing.plan.position.enumerated() where position < 0 {
        masked.pointer[i] = 0
      }
      tape.innerProduct(routing.choice.gates, with: masked)
    }
    pass.finishRouting()
    tape.backward()
    return (
      routing, Double(pass.routings[0].auxiliary["balance"] ?? .nan), x.gradient?.values ?? []
    )
  }
}

/// One mixture-of-experts layer.
enum MoEParity {
  /// The options of the layer; what the case's router does not have stays at its default.
  private static func config(_ reference: ParityCase, experts: Int) throws -> MoEConfig {
    var config = MoEConfig()
    config.router = reference.router
    config.experts = experts
    config.capacityFactor = try reference.number("capacity_factor")
    config.identityExperts = try reference.integer("identity_experts", default: 0)
    config.balanceWeight = try reference.number("aux_coef", default: 0)
    config.balance =
      reference.has("meta/sequence_length") ? "sequence" : reference.has("meta/aux_coef") ? "all_choices" : "none"
    config.renormalize = try reference.flag("renorm")
    if reference.has("meta/norm_topk") {
      // Divided by the sum where k = 1, too.
      config.renormalize = try reference.flag("norm_topk")
      config.renormalizeSingle = config.renormalize
    }
    config.routeScale = try reference.number("scaling", default: 1)
    config.groupCount = try reference.integer("n_group", default: 1)
    config.groupLimit = try reference.integer("topk_group", default: 1)
    // The bias that the case gives stands where this one moves.
    config.biasRate = reference.has("inputs/selection_bias") ? 1 : 0
    return config
  }

  static func run(_ reference: ParityCase, _ engine: Engine) throws -> ParityReport {
    let x = try reference.tensor("inputs/x")
    let w1 = try reference.reader.shape("weights/experts.fc1.weight")
    guard w1.count == 3 else {
      throw BenchError(
        "\(reference.file)", found: "weights/experts.fc1.weight has shape \(w1)", expected: "(E, hidden, d)")
    }
    let config = try config(reference, experts: w1[0])
    let store = ParameterStore(engine: engine, seed: 0, initStd: 0.02)
    let gate = try Gate(store, "gate", width: x.columns, config: config, k: try reference.integer("k", default: 1))
    if let bias = gate.selectionBias {
      let values = try reference.reader.readFloats("inputs/selection_bias")
      guard values.count == bias.count else {
        throw BenchError("\(reference.file): inputs/selection_bias has \(values.count) values, expected \(bias.count)")
      }
      bias.pointer.update(from: values, count: values.count)
    }
    var sizes = ModelConfig()
    sizes.width = x.columns
    (sizes.moe.experts, sizes.moe.hidden) = (w1[0], w1[1])
    let experts = Experts(store, "experts", sizes)
    let parameters: [(String, Parameter)] = [
      ("gate", gate.weight), ("experts.fc1.weight", experts.w1), ("experts.fc1.bias", experts.b1!),
      ("experts.fc2.weight", experts.w2), ("experts.fc2.bias", experts.b2!),
    ]
    for (name, parameter) in parameters {
      try reference.fill(parameter, from: "weights/\(name)")
    }
    let tape = Tape(engine, recording: true)
    tape.watch(x)
    let pass = ForwardPass(tape, training: true)
    let tags = TokenTags(sequences: try reference.sequences(of: x.rows) ?? [0..<x.rows])
    let routing = gate(x, exclude: nil, block: 0, route: 0, tags: tags, pass)
    let flight = LocalDispatcher().beginDispatch(x, routing.plan, tape)
    flight.beginCombine(experts(flight.endDispatch(0, tape), tape), 0, tape)
    var y = tape.combineRows(
      flight.endCombine(tape), gates: routing.choice.gates, position: routing.plan.position,
      base: nil)
    if config.identityExperts > 0 {
      y = tape.identityExperts(x, routing.choice, first: config.experts, base: y)
    }
    tape.innerProduct(y, with: try reference.tensor("inputs/dy"))
    pass.finishRouting()
    tape.backward()

    var report = ParityReport()
    report.compare("y", y.values, try reference.doubles("outputs/y"))
    if reference.has("outputs/aux") {
      report.compare(
        "aux", [Double(pass.routings[0].auxiliary["balance"] ?? .nan)],
        try reference.doubles("outputs/aux"))
    }
    try compare(&report, routing, config, gate.selectionBias?.values, reference)
    report.compare("grads/x", x.gradient?.values ?? [], try reference.doubles("grads/x"))
    for (name, parameter) in parameters {
      report.compare(
        "grads/\(name)", parameter.gradient.values, try reference.doubles("grads/\(name)"))
    }
    return report
  }

  /// What the case's file has of scores, choices and weights.
  private static func compare(
    _ report: inout ParityReport, _ routing: Routing, _ config: MoEConfig, _ bias: [Float]?, _ reference: ParityCase
  ) throws {
    let (choice, plan) = (routing.choice, routing.plan)
    var found: [(String, [Double])] = [
      ("probs", choice.probabilities.values.map(Double.init)), ("scores", choice.scores.values.map(Double.init)),
      ("experts", choice.experts.map(Double.init)), ("place", plan.place.map(Double.init)),
      (
        "kept",
        zip(plan.position, choice.experts).map { position, expert in
          position >= 0 || Int(expert) >= config.experts ? 1 : 0
        }
      ),
      (
        "times_taken",
        (0..<choice.tokens).map { t in
          Double((0..<choice.k).count { choice.experts[t * choice.k + $0] >= 0 })
        }
      ),
    ]
    if reference.has("routing/taken") {
      // Expert by expert, highest probability first.
      let pairs = choice.experts.indices.filter { choice.experts[$0] >= 0 }
      let gates = choice.gates.values
      let queues = (0..<config.experts).map { expert in
        pairs.filter { Int(choice.experts[$0]) == expert }.sorted {
          gates[$0] != gates[$1] ? gates[$0] > gates[$1] : $0 < $1
        }
      }.joined()
      found += [
        ("taken", queues.map { Double($0 / choice.k) }), ("gates", queues.map { Double(gates[$0]) }),
        ("capacity", [Double(plan.kept.max() ?? 0)]),
      ]
    } else {
      found += [("gates", choice.gates.values.map(Double.init)), ("capacity", [Double(plan.capacity ?? 0)])]
    }
    if config.groupCount > 1 {
      let groups = NeighborGroups(count: config.groupCount, kept: config.groupLimit, of: config.experts)
      found.append(
        (
          "group_kept",
          (0..<choice.tokens).flatMap { t -> [Double] in
            var values = (0..<config.experts).map { choice.scores.pointer[t * config.experts + $0] + (bias?[$0] ?? 0) }
            var sums = [Float](repeating: 0, count: groups.count)
            groups.limit(&values, &sums)
            return sums.map { $0 == .infinity ? 1 : 0 }
          }
        ))
    }
    for (name, values) in found where reference.has("routing/\(name)") {
      report.compare(name, values, try reference.doubles("routing/\(name)"))
    }
  }
}
