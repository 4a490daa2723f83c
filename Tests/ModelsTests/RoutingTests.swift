import MMoETensor
import TestSupport
import Testing

@testable import MMoEModels

@Suite struct RoutingTests {
  let engine = try! Engine(threads: 2)

  @Test func tiesGoToTheLowerIndex() {
    let tape = Tape(engine, recording: false)
    let choice = tape.gate(Tensor([1, 3, 3, 1, 2, 2, 2, 2], shape: [2, 4]), k: 2, renormalize: true)
    #expect(choice.experts == [1, 2, 0, 1])
    #expect(choice.gates.values == [0.5, 0.5, 0.5, 0.5])
  }

  /// Logits that overflowed: every choice is an expert still, each once, and one whose logit is −∞ has no weight.
  @Test(arguments: [true, false]) func infiniteLogitsChooseExperts(renormalize: Bool) {
    let (low, high) = (-Float.infinity, Float.infinity)
    let logits = Tensor([low, low, 0, low, low, low, low, low, low, high, 0, 1, .nan, 0, 1, 2], shape: [4, 4])
    let tape = Tape(engine, recording: false)
    let choice = tape.gate(logits, k: 3, renormalize: renormalize, exclude: [0, 3, -1, 1])
    #expect(choice.experts == [2, 1, 3, 0, 1, 2, 0, 1, 2, 0, 2, 3])
    let gates = choice.gates.values
    #expect(Array(gates[..<3]) == [1, 0, 0])
    #expect(gates[3...].allSatisfy { $0.isNaN })
    // What a plan without the choices −1 that there once were accepts.
    #expect(DispatchPlan(experts: choice.experts, tokens: 4, k: 3, expertCount: 4).rows == 12)
  }

