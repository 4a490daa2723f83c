import Foundation
import MMoETensor

/// A linear gate in float32 with softmax over all experts and top-k choice.
package final class Router {
  package let weight: Parameter
  /// `[tasks, choices]`; nil where a gate does not know its task.
  private let taskTable: Parameter?
  /// Nil where `moe.bias_rate` is 0.
  private var balancing: SelectionBias?
  let config: MoEConfig
  /// Nil = every token may take every expert.
  private let groups: ExpertGroups?
  let k: Int

  package init(_ store: ParameterStore, _ path: String, width: Int, config: MoEConfig, k: Int) {
    weight = store.weight(path + ".weight", .router, [config.choices, width])
    taskTable =
      config.taskRouting
      ? store.table(
        path + ".task", .router, [FusionConfig.Task.allCases.count, config.choices],
        Array(repeating: 0, count: FusionConfig.Task.allCases.count * config.choices), decays: false) : nil
    balancing =
      config.biasRate > 0
      ? SelectionBias(store.buffer(path + ".selection_bias", count: config.choices), rate: config.biasRate) : nil
    self.config = config
    // Validated with the model.
    groups = config.groups.flatMap { try? ExpertGroups($0) }
    self.k = k
  }

  /// One value a choice, added to the probabilities for the choice only; moves towards balance when `moe.bias_rate` > 0.
  package var selectionBias: Tensor? { balancing?.values }

  /// Routes `x` `[T, d]`.
  ///
  /// - Parameters:
  ///   - exclude: `[T]`, one expert that each token may not take.
  ///   - block, route: where this is, for noise and reports.
  ///   - parts: that the plan's rows are cut into.
  ///   - queues: of sequences whose tokens may not depend on later ones; nil = all tokens share the queues.
  package func callAsFunction(
    _ x: Tensor, exclude: [Int32]?, block: Int, route: Int, parts: RouteParts = .whole, queues: CausalQueues? = nil,
    _ pass: ForwardPass
  ) -> Routing {
    let tape = pass.tape
    let logits = tape.linear(x, weight: weight, dtype: .float32, name: "gate")
    if let taskTable, let tasks = pass.tasks { tape.addTableRows(logits, taskTable, rows: tasks) }
    let allowed = pass.modalities.map { modalities in modalities.names.map(allowedExperts) }
    if groups != nil, let allowed, let modalities = pass.modalities {
      tape.confine(logits, kinds: modalities.of, allowed: allowed)
    }
    if config.routing == .uniform {
      return uniform(logits, exclude: exclude, block: block, route: route, parts: parts, pass)
    }
    let noise = gateNoise(shape: logits.shape, block: block, route: route, pass)
    let noisy = noise.map { tape.add(logits, $0) } ?? logits
    let choice = tape.gate(
      noisy, k: k, renormalise: config.renormalises(k),
      selectionBias: selectionBias?.values, exclude: exclude)
    let factor = pass.isTraining ? config.capacityFactor : config.evalCapacityFactor
    let plan = tape.timed("plan") {
      DispatchPlan(
        experts: choice.experts, tokens: choice.tokens, k: k, expertCount: config.experts,
        identities: config.identityExperts, capacityFactor: factor,
        priority: config.batchPriority ? bestProbabilities(choice) : nil, parts: parts, queues: queues)
    }
    let deviation = noise == nil ? 0 : Float(config.gateNoise) / Float(config.choices)
    let spread =
      config.balance == .importanceLoad
      ? ExpectedLoad(choice, logits: logits, noisyLogits: noisy, noise: deviation, tape.engine) : nil
    // Balance is one of the global batch: ranks and micro-batches must not matter.
    var sums = RoutingSums(plan, experts: config.choices)
    sums.firstChoices = config.balance == .firstChoice ? firstChoices(choice) : []
    sums.entropy = tape.timed("entropy") { meanEntropy(choice, logits: noisy, tape) * Double(choice.tokens) }
    sums.importance = spread?.importance ?? []
    sums.expectedLoad = spread?.load ?? []
    if let modalities = pass.modalities { sums.modalities = ModalitySums(choice, modalities) }
    pass.sum(sums.vector) { [self] totals in
      sums.vector = totals
      if let step = pass.stepRouting, step.isCounting { return step.add(sums, block: block, route: route) }
      let whole = pass.stepRouting?.sums(block: block, route: route) ?? sums
      let auxiliary = pass.tape.timed("balance") {
        auxiliaryLosses(choice, sums: whole, spread: spread, allowed: allowed, pass)
      }
      if pass.isTraining { balancing?.add(sums, allowed: allowed) }
      pass.routings.append(sums.report(block: block, route: route, auxiliary: auxiliary))
    }
    return Routing(choice: choice, plan: plan)
  }

  /// Adds the balance and z-losses of one call to the objective.
  ///
  /// - Parameter sums: of the step's whole batch.
  private func auxiliaryLosses(
    _ choice: GateChoice, sums: RoutingSums, spread: ExpectedLoad?, allowed: [[Bool]]?, _ pass: ForwardPass
  ) -> [String: Float] {
    var auxiliary: [String: Float] = [:]
    let tokens = sums.tokens / Double(pass.summedParts)
    let weight = Float(config.balanceWeight) * pass.lossWeight
    switch config.balance {
    case .none: break
    case .allChoices, .entropy:
      if let modalities = pass.modalities, let allowed {
        auxiliary["balance"] = pass.tape.modalityBalanceLoss(
          config.balance, choice, modalities, sums: sums.modalities, allowed: allowed.map { $0.count { $0 } },
          weight: weight, parts: pass.summedParts)
      } else {
        auxiliary["balance"] = pass.tape.balanceLoss(choice, tokens: tokens, load: sums.load, weight: weight)
      }
    case .firstChoice:
      auxiliary["balance"] = pass.tape.balanceLoss(choice, tokens: tokens, load: sums.firstChoices, weight: weight)
    case .importanceLoad:
      auxiliary["balance"] = spread.map {
        pass.tape.importanceLoadLoss(
          $0, importance: sums.importance, load: sums.expectedLoad, weight: weight,
          parts: pass.summedParts)
      }
    }
    if config.zLossWeight > 0 {
      auxiliary["z_loss"] = pass.tape.routerZLoss(
        choice, tokens: tokens, weight: Float(config.zLossWeight) * pass.lossWeight)
    }
    return auxiliary
  }

  /// Parameters on which nothing depends.
  var unreached: [Parameter] { config.routing == .uniform ? [weight] + [taskTable].compactMap { $0 } : [] }

  /// Moves the selection bias one step towards the underloaded experts. Called once after each optimizer step.
  package func updateSelectionBias() {
    if !weight.isFrozen { balancing?.update() }
  }

  /// Whether tokens of a modality may take each choice.
  private func allowedExperts(_ modality: String) -> [Bool] {
    let own = groups?.allowed(modality) ?? Array(repeating: true, count: config.experts)
    // Identity experts are open to all.
    return own + Array(repeating: true, count: config.identityExperts)
  }

  private func gateNoise(
    shape: [Int], block: Int, route: Int, _ pass: ForwardPass
  ) -> Tensor? {
    guard pass.isTraining, config.gateNoise > 0 else { return nil }
    let random = CounterRandom(
      seed: pass.seed, purpose: .gateNoise, a: UInt64(pass.step), b: UInt64(block * 8 + route))
    let noise = Tensor(uninitialised: shape)
    let scale = Float(config.gateNoise) / Float(config.choices)
    // Numbered by the token's place in the step's whole batch.
    let (tokens, choices, first) = (noise.rows, noise.columns, pass.part.index * noise.rows)
    for t in 0..<tokens {
      let place = (pass.places?.rows[t] ?? UInt64(first + t)) &* UInt64(choices)
      for e in 0..<choices { noise.pointer[t * choices + e] = scale * random.normal(place &+ UInt64(e)) }
    }
    return noise
  }

  private func uniform(
    _ logits: Tensor, exclude: [Int32]?, block: Int, route: Int, parts: RouteParts, _ pass: ForwardPass
  ) -> Routing {
    let (tokens, count) = (logits.rows, config.choices)
    let experts = (0..<tokens * k).map { pair in
      let expert = Int32(pair % count)
      return exclude?[pair / k] == expert ? (expert + 1) % Int32(count) : expert
    }
    let flat = Tensor(repeating: 1 / Float(count), shape: [tokens, count])
    let choice = GateChoice(
      experts: experts, gates: Tensor(repeating: 1 / Float(k), shape: [tokens, k]),
      probabilities: flat, logSumExp: Tensor.zeros([tokens]), tokens: tokens, expertCount: count,
      k: k)
    let plan = DispatchPlan(
      experts: experts, tokens: tokens, k: k, expertCount: config.experts,
      identities: config.identityExperts, parts: parts)
    var sums = RoutingSums(plan, experts: count)
    sums.entropy = log(Double(count)) * Double(tokens)
    pass.sum(sums.vector) { totals in
      sums.vector = totals
      pass.routings.append(sums.report(block: block, route: route, auxiliary: [:]))
    }
    return Routing(choice: choice, plan: plan)
  }

  private func firstChoices(_ choice: GateChoice) -> [Double] {
    var load = [Double](repeating: 0, count: config.choices)
    for t in 0..<choice.tokens { load[Int(choice.experts[t * k])] += 1 }
    return load
  }

  private func bestProbabilities(_ choice: GateChoice) -> [Float] {
    (0..<choice.tokens).map { t in
      choice.probabilities.pointer[t * config.choices + Int(choice.experts[t * k])]
    }
  }

  /// Entropy of a softmax is log-sum-exp − Σ p z: no logarithm a probability.
  private func meanEntropy(_ choice: GateChoice, logits: Tensor, _ tape: Tape) -> Double {
    let expected = tape.engine.dot(choice.probabilities, logits)
    var total = 0.0
    for t in 0..<choice.tokens { total += Double(choice.logSumExp.pointer[t]) }
    return (total - expected) / Double(max(choice.tokens, 1))
  }
}
