import MMoEParallel
import MMoETensor

@testable import MMoEModels

/// Sigmoid scores with groups, a bias that moves, a scaling factor, and a balance loss of each sequence: the same as one rank.
func checkRouters(_ bench: Bench) throws {
  for variant in ["top2", "scmoe"] {
    var config = bench.config(variant)
    (config.moe.router, config.moe.zLossWeight, config.moe.balance) = ("sigmoid", 0, "sequence")
    (config.moe.experts, config.moe.groupCount, config.moe.groupLimit) = (8, 4, 2)
    (config.moe.routeScale, config.moe.biasRate, config.moe.balanceWeight) = (2.5, 0.001, 0.1)
    let alone = try bench.train(config, team: nil, steps: 10)
    for overlap in [OverlapStrategy.shortcut, .pipelined(2)] {
      let together = try bench.train(config, team: bench.team(config, overlap), steps: 10)
      compare(bench, "sigmoid \(variant) \(overlap)", together, alone)
    }
  }
  try checkExpertChoice(bench)
}

/// Experts choose among the tokens of a rank's part: every rank's outputs and gradients are those of its part on one rank.
private func checkExpertChoice(_ bench: Bench) throws {
  var config = bench.config("scmoe")
  (config.kind, config.moe.router, config.moe.balance) = (.vit, "expert_choice", "none")
  (config.moe.capacityFactor, config.moe.evalCapacityFactor, config.stochasticDepth) = (1.3, 1, 0)
  let tokens = 24
  let team = try bench.team(config, .shortcut)
  func run(_ dispatcher: any Dispatcher, _ coordinator: RankTeam?, rank: Int) throws -> (Tensor, Tensor, [Parameter]) {
    let store = ParameterStore(engine: bench.engine, seed: 3, initStd: 0.2)
    let backbone = try Backbone(store, config: config, causal: false, dispatcher: dispatcher)
    let random = CounterRandom(seed: 5, purpose: .test, a: UInt64(rank))
    let (x, dy) = (Tensor(uninitialized: [tokens, config.width]), Tensor(uninitialized: [tokens, config.width]))
    for i in 0..<x.count {
      x.pointer[i] = random.normal(UInt64(i))
      dy.pointer[i] = random.normal(UInt64(x.count + i))
    }
    let tape = Tape(bench.engine, recording: true)
    tape.watch(x)
    let y = backbone(x, sequence: 6, ForwardPass(tape, training: true, seed: UInt64(rank), coordinator: coordinator))
    tape.innerProduct(y, with: dy)
    tape.backward()
    return (y, x.gradient!, store.parameters)
  }
  // Noise is numbered by the place in the whole batch.
  config.moe.gateNoise = 0
  let (y, dX, parameters) = try run(team.dispatcher, team, rank: bench.world.rank)
  let (expectedY, expectedDX, _) = try run(LocalDispatcher(), nil, rank: bench.world.rank)
  for (what, found, expected) in [("output", y, expectedY), ("gradient", dX, expectedDX)] {
    let difference = relativeDifference(found.values[...], expected.values[...])
    bench.require(difference < 1e-5, "expert choice: \(what) differs by \(difference)")
  }
  // An expert's gradient is the sum over all ranks' parts.
  let parts = try (0..<bench.world.size).map { try run(LocalDispatcher(), nil, rank: $0).2 }
  for (index, own) in parameters.enumerated() {
    guard let share = own.experts else { continue }
    var sum = [Float](repeating: 0, count: parts[0][index].count)
    for part in parts { for (i, value) in part[index].gradient.values.enumerated() { sum[i] += value } }
    let size = sum.count / share.total
    let difference = relativeDifference(
      own.gradient.values[...], sum[share.local.lowerBound * size..<share.local.upperBound * size])
    bench.require(difference < 1e-4, "expert choice: gradient of \(own.path) differs by \(difference)")
  }
}