  /// A bias may choose experts whose probabilities are no numbers of float32 any more: the weights are a softmax over the
  /// chosen logits, whatever the best expert's is.
  @Test(arguments: [0, 50, 90, 110, 300] as [Float]) func renormalizedGatesBelowTheBest(gap: Float) {
    let bias: [Float] = [0, 2, 2, 0]
    let logits = Tensor([gap, 0, -1, 0.5], shape: [1, 4])
    let choice = Tape(engine, recording: false).gate(logits, k: 2, renormalize: true, selectionBias: bias)
    #expect(Set(choice.experts) == [1, 2])
    let expected: [Int32: Float] = [1: 0.7310586, 2: 0.2689414]
    for (expert, gate) in zip(choice.experts, choice.gates.values) { #expect(abs(gate - expected[expert]!) < 1e-6) }
    let factors = Tensor([0.7, -0.4], shape: [1, 2])
    for check in checkGradients(
      engine: engine, inputs: [("logits", logits)], step: 1e-2,
      forward: { tape in
        tape.innerProduct(
          tape.gate(logits, k: 2, renormalize: true, selectionBias: bias).gates, with: factors)
      })
    {
      #expect(check.error < 1e-3, "\(check)")
    }
  }

  /// Queues: all first choices in token order, then all second choices; C = ceil(cf T k / E).
  @Test func capacityAndPlaces() {
    let plan = DispatchPlan(
      experts: [0, 1, 0, 1, 1, 0], tokens: 3, k: 2, expertCount: 2, capacityFactor: 0.6)
    #expect(plan.capacity == 2)  // ceil(0.6 · 6 / 2)
    #expect(plan.place == [0, 1, 1, 2, 0, 2])
    #expect(plan.load == [3, 3])
    #expect(plan.kept == [2, 2])
    #expect(plan.position == [0, 3, 1, -1, 2, -1])
    #expect(plan.source == [0, 1, 2, 0])
  }

  /// ceil(cf T k / E) of the factor as it is written, against integers; floating point is one too high in hundreds of these.
  @Test func capacityIsExact() {
    var (cases, wrong, roundedWrong) = (0, 0, 0)
    for hundredths in [25, 50, 75, 100, 105, 110, 115, 120, 125, 130, 140, 150, 160, 170, 175, 190, 200, 240] {
      for tokens in stride(from: 16, through: 1024, by: 16) {
        for k in [1, 2, 4] {
          for experts in [1, 2, 4, 6, 8, 12, 16, 64] {
            let factor = Double("\(hundredths / 100).\(hundredths % 100 / 10)\(hundredths % 10)")!
            let exact = (hundredths * tokens * k + 100 * experts - 1) / (100 * experts)
            let rounded = Int((factor * Double(tokens * k) / Double(experts)).rounded(.up))
            cases += 1
            wrong += ExpertCapacity.rows(factor: factor, pairs: tokens * k, choices: experts) == exact ? 0 : 1
            roundedWrong += rounded == exact ? 0 : 1
          }
        }
      }
    }
    #expect(cases == 27_648 && wrong == 0 && roundedWrong > 0, "\(wrong) and \(roundedWrong) of \(cases)")
  }

  @Test(arguments: [
    (1.1, 400, 4, 110), (0.1, 8, 8, 1), (1.0 / 3, 3, 1, 1), (1e-300, 5, 1, 1), (2, 7, 1, 14), (1.25, 64, 1, 80),
    (1e6, 4096, 3, 1_365_333_334), (0.07, 100, 1, 7),
  ])
  func capacityOf(factor: Double, pairs: Int, choices: Int, expected: Int) {
    #expect(ExpertCapacity.rows(factor: factor, pairs: pairs, choices: choices) == expected)
  }

  @Test func noCapacity() {
    #expect(ExpertCapacity.rows(factor: 0, pairs: 8, choices: 2) == nil)
    #expect(ExpertCapacity.rows(factor: 1e300, pairs: 8, choices: 2) == nil)
  }

  /// Two sequences with two choices a token: each has its own queues, filled token by token.
  @Test func causalQueues() {
    let queues = CausalQueues(sequences: [0..<3, 3..<5], longest: 3, earlier: nil)
    let plan = DispatchPlan(
      experts: [0, 1, 0, 1, 1, 0, 1, 0, 0, 1], tokens: 5, k: 2, expertCount: 2, capacityFactor: 0.6,
      priority: [0, 1, 2, 3, 4], queues: queues)
    #expect(plan.capacity == 2)  // ceil(0.6 · 3 · 2 / 2)
    #expect(plan.place == [0, 0, 1, 1, 2, 2, 0, 0, 1, 1])
    #expect(plan.load == [5, 5] && plan.kept == [4, 4])
    #expect(plan.position == [0, 4, 1, 5, -1, -1, 6, 2, 3, 7])
    #expect(plan.source == [0, 1, 3, 4, 0, 1, 3, 4])
  }

  @Test func priorityDecidesWhoIsDropped() {
    let plan = DispatchPlan(
      experts: [0, 0, 0], tokens: 3, k: 1, expertCount: 1, capacityFactor: 0.6,
      priority: [0.1, 0.9, 0.5])
    #expect(plan.place == [2, 0, 1])
    #expect(plan.position == [-1, 0, 1])
  }

  /// combine(dispatch(x)) with weight 1 is x.
  @Test func permutationRoundTrip() {
    let x = randomTensor([40, 6], seed: 1)
    let tape = Tape(engine, recording: false)
    let choice = tape.gate(randomTensor([40, 5], seed: 2), k: 1, renormalize: true)
    let plan = DispatchPlan(experts: choice.experts, tokens: 40, k: 1, expertCount: 5)
    let flight = LocalDispatcher().beginDispatch(x, plan, tape)
    flight.beginCombine(flight.endDispatch(0, tape), 0, tape)
    let back = tape.combineRows(
      flight.endCombine(tape), gates: Tensor(repeating: 1, shape: [40, 1]), position: plan.position,
      base: nil)
    #expect(back.values == x.values)
  }

  private func router(
    experts: Int = 6, k: Int = 2, _ change: (inout MoEConfig) -> Void
  ) -> Gate {
    var config = MoEConfig()
    config.experts = experts
    change(&config)
    let store = ParameterStore(engine: engine, seed: 5, initStd: 0.5)
    return try! Gate(store, "gate", width: 8, config: config, k: k)
  }

  /// Each auxiliary loss's gradient, by finite differences, through the whole router.
  @Test(arguments: ["all_choices", "first_choice", "importance_load", "importance_load+noise", "sequence", "z"])
  func auxiliaryGradients(kind: String) {
    let router = router { config in
      config.balanceWeight = 1
      config.balance = kind == "z" ? "none" : String(kind.split(separator: "+")[0])
      if kind.hasSuffix("noise") { config.gateNoise = 1 }
      if kind == "z" { config.zLossWeight = 0.3 }
    }
    let x = randomTensor([60, 8], seed: 1)
    for check in checkGradients(
      engine: engine, parameters: [router.weight], inputs: [("x", x)], step: 4e-4,
      forward: { tape in
        let pass = ForwardPass(tape, training: true, seed: 9, step: 4)
        _ = router(x, exclude: nil, block: 0, route: 0, tags: TokenTags(sequences: [0..<20, 20..<60]), pass)
        pass.finishRouting()
      })
    {
      #expect(check.error < 2e-2, "\(check)")
    }
  }

  /// Balance loss by hand: E = 2, T = 2, k = 1, logits (ln 3, 0) and (0, 0): p = (.75, .25), (.5, .5); both tokens
  /// choose expert 0. f = (1, 0), P = (.625, .375): 2 · .625 = 1.25.
  @Test func balanceLossByHand() {
    var config = MoEConfig()
    config.experts = 2
    config.balanceWeight = 1
    let store = ParameterStore(engine: engine, seed: 5, initStd: 0.5)
    let router = try! Gate(store, "gate", width: 2, config: config, k: 1)
    router.weight.value.pointer.update(from: [1.0986123, 0, 0, 0], count: 4)
    let pass = ForwardPass(Tape(engine, recording: false), training: true)
    _ = router(Tensor([1, 0, 0, 1], shape: [2, 2]), exclude: nil, block: 0, route: 0, pass)
    #expect(pass.routings.isEmpty, "losses and reports wait for the sums")
    pass.finishRouting()
    #expect(abs(pass.routings[0].auxiliary["balance"]! - 1.25) < 1e-6)
    #expect(pass.routings[0].load == [2, 0])
    #expect(pass.routings[0].dead == 1)
    #expect(pass.routings[0].imbalance == 2)
    // Entropy: mean of 0.5623 and ln 2.
    #expect(abs(pass.routings[0].entropy - (0.562335 + 0.693147) / 2) < 1e-5)
  }

  /// Equal logits: perfectly balanced importance must not make NaN gradients (std() would).
  @Test func noNaNAtPerfectBalance() {
    for kind in BalanceTable.names where kind != "entropy" {
      let router = router(k: 1) { config in
        config.balance = kind
        config.balanceWeight = 1
        config.zLossWeight = 1
        config.gateNoise = kind == "importance_load" ? 1 : 0
      }
      router.weight.value.pointer.update(repeating: 0, count: router.weight.count)
      let x = randomTensor([12, 8], seed: 1)
      let tape = Tape(engine, recording: true)
      let pass = ForwardPass(tape, training: true)
      _ = router(x, exclude: nil, block: 0, route: 0, tags: TokenTags(sequences: [0..<12]), pass)
      pass.finishRouting()
      tape.backward()
      #expect(router.weight.gradient.values.allSatisfy { $0.isFinite })
    }
  }

  /// Without a balance loss, the selection bias alone pulls an unbalanced router towards balance.
  @Test func selectionBiasBalances() {
    let router = router(experts: 4, k: 1) { config in
      config.balance = "none"
      config.biasRate = 0.02
    }
    let x = randomTensor([400, 8], seed: 1)
    for t in 0..<400 { x.pointer[t * 8] = 2 }
    func imbalance() -> Double {
      let pass = ForwardPass(Tape(engine, recording: false), training: true)
      _ = router(x, exclude: nil, block: 0, route: 0, pass)
      pass.finishRouting()
      return pass.routings[0].imbalance
    }
    let before = imbalance()
    for _ in 0..<100 {
      _ = imbalance()
      router.afterStep()
    }
    #expect(before > 1.5)
    #expect(imbalance() < 1.2)
  }

  /// With groups, an expert is compared with what those tokens give it that may take it: the biases of a modality with few
  /// tokens neither run away nor leave its experts unbalanced.
  @Test(arguments: ["vision:4,language:2,shared:0", "vision:4,language:2,shared:2"])
  func selectionBiasBalancesGroups(groups: String) throws {
    let count = try ExpertGroups(groups).count
    let router = router(experts: count, k: 1) { config in
      (config.groups, config.balance, config.biasRate) = (groups, "none", 0.01)
    }
    let x = randomTensor([440, 8], seed: 1)
    let kinds = (0..<440).map { Int32($0 < 400 ? 0 : 1) }
    for t in 0..<440 { x.pointer[t * 8] = t < 400 ? 1 : -1 }
    var load = [[Int]]()
    for _ in 0..<400 {
      let pass = ForwardPass(Tape(engine, recording: false), training: true)
      let modalities = TokenModalities(names: ["vision", "language"], of: kinds)
      _ = router(x, exclude: nil, block: 0, route: 0, tags: TokenTags(modalities: modalities), pass)
      pass.finishRouting()
      load = pass.routings[0].modalityLoad
      router.afterStep()
    }
    let bias = try #require(router.selectionBias).values
    #expect(bias.allSatisfy { abs($0) < 1 }, "\(bias)")
    for (own, tokens) in zip(load, [400, 40]) {
      let fair = Double(tokens) / Double(count - (tokens == 400 ? 2 : 4))
      #expect(Double(own.max()!) < 2 * fair, "\(load)")
    }
  }

  /// Exactly balanced experts keep their biases, whatever the numbers of experts: 21 tokens over 7, 15 over 5.
  @Test func balancedGroupsKeepTheirBias() {
    let values = Tensor.zeros([9])
    var bias = SelectionBias(values, rate: 0.5)
    let allowed = [[0, 1, 2, 3, 6, 7, 8], [4, 5, 6, 7, 8]].map { own in (0..<9).map(own.contains) }
    let kinds = Array(repeating: Int32(0), count: 21) + Array(repeating: 1, count: 15)
    let experts = kinds.enumerated().map { t, kind -> Int32 in
      kind == 0 ? [0, 1, 2, 3, 6, 7, 8][t % 7] : [4, 5, 6, 7, 8][t % 5]
    }
    let choice = GateChoice(
      experts: experts, gates: Tensor.zeros([36, 1]), probabilities: Tensor.zeros([36, 9]),
      logSumExp: Tensor.zeros([36]), tokens: 36, expertCount: 9, k: 1)
    var sums = RoutingSums(DispatchPlan(experts: experts, tokens: 36, k: 1, expertCount: 9), experts: 9)
    sums.modalities = ModalitySums(choice, TokenModalities(names: ["vision", "language"], of: kinds))
    bias.add(sums, allowed: allowed)
    bias.update()
    #expect(values.values == Array(repeating: 0, count: 9))
  }

  @Test func uniformIsBalanced() {
    let router = router(experts: 4) { $0.router = "uniform" }
    let pass = ForwardPass(Tape(engine, recording: false), training: true)
    _ = router(randomTensor([10, 8], seed: 1), exclude: nil, block: 0, route: 0, pass)
    pass.finishRouting()
    #expect(pass.routings[0].load == [5, 5, 5, 5])
  }
}
