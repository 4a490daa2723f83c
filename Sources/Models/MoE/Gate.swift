import Foundation
import MMoETensor

/// A linear gate in float32 and the router that chooses by its logits.
package final class Gate {
  package var weight: Parameter { weights[0] }
  /// One for all tokens, or one for those of each modality, in the order of the model's.
  private let weights: [Parameter]
  /// `[tasks, choices]`; nil where a gate does not know its task.
  private let taskTable: Parameter?
  private let router: any Router
  private let learns: Bool
  /// Nil = none.
  private let balance: (any BalanceLoss)?
  let config: MoEConfig
  private let k: Int
  /// Nil = every token may take every expert.
  private let groups: ExpertGroups?

  /// - Parameters:
  ///   - config: validated with the model.
  ///   - modalities: of the model, where it has several.
  /// - Throws: `ModelError` for a router or a balance loss that is none, or a buffer that the store refuses.
  package init(
    _ store: ParameterStore, _ path: String, width: Int, config: MoEConfig, k: Int, modalities: [String] = []
  ) throws {
    let names = config.gate == .modality ? modalities.map { ".\($0)" } : [""]
    weights = names.map { store.weight(path + $0 + ".weight", .router, [config.choices, width]) }
    taskTable =
      config.taskRouting
      ? store.table(
        path + ".task", .router, [FusionConfig.Task.allCases.count, config.choices],
        Array(repeating: 0, count: FusionConfig.Task.allCases.count * config.choices), decays: false) : nil
    let kind = try RouterTable.router(config)
    (router, learns) = (try kind.init(store, path, config, k: k), kind.learns)
    // A loss that judges what the router balances by itself may meet tokens without an expert.
    let isJudged = kind.learns && kind.settings.contains(.balance)
    balance = isJudged ? try BalanceTable.loss(config)?.init() : nil
    (self.config, self.k) = (config, k)
    groups = config.groups.flatMap { try? ExpertGroups($0) }
  }

  /// One value a choice, added to the scores for the choice only; nil where the router has none.
  package var selectionBias: Tensor? { router.selectionBias }

  /// Routes `x` `[T, d]`. Its auxiliary losses and its report follow in `ForwardPass.finishRouting`.
  ///
  /// - Parameters:
  ///   - exclude: `[T]`, one expert that each token may not take.
  ///   - block, route: where this is, for noise and reports.
  ///   - parts: that the plan's rows are cut into.
  ///   - queues: of sequences whose tokens may not depend on later ones; nil = all tokens share the queues.
  ///   - tags: what is known of the rows.
  package func callAsFunction(
    _ x: Tensor, exclude: [Int32]?, block: Int, route: Int, parts: RouteParts = .whole, queues: CausalQueues? = nil,
    tags: TokenTags = TokenTags(), _ pass: ForwardPass
  ) -> Routing {
    let tape = pass.tape
    let logits = logits(x, tags.modalities, tape)
    if let taskTable, let tasks = tags.tasks { tape.addTableRows(logits, taskTable, rows: tasks) }
    let allowed = tags.modalities.map { modalities in modalities.names.map(allowedExperts) }
    if groups != nil, let allowed, let modalities = tags.modalities {
      tape.confine(logits, kinds: modalities.of, allowed: allowed)
    }
    let noise = gateNoise(shape: logits.shape, block: block, route: route, tags, pass)
    let noisy = noise.map { tape.add(logits, $0) } ?? logits
    let input = RouterInput(
      logits: noisy, exclude: exclude,
      capacityFactor: pass.isTraining ? config.capacityFactor : config.evalCapacityFactor)
    let decision = decide(input, tape)
    let choice = decision.choice
    let plan = tape.timed("plan") {
      DispatchPlan(
        experts: choice.experts, tokens: choice.tokens, k: choice.k, mostRows: decision.mostRows,
        expertCount: config.experts, identities: config.identityExperts, capacityFactor: decision.capacityFactor,
        priority: config.batchPriority ? bestScores(choice) : nil, parts: parts, queues: queues)
    }
    let call = GatedCall(
      choice: choice, logits: logits, noisyLogits: noisy,
      noise: noise == nil ? 0 : Float(config.gateNoise) / Float(config.choices), tags: tags, allowed: allowed)
    // Balance is one of the global batch: ranks and micro-batches must not matter.
    var sums = RoutingSums(plan, experts: config.choices)
    sums.entropy = decision.entropy
    sums.balance = balance?.measure(call, tape.engine) ?? []
    if let modalities = tags.modalities { sums.modalities = ModalitySums(choice, modalities) }
    if tags.isBlank { sums.vector = sums.vector.map { _ in 0 } }
    pass.begin(PendingCall(gate: self, block: block, route: route, scope: tape.scope, call: call, sums: sums))
    return Routing(choice: choice, plan: plan)
  }

  private func logits(_ x: Tensor, _ modalities: TokenModalities?, _ tape: Tape) -> Tensor {
    func product(_ x: Tensor, _ weight: Parameter) -> Tensor {
      tape.linear(x, weight: weight, dtype: .float32, name: "gate")
    }
    guard weights.count > 1, let modalities else { return product(x, weight) }
    var sum: Tensor?
    for (kind, weight) in weights.enumerated() {
      let rows = modalities.of.indices.filter { modalities.of[$0] == kind }.map(Int32.init)
      let own = tape.placeRows(product(tape.selectRows(x, rows), weight), at: rows, of: x.rows)
      sum = sum.map { tape.add($0, own) } ?? own
    }
    return sum!
  }

  /// Adds the balance and z-losses of one call to the objective.
  ///
  /// - Parameter sums: of the step's whole batch.
  fileprivate func auxiliaryLosses(_ call: GatedCall, _ sums: RoutingSums, _ pass: ForwardPass) -> [String: Float] {
    guard learns else { return [:] }
    if call.tags.isBlank {
      // A part of the batch without a token.
      return (balance == nil ? [:] : ["balance": 0]).merging(config.zLossWeight > 0 ? ["z_loss": 0] : [:]) { $1 }
    }
    var auxiliary: [String: Float] = [:]
    auxiliary["balance"] = balance?.add(
      call, sums, parts: pass.summedParts, weight: Float(config.balanceWeight) * pass.lossWeight, pass.tape)
    if config.zLossWeight > 0 {
      auxiliary["z_loss"] = pass.tape.routerZLoss(
        call.choice, tokens: sums.tokens / Double(pass.summedParts),
        weight: Float(config.zLossWeight) * pass.lossWeight)
    }
    return auxiliary
  }

  fileprivate func observe(_ sums: RoutingSums, allowed: [[Bool]]?) { router.observe(sums, allowed: allowed) }

  /// Parameters on which nothing depends.
  var unreached: [Parameter] { learns ? [] : weights + [taskTable].compactMap { $0 } }

  /// Moves the router's state. Called once after each optimizer step.
  package func afterStep() {
    if weights.contains(where: { !$0.isFrozen }) { router.afterStep() }
  }

  private func decide(_ input: RouterInput, _ tape: Tape) -> RouterDecision {
    do {
      let decision = try router.choose(input, tape)
      try decision.require(input.logits, router: config.router)
      return decision
    } catch {
      // A router from outside of the package: the pass goes on, and whoever began it throws.
      tape.fail(error)
      return .void(input.logits, k: k)
    }
  }

  /// Whether tokens of a modality may take each choice.
  private func allowedExperts(_ modality: String) -> [Bool] {
    let own = groups?.allowed(modality) ?? Array(repeating: true, count: config.experts)
    // Identity experts are open to all.
    return own + Array(repeating: true, count: config.identityExperts)
  }

  private func gateNoise(
    shape: [Int], block: Int, route: Int, _ tags: TokenTags, _ pass: ForwardPass
  ) -> Tensor? {
    guard learns, pass.isTraining, config.gateNoise > 0 else { return nil }
    let random = CounterRandom(
      seed: pass.seed, purpose: .gateNoise, a: UInt64(pass.step), b: UInt64(block * 8 + route))
    let noise = Tensor(uninitialized: shape)
    let scale = Float(config.gateNoise) / Float(config.choices)
    // Numbered by the token's place in the step's whole batch.
    let (tokens, choices, first) = (noise.rows, noise.columns, pass.part.index * noise.rows)
    for t in 0..<tokens {
      let place = (tags.places?.rows[t] ?? UInt64(first + t)) &* UInt64(choices)
      for e in 0..<choices { noise.pointer[t * choices + e] = scale * random.normal(place &+ UInt64(e)) }
    }
    return noise
  }

  private func bestScores(_ choice: GateChoice) -> [Float] {
    (0..<choice.tokens).map { t in choice.scores.pointer[t * config.choices + Int(choice.experts[t * choice.k])] }
  }
}

/// A gate's call whose sums are under way.
private struct PendingCall: PendingRouting {
  let gate: Gate
  let block, route: Int
  /// Of the tape, where the gate ran.
  let scope: String
  let call: GatedCall
  /// Of this rank.
  let sums: RoutingSums

  var vector: [Double] { sums.vector }

  func finish(_ totals: [Double], _ pass: ForwardPass) {
    var sums = sums
    sums.vector = totals
    if let step = pass.stepRouting, step.isCounting { return step.add(sums, block: block, route: route) }
    let whole = pass.stepRouting?.sums(block: block, route: route) ?? sums
    let place = pass.tape.scope
    pass.tape.scope = scope
    defer { pass.tape.scope = place }
    let auxiliary = pass.tape.timed("balance") { gate.auxiliaryLosses(call, whole, pass) }
    if pass.isTraining { gate.observe(sums, allowed: call.allowed) }
    pass.routings.append(sums.report(block: block, route: route, auxiliary: auxiliary))
  }
}
