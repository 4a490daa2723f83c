import MMoETensor

/// A route that has left: gated and dispatched.
final class RouteInFlight {
  enum Stage {
    case dispatched, computed
    case returned(Tensor)
  }

  let normed: Tensor
  let routing: Routing
  let flight: any RouteFlight
  let schedule: RouteSchedule
  fileprivate(set) var stage = Stage.dispatched
  /// Operators of the backbone that have run since the departure.
  fileprivate(set) var operatorsPassed = 0

  init(normed: Tensor, routing: Routing, flight: any RouteFlight, schedule: RouteSchedule) {
    self.normed = normed
    self.routing = routing
    self.flight = flight
    self.schedule = schedule
  }
}

/// The mixture-of-experts part of a block: gates, experts, shared expert and how they are joined, as the variant's
/// value says. The shortcut is visible as call order: `begin` runs when a route's source exists, `operatorDone` after
/// every operator of the backbone until the route's slot has come, `finish` at the end of the block.
public final class MoELayer {
  package let variant: MoEVariant
  let config: MoEConfig
  let block: Int
  let width: Int
  private let gates: [Gate]
  package let experts: Experts
  private let shared: FeedForward?
  /// One a route; nil where the source has a normed form.
  private let shortcutNorms: [Norm?]
  private let postNorm: Norm?
  private let coefficient: Parameter?
  private let dispatcher: any Dispatcher

  init(
    _ store: ParameterStore, _ path: String, model: ModelConfig, block: Int,
    variant: MoEVariant, bank: Experts?, dispatcher: any Dispatcher
  ) throws {
    config = model.moe
    let local = dispatcher.localExperts(of: config.experts)
    // Experts of several widths live in one process.
    let isWhole = local == 0..<config.experts
    guard local.lowerBound >= 0, local.upperBound <= config.experts, !local.isEmpty,
      isWhole || model.expertStacks.count == 1
    else {
      throw ModelError(
        field: "the dispatcher's share of \(config.experts) experts",
        found: "\(local.lowerBound) to \(local.upperBound - 1)",
        expected: model.expertStacks.count == 1 ? "some of them" : "all of them, which have several widths")
    }
    self.variant = variant
    self.block = block
    width = model.width
    var gates: [Gate] = []
    for (index, route) in variant.routes.enumerated() {
      if index > 0 && config.oneGate {
        gates.append(gates[0])
      } else {
        let name = index == 0 ? ".gate" : ".gate\(index + 1)"
        gates.append(
          try Gate(store, path + name, width: width, config: config, k: route.k, modalities: model.fusion.modalities))
      }
    }
    self.gates = gates
    experts =
      bank
      ?? Experts(store, path + ".experts", model, local: local)
    self.dispatcher = dispatcher.dispatcher(forBank: experts.path)
    shared =
      variant.sharedExpert
      ? FeedForward(store, path + ".shared", model) : nil
    shortcutNorms = variant.routes.enumerated().map { index, route in
      guard route.source != .current, model.moe.shortcutNorm == .own else { return nil }
      return Norm(store, path + (index == 0 ? ".shortcut_norm" : ".shortcut_norm\(index + 1)"), model)
    }
    postNorm =
      config.postNorm ? Norm(store, path + ".post_norm", model) : nil
    coefficient =
      config.combine == .add
      ? nil
      : store.weight(path + ".coefficient.weight", .router, [config.combine == .cg1 ? 1 : 2, width])
  }

  /// Norm, gate and the start of the dispatch of one route.
  ///
  /// - Parameters:
  ///   - source: the state that the route's value names.
  ///   - earlier: the routes begun before it, whose first choices a constrained route avoids.
  ///   - queues: of sequences whose tokens may not depend on later ones; nil = all tokens share the queues.
  ///   - tags: what the gate is told about the rows.
  func begin(
    _ index: Int, from source: BlockState, earlier: [RouteInFlight], queues: CausalQueues?, _ tags: TokenTags,
    _ pass: ForwardPass
  ) -> RouteInFlight {
    let route = variant.routes[index]
    let schedule = pass.schedule(block: block, route: index)
    let place = pass.tape.scope
    pass.tape.scope = "blocks.\(block)"
    defer { pass.tape.scope = place }
    let path = StreamPath.route(block: block, index: index, blocksBack: route.source.blocksBack)
    let normed = norm(pass.view(of: source, along: path), of: index, pass.tape)
    let exclude = route.avoidsPreviousRoute ? earlier[index - 1].routing.choice.experts : nil
    if schedule.parts < 1 {
      pass.tape.fail(ModelError(field: "the parts of a route", found: "\(schedule.parts)", expected: "at least 1"))
    }
    let parts = RouteParts(max(schedule.parts, 1), expertsOfRank: dispatcher.localExperts(of: config.experts).count)
    let routing = gates[index](
      normed, exclude: exclude, block: block, route: index, parts: parts, queues: queues, tags: tags, pass)
    pass.observer?.routed(
      ObservedCall(
        block: block, route: index, source: source.place, normed: normed, routing: routing,
        selectionBias: gates[index].selectionBias?.values))
    let flight = dispatcher.beginDispatch(normed, routing.plan, pass.tape)
    return RouteInFlight(normed: normed, routing: routing, flight: flight, schedule: schedule)
  }

