import MMoEModels
import MMoETensor
import TestSupport
import Testing

/// Router, dispatcher and experts together against the brute-force oracle: output, kept choices, every gradient.
@Suite struct MoEOracleTests {
  struct Case: CustomStringConvertible, Sendable {
    var description: String
    var tokens = 50
    var experts = 4
    var k = 2
    var capacityFactor = 0.0
    var renormalize = true
    var renormalizeSingle = false
    /// Added to the first expert's gate so that it attracts every token.
    var magnet: Float = 0
  }

  static let cases = [
    Case(description: "top-1", k: 1),
    Case(description: "top-1 of weight 1", k: 1, renormalizeSingle: true),
    Case(description: "top-2"),
    Case(description: "top-2 plain", renormalize: false),
    Case(description: "k = E", experts: 3, k: 3),
    Case(description: "one expert", experts: 1, k: 1),
    Case(description: "drops", capacityFactor: 0.5),
    Case(description: "one row an expert", tokens: 8, experts: 8, k: 1, capacityFactor: 0.1),
    Case(description: "many experts", tokens: 30, experts: 64, k: 2),
    Case(description: "all to one", k: 1, magnet: 8),
    Case(description: "more than a tile", tokens: 700, experts: 3, k: 2, capacityFactor: 1.25),
  ]

  let engine = try! Engine(threads: 2)

  @Test(arguments: cases) func matchesOracle(_ c: Case) {
    let (width, hidden) = (10, 14)
    var config = MoEConfig()
    config.experts = c.experts
    config.capacityFactor = c.capacityFactor
    (config.renormalize, config.renormalizeSingle) = (c.renormalize, c.renormalizeSingle)
    config.balance = "none"
    let store = ParameterStore(engine: engine, seed: 3, initStd: 0.4)
    let router = try! Gate(store, "gate", width: width, config: config, k: c.k)
    let experts = Experts(store, "experts", expertSizes(c.experts, width: width, hidden: hidden))
    let x = randomTensor([c.tokens, width], seed: 1)
    if c.magnet != 0 {
      // A constant first feature times a large gate weight: every token prefers expert 0.
      for t in 0..<c.tokens { x.pointer[t * width] = 1 }
      router.weight.value.pointer[0] += c.magnet
    }
    for i in 0..<experts.b1!.count { experts.b1!.value.pointer[i] = Float(i % 5) * 0.1 - 0.2 }
    let dy = randomTensor([c.tokens, width], seed: 2)

    let tape = Tape(engine, recording: true)
    tape.watch(x)
    let pass = ForwardPass(tape, training: true)
    let routing = router(x, exclude: nil, block: 0, route: 0, pass)
    let flight = LocalDispatcher().beginDispatch(x, routing.plan, tape)
    flight.beginCombine(experts(flight.endDispatch(0, tape), tape), 0, tape)
    let y = tape.combineRows(
      flight.endCombine(tape), gates: routing.choice.gates, position: routing.plan.position,
      base: nil)
    tape.innerProduct(y, with: dy)
    tape.backward()

    let oracle = BruteForceMoE(
      experts: c.experts, width: width, hidden: hidden, gate: router.weight.value.values,
      w1: experts.w1.value.values, b1: experts.b1!.value.values, w2: experts.w2.value.values,
      b2: experts.b2!.value.values)
    let expected = oracle.run(
      x: x.values.map(Double.init), dy: dy.values.map(Double.init), k: c.k,
      renormalize: c.k > 1 ? c.renormalize : c.renormalizeSingle, capacity: routing.plan.capacity)

    #expect(routing.choice.experts.map(Int.init) == expected.chosen.flatMap { $0 })
    #expect(routing.plan.position.map { $0 >= 0 } == expected.kept.flatMap { $0 })
    #expect(relativeError(y.values, expected.y) < 2e-6)
    let gradients: [(String, [Float], [Double])] = [
      ("x", x.takeGradient()!.values, expected.gradients.x),
      ("gate", router.weight.gradient.values, expected.gradients.gate),
      ("w1", experts.w1.gradient.values, expected.gradients.w1),
      ("b1", experts.b1!.gradient.values, expected.gradients.b1),
      ("w2", experts.w2.gradient.values, expected.gradients.w2),
      ("b2", experts.b2!.gradient.values, expected.gradients.b2),
    ]
    for (name, found, reference) in gradients {
      // With one expert, or a weight of 1, the gate has no gradient: zero in theory, rounding in both.
      if name == "gate" && (c.experts == 1 || c.renormalizeSingle) {
        #expect(found.allSatisfy { abs($0) < 1e-5 })
        continue
      }
      #expect(relativeError(found, reference) < 1e-5, "\(name)")
    }
  }

  /// With the same weights, one expert is the dense MLP.
  @Test func oneExpertIsDense() {
    let store = ParameterStore(engine: engine, seed: 3, initStd: 0.3)
    let experts = Experts(store, "experts", expertSizes(1, width: 12, hidden: 20))
    let x = randomTensor([33, 12], seed: 1)
    let tape = Tape(engine, recording: false)
    let choice = tape.gate(Tensor.zeros([33, 1]), k: 1, renormalize: false)
    let plan = DispatchPlan(experts: choice.experts, tokens: 33, k: 1, expertCount: 1)
    let flight = LocalDispatcher().beginDispatch(x, plan, tape)
    flight.beginCombine(experts(flight.endDispatch(0, tape), tape), 0, tape)
    let y = tape.combineRows(
      flight.endCombine(tape), gates: choice.gates, position: plan.position, base: nil)
    let dense = tape.feedForward(
      x, offsets: [0, 33], w1: experts.w1, b1: experts.b1, w2: experts.w2, b2: experts.b2)
    #expect(y.values == dense.values)
  }
}

private func expertSizes(_ experts: Int, width: Int, hidden: Int) -> ModelConfig {
  var config = ModelConfig()
  config.width = width
  (config.moe.experts, config.moe.hidden) = (experts, hidden)
  return config
}
