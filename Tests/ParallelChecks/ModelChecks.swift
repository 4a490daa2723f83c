import MMoEModels
import MMoEParallel
import MMoETensor

/// Any number of ranks computes what one does on the same global batch: losses to 1e-5, every gradient to 1e-4 relative,
/// over ten steps, for every variant.
func checkRanks(_ bench: Bench) throws {
  let variants: [(String, Int)] = [
    ("top1", 2), ("top2", 2), ("shared", 2), ("scmoe", 1), ("scmoe", 2), ("scmoe", 3), ("scmoe2", 2),
    ("dgmoe", 2),
  ]
  for (variant, position) in variants {
    let config = bench.config(variant, position: position)
    for group in Set([bench.world.size, max(1, bench.world.size / 2)]).sorted() {
      let alone = try bench.train(config, team: nil, steps: 10)
      let together = try bench.train(
        config, team: bench.team(config, .shortcut, group: group), steps: 10)
      compare(bench, "\(variant) position \(position) group \(group)", together, alone)
    }
  }
}

/// The same with a bank that two layers share, sources three blocks back, and identity experts.
func checkBanksAndSources(_ bench: Bench) throws {
  var shared = bench.config("dgmoe")
  shared.moe.bankLayers = 2
  var far = bench.config("hierarchical")
  (far.moe.sources, far.moe.first) = ([.position2, RouteSource("3:attention")!], 3)
  var identities = bench.config("scmoe")
  identities.moe.identityExperts = 2
  for (what, config) in [("one bank", shared), ("far sources", far), ("identities", identities)] {
    let alone = try bench.train(config, team: nil, steps: 10)
    for overlap in [OverlapStrategy.shortcut, .pipelined(2)] {
      for group in Set([bench.world.size, max(1, bench.world.size / 2)]).sorted() {
        let together = try bench.train(config, team: bench.team(config, overlap, group: group), steps: 10)
        compare(bench, "\(what) \(overlap) group \(group)", together, alone)
      }
    }
  }
}

/// Tokens of all ranks go to the experts of one, which leaves the others without any.
func checkUneven(_ bench: Bench) throws {
  for (variant, magnet) in [("top1", Float(5)), ("scmoe", 5), ("top2", 5)] {
    var config = bench.config(variant)
    config.moe.gateNoise = 0
    let alone = try bench.train(config, team: nil, steps: 4, magnet: magnet)
    let most = alone.auxiliary.max()!
    bench.require(
      most == Double(Bench.sequences * config.text.context),
      "\(variant): the largest load is \(most): routing is not uneven")
    for overlap in [OverlapStrategy.shortcut, .pipelined(3)] {
      let together = try bench.train(
        config, team: bench.team(config, overlap), steps: 4, magnet: magnet)
      compare(bench, "\(variant) uneven \(overlap)", together, alone)
    }
  }
}

/// Loads, balance and gradients of accumulated micro-batches: those of one rank, and those of one pass over the whole batch.
func checkAccumulation(_ bench: Bench) throws {
  var config = bench.config("scmoe")
  for balance in ["all_choices", "first_choice", "importance_load", "sequence"] {
    config.moe.balance = balance
    config.moe.balanceWeight = 0.1
    let alone = try bench.train(config, team: nil, steps: 4, accumulation: 2)
    // Noise and stochastic depth are numbered by the place in the step.
    var whole = try bench.train(config, team: nil, steps: 4)
    // Loads are reported for every micro-batch.
    whole.auxiliary = alone.auxiliary
    compare(bench, "micro-batches, balance \(balance)", alone, whole)
    let together = try bench.train(
      config, team: bench.team(config, .shortcut), steps: 4, accumulation: 2)
    compare(bench, "accumulation, balance \(balance)", together, alone)
  }
}

