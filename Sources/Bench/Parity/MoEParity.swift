import MMoEModels
import MMoEReport
import MMoETensor

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
    let first = try route(
      reference, engine, logits, balanceWeight: 1, balance: .firstChoice, factors: nil)
    report.compare(
      "aux_first_choice", [first.auxiliary], try reference.doubles("outputs/aux_first_choice"))
    return report
  }

  /// The router with the identity as its weight sees the logits themselves.
  private static func route(
    _ reference: ParityCase, _ engine: Engine, _ logits: Tensor, balanceWeight: Double,
    balance: BalanceLossKind = .allChoices, factors: Tensor?
  ) throws -> (routing: Routing, auxiliary: Double, gradient: [Float]) {
    let experts = logits.columns
    var config = MoEConfig()
    config.experts = experts
    config.renormalise = try reference.flag("renorm")
    config.capacityFactor = try reference.number("capacity_factor")
    config.balance = balance
    config.balanceWeight = balanceWeight
    let store = ParameterStore(engine: engine, seed: 0, initStd: 0.02)
    let router = Router(store, "gate", width: experts, config: config, k: try reference.integer("k"))
    for i in 0..<router.weight.count { router.weight.value.pointer[i] = 0 }
    for e in 0..<experts { router.weight.value.pointer[e * experts + e] = 1 }
    let x = logits.copy()
    let tape = Tape(engine, recording: true)
    tape.watch(x)
    let pass = ForwardPass(tape, training: true)
    let routing = router(x, exclude: nil, block: 0, route: 0, pass)
    if let factors {
      let masked = factors.copy()
      for (i, position) in routing.plan.position.enumerated() where position < 0 {
        masked.pointer[i] = 0
      }
      tape.innerProduct(routing.choice.gates, with: masked)
    }
    tape.backward()
    return (
      routing, Double(pass.routings[0].auxiliary["balance"] ?? .nan), x.gradient?.values ?? []
    )
  }
}

/// One mixture-of-experts layer.
enum MoEParity {
  static func run(_ reference: ParityCase, _ engine: Engine) throws -> ParityReport {
    let x = try reference.tensor("inputs/x")
    let w1 = try reference.reader.shape("weights/experts.fc1.weight")
    guard w1.count == 3 else {
      throw TrainError("\(reference.file): weights/experts.fc1.weight has shape \(w1), expected (E, hidden, d)")
    }
    var config = MoEConfig()
    config.experts = w1[0]
    config.renormalise = try reference.flag("renorm")
    config.capacityFactor = try reference.number("capacity_factor")
    config.balanceWeight = try reference.number("aux_coef")
    config.identityExperts = try reference.integer("identity_experts", default: 0)
    let store = ParameterStore(engine: engine, seed: 0, initStd: 0.02)
    let router = Router(
      store, "gate", width: x.columns, config: config, k: try reference.integer("k"))
    var sizes = ModelConfig()
    sizes.width = x.columns
    (sizes.moe.experts, sizes.moe.hidden) = (w1[0], w1[1])
    let experts = Experts(store, "experts", sizes)
    let parameters: [(String, Parameter)] = [
      ("gate", router.weight), ("experts.fc1.weight", experts.w1), ("experts.fc1.bias", experts.b1!),
      ("experts.fc2.weight", experts.w2), ("experts.fc2.bias", experts.b2!),
    ]
    for (name, parameter) in parameters {
      try reference.fill(parameter, from: "weights/\(name)")
    }
    let tape = Tape(engine, recording: true)
    tape.watch(x)
    let pass = ForwardPass(tape, training: true)
    let routing = router(x, exclude: nil, block: 0, route: 0, pass)
    let flight = LocalDispatcher().beginDispatch(x, routing.plan, tape)
    flight.beginCombine(experts(flight.endDispatch(0, tape), tape), 0, tape)
    var y = tape.combineRows(
      flight.endCombine(tape), gates: routing.choice.gates, position: routing.plan.position,
      base: nil)
    if config.identityExperts > 0 {
      y = tape.identityExperts(x, routing.choice, first: config.experts, base: y)
    }
    tape.innerProduct(y, with: try reference.tensor("inputs/dy"))
    tape.backward()

    var report = ParityReport()
    report.compare("y", y.values, try reference.doubles("outputs/y"))
    report.compare(
      "aux", [Double(pass.routings[0].auxiliary["balance"] ?? .nan)],
      try reference.doubles("outputs/aux"))
    report.compare(
      "experts", routing.choice.experts.map(Double.init), try reference.doubles("routing/experts"))
    report.compare(
      "kept",
      zip(routing.plan.position, routing.choice.experts).map { position, expert in
        position >= 0 || Int(expert) >= config.experts ? 1.0 : 0
      }, try reference.doubles("routing/kept"))
    report.compare("grads/x", x.gradient?.values ?? [], try reference.doubles("grads/x"))
    for (name, parameter) in parameters {
      report.compare(
        "grads/\(name)", parameter.gradient.values, try reference.doubles("grads/\(name)"))
    }
    return report
  }
}
