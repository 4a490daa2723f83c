import MMoETensor

/// A state of the residual stream, with its normed form where a dense MLP has already computed it.
public struct BlockState {
  public let value: Tensor
  public let normed: Tensor?
  /// The second norm of the block that the state belongs to; nil for the embedding's output.
  let norm: Norm?
}

/// A route that has left: gated and dispatched, its experts not yet computed.
struct RouteInFlight {
  let normed: Tensor
  let routing: Routing
  let flight: DispatchInFlight
}

/// The mixture-of-experts part of a block: gates, experts, shared expert and how they are joined, as the variant's
/// value says. The shortcut is visible as call order: `begin` runs when a route's source exists, `finish` at the
/// end of the block.
package final class MoELayer {
  package let variant: MoEVariant
  let config: MoEConfig
  let block: Int
  private let routers: [Router]
  package let experts: Experts
  private let shared: FeedForward?
  private let shortcutNorm: Norm?
  private let postNorm: Norm?
  private let coefficient: Parameter?
  private let dispatcher: any Dispatcher

  init(
    _ store: ParameterStore, _ path: String, model: ModelConfig, block: Int,
    variant: MoEVariant, dispatcher: any Dispatcher
  ) {
    config = model.moe
    self.variant = variant
    self.block = block
    self.dispatcher = dispatcher
    let width = model.width
    var routers: [Router] = []
    for (index, route) in variant.routes.enumerated() {
      if index > 0 && config.oneGate {
        routers.append(routers[0])
      } else {
        let name = index == 0 ? ".gate" : ".gate\(index + 1)"
        routers.append(
          Router(store, path + name, width: width, config: config, k: route.k))
      }
    }
    self.routers = routers
    experts = Experts(store, path + ".experts", model)
    shared =
      variant.sharedExpert
      ? FeedForward(store, path + ".shared", model) : nil
    let hasShortcut = variant.routes.contains { $0.source != .current }
    shortcutNorm =
      hasShortcut && config.shortcutNorm == .own
      ? Norm(store, path + ".shortcut_norm", model) : nil
    postNorm =
      config.postNorm ? Norm(store, path + ".post_norm", model) : nil
    coefficient =
      config.combine == .add
      ? nil
      : store.weight(path + ".coefficient.weight", [config.combine == .cg1 ? 1 : 2, width])
  }

  /// Norm, gate and the start of the dispatch of one route.
  ///
  /// - Parameters:
  ///   - source: the state that the route's value names.
  ///   - earlier: the routes begun before it, whose first choices a constrained route avoids.
  func begin(
    _ index: Int, from source: BlockState, earlier: [RouteInFlight], _ pass: ForwardPass
  ) -> RouteInFlight {
    let route = variant.routes[index]
    let normed = norm(source, of: route, pass.tape)
    let exclude = route.avoidsPreviousRoute ? earlier[index - 1].routing.choice.experts : nil
    let routing = routers[index](normed, exclude: exclude, block: block, route: index, pass)
    let flight = dispatcher.beginDispatch(normed, routing.plan, pass.tape)
    return RouteInFlight(normed: normed, routing: routing, flight: flight)
  }

  /// Experts, combine and the shared expert: the block's output `[T, d]`.
  ///
  /// - Parameters:
  ///   - h: the state after attention; u: its normed form.
  ///   - branchScales: stochastic depth, one factor a sample; nil = keep all.
  func finish(
    _ routes: [RouteInFlight], h: Tensor, u: Tensor, branchScales: [Float]?, _ pass: ForwardPass
  ) -> Tensor {
    let tape = pass.tape
    let arrived = routes.map { route in
      dispatcher.beginCombine(
        experts(dispatcher.endDispatch(route.flight, tape), tape), tape)
    }
    func addRoutes(to base: Tensor?) -> Tensor {
      var sum = base
      for (route, rows) in zip(routes, arrived) {
        sum = dispatcher.endCombine(rows, gates: route.routing.choice.gates, base: sum, tape)
      }
      return sum!
    }
    // The common case adds everything to the residual stream in place of separate sums.
    if config.combine == .add && postNorm == nil && branchScales == nil {
      return addRoutes(to: shared.map { $0(u, tape, residual: h, name: "shared expert") } ?? h)
    }
    var joined: Tensor
    if let shared, let coefficient {
      let z = config.coefficientInput == .routed ? routes[0].normed : u
      joined = tape.coefficientGate(
        config.combine, shared: shared(u, tape, residual: nil, name: "shared expert"),
        routed: addRoutes(to: nil), z: z, weight: coefficient)
    } else {
      joined = addRoutes(to: shared.map { $0(u, tape, residual: nil, name: "shared expert") })
    }
    if let postNorm { joined = postNorm(joined, tape) }
    if let branchScales { joined = tape.scaleRows(joined, scales: branchScales) }
    return tape.add(h, joined)
  }

  func updateSelectionBias() {
    for (index, router) in routers.enumerated() where index == 0 || !config.oneGate {
      router.updateSelectionBias()
    }
  }

  private func norm(_ source: BlockState, of route: Route, _ tape: Tape) -> Tensor {
    if route.source == .current { return source.normed! }
    if let shortcutNorm { return shortcutNorm(source.value, tape) }
    // LongCat-Flash: the tensor that the preceding block's MLP reads, where it is the same state.
    return source.normed ?? source.norm?(source.value, tape) ?? source.value
  }
}