func compare(
  _ bench: Bench, _ what: String, _ found: Bench.Run, _ expected: Bench.Run, tolerance: Double = 1e-4
) {
  for step in expected.losses.indices {
    let (a, b) = (found.losses[step], expected.losses[step])
    bench.require(abs(a - b) < 1e-5, "\(what): loss of step \(step) is \(a), \(b) on one rank")
    let (c, d) = (found.norms[step], expected.norms[step])
    bench.require(
      abs(c - d) < tolerance * d, "\(what): gradient norm of step \(step) is \(c), \(d) on one rank")
  }
  bench.require(found.auxiliary == expected.auxiliary, "\(what): loads differ from one rank's")
  bench.require(found.gradients.count == expected.gradients.count, "\(what): other gradients")
  for (own, whole) in zip(found.gradients, expected.gradients) {
    var reference = whole.values[...]
    if let share = own.parameter.experts, own.values.count < whole.values.count {
      let size = whole.values.count / share.total
      reference = whole.values[share.local.lowerBound * size..<share.local.upperBound * size]
    }
    // The bias of the keys has a gradient of zero in exact arithmetic.
    if own.parameter.path.hasSuffix("qkv.bias") { continue }
    let difference = relativeDifference(own.values[...], reference)
    bench.require(
      difference < tolerance, "\(what): gradient of \(own.parameter.path) differs by \(difference)")
  }
}

/// Overlap changes when something runs, never the result: the same bits for all strategies that sum in the same order.
func checkStrategies(_ bench: Bench) throws {
  for variant in ["top2", "shared", "scmoe", "scmoe2", "dgmoe"] {
    for position in variant == "scmoe" ? [1, 2, 3] : [2] {
      let config = bench.config(variant, position: position)
      let reference = try bench.train(config, team: bench.team(config, .sequential), steps: 8)
      // Two parts of two experts leave every expert's rows together.
      let keepsSums: [OverlapStrategy] =
        bench.world.size == 2 ? [.shortcut, .pipelined(2), .shortcutPipelined(2)] : [.shortcut]
      for overlap in keepsSums + [.auto] where overlap != .auto || variant != "dgmoe" {
        let team = try bench.team(config, overlap)
        let run = try bench.train(config, team: team, steps: 8)
        bench.require(team.hasDecidedOverlap, "\(overlap): nothing was decided after 8 steps")
        bench.require(run.losses == reference.losses, "\(variant) \(overlap): other losses")
        for (a, b) in zip(run.gradients, reference.gradients) {
          bench.require(
            a.values == b.values, "\(variant) \(overlap): gradient of \(a.parameter.path) has other bits")
        }
      }
      for overlap in [OverlapStrategy.pipelined(3), .pipelined(5), .shortcutPipelined(3)] {
        let run = try bench.train(config, team: bench.team(config, overlap), steps: 8)
        // Other sums, and eight steps of Adam between them.
        compare(bench, "\(variant) \(overlap)", run, reference, tolerance: 1e-3)
      }
    }
  }
}

/// The same losses and gradients over a link that holds rows back, under strategies that leave rows in flight for long.
func checkPaced(_ bench: Bench) throws {
  let paced = bench.world.duplicate()
  paced.pace(by: try LinkModel(rate: "50mbit", latency: "200us"))
  for (variant, overlap) in [
    ("top2", OverlapStrategy.sequential), ("top2", .pipelined(2)), ("scmoe", .shortcut), ("dgmoe", .shortcut),
  ] {
    let config = bench.config(variant)
    let reference = try bench.train(config, team: bench.team(config, overlap), steps: 3)
    let run = try bench.train(config, team: bench.team(config, overlap, over: paced), steps: 3)
    bench.require(run.losses == reference.losses, "\(variant) \(overlap): other losses over a paced link")
    for (a, b) in zip(run.gradients, reference.gradients) {
      bench.require(a.values == b.values, "\(variant) \(overlap): gradient of \(a.parameter.path) has other bits")
    }
  }
}