  /// Runs the experts of those routes whose slot is here.
  func computeDue(_ routes: [RouteInFlight], _ tape: Tape) {
    for (index, route) in routes.enumerated() where route.operatorsPassed >= route.schedule.slot {
      // In the order of the routes: they add to the same experts' gradients.
      for earlier in routes[...index] { compute(earlier, tape) }
    }
  }

  /// Notes that an operator of the backbone has run, and runs the experts of those routes whose slot has come.
  func operatorDone(_ routes: [RouteInFlight], _ tape: Tape) {
    for route in routes { route.operatorsPassed += 1 }
    computeDue(routes, tape)
  }

  private func compute(_ route: RouteInFlight, _ tape: Tape) {
    guard case .dispatched = route.stage else { return }
    let place = tape.scope
    tape.scope = "blocks.\(block)"
    defer { tape.scope = place }
    for partIndex in 0..<route.flight.plan.parts.count {
      let arrived = route.flight.endDispatch(partIndex, tape)
      guard fits(arrived) else { return fail(route, "gave experts rows of shape \(arrived.rows.shape)", tape) }
      route.flight.beginCombine(experts(arrived, tape), partIndex, tape)
    }
    route.stage = .computed
    if route.schedule.awaitsAtOnce { _ = awaitOutputs(route, tape) }
  }

  private func awaitOutputs(_ route: RouteInFlight, _ tape: Tape) -> Tensor {
    compute(route, tape)
    if case .returned(let rows) = route.stage { return rows }
    let rows = route.flight.endCombine(tape)
    if rows.columns == width, rows.rows >= route.routing.plan.rows {
      route.stage = .returned(rows)
    } else {
      fail(route, "brought back rows of shape \(rows.shape)", tape)
    }
    return awaitOutputs(route, tape)
  }

  /// Whether a dispatcher's rows are those of the experts here.
  private func fits(_ input: ExpertRows) -> Bool {
    let experts = dispatcher.localExperts(of: config.experts).count
    return input.rows.columns == width && input.offsets.count == experts + 1 && input.offsets[0] == 0
      && zip(input.offsets, input.offsets.dropFirst()).allSatisfy(<=) && input.offsets[experts] <= input.rows.rows
  }

  /// A dispatcher from outside of the package did wrong: the pass goes on without a number, and whoever began it throws.
  private func fail(_ route: RouteInFlight, _ what: String, _ tape: Tape) {
    tape.fail(
      ModelError(
        field: "a dispatcher", found: "one that \(what)",
        expected: "rows of \(width) numbers, in the order of the experts here, as many as the plan has"))
    route.stage = .returned(Tensor(repeating: .nan, shape: [max(route.routing.plan.mostRows, 1), width]))
  }

  /// Experts, combine and the shared expert: the block's output `[T, d]`.
  ///
  /// - Parameters:
  ///   - current: the state after attention.
  ///   - branchScales: stochastic depth, one factor a sample; nil = keep all.
  ///   - operatorDone: to be called after the shared expert, which routes into later blocks hide behind as well.
  func finish(
    _ routes: [RouteInFlight], current: BlockState, branchScales: [Float]?, _ pass: ForwardPass,
    operatorDone: () -> Void
  ) -> Tensor {
    let tape = pass.tape
    let h = pass.value(of: current, along: .residual)
    func runShared(residual: Tensor?) -> Tensor? {
      guard let shared else { return nil }
      let u = pass.view(of: current, along: .sharedExpert).normed!
      let output = shared(u, tape, residual: residual, name: "shared expert")
      operatorDone()
      return output
    }
    func addRoutes(to base: Tensor?) -> Tensor {
      for route in routes { compute(route, tape) }
      var sum = base
      for route in routes {
        sum = tape.combineRows(
          awaitOutputs(route, tape), gates: route.routing.choice.gates,
          position: route.routing.plan.position, base: sum)
        if config.identityExperts > 0 {
          sum = tape.identityExperts(route.normed, route.routing.choice, first: config.experts, base: sum!)
        }
      }
      return sum!
    }
    // The common case adds everything to the residual stream in place of separate sums.
    if config.combine == .add && postNorm == nil && branchScales == nil {
      return addRoutes(to: runShared(residual: h) ?? h)
    }
    var joined: Tensor
    if let coefficient, let dense = runShared(residual: nil) {
      let z =
        config.coefficientInput == .routed
        ? routes[0].normed : pass.view(of: current, along: .coefficient).normed!
      joined = tape.coefficientGate(
        config.combine, shared: dense, routed: addRoutes(to: nil), z: z, weight: coefficient)
    } else {
      joined = addRoutes(to: runShared(residual: nil))
    }
    if let postNorm { joined = postNorm(joined, tape) }
    if let branchScales { joined = tape.scaleRows(joined, scales: branchScales) }
    return tape.add(h, joined)
  }

  /// Parameters on which nothing depends.
  var unreached: [Parameter] { gates.flatMap(\.unreached) }

  /// Moves the routers' state; called after each optimizer step.
  public func afterStep() {
    for (index, gate) in gates.enumerated() where index == 0 || !config.oneGate { gate.afterStep() }
  }

  private func norm(_ source: BlockState, of route: Int, _ tape: Tape) -> Tensor {
    if variant.routes[route].source == .current { return source.normed! }
    if let own = shortcutNorms[route] { return own(source.value, tape) }
    // LongCat-Flash: the tensor that the preceding block's MLP reads, where it is the same state.
    return source.normed ?? source.norm?(source.value, tape) ?? source.value
  }
}
