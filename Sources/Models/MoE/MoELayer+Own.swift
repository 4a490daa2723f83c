import MMoETensor

// The layer in a network outside of the package. There the caller has the states of its blocks, and says when a route that
// reads an earlier one begins; what the backbone takes for granted is looked at.

/// Routes from earlier states that are under way.
public struct StartedRoutes {
  fileprivate let layer: MoELayer
  fileprivate let routes: [RouteInFlight]
}

extension MoELayer {
  /// - Parameters:
  ///   - path: of its parameters, such as `blocks.1.moe`.
  ///   - width: of the rows, d; hidden: of an expert's MLP.
  ///   - moe: variant, experts, router and balance loss; where in a network MoE layers are is not read.
  ///   - number: its place among the network's layers, for noise and reports.
  ///   - dispatcher: where the experts are, such as on several ranks.
  /// - Throws: `ModelError` for what no layer can have, or a path that is taken.
  public convenience init(
    _ store: ParameterStore, _ path: String, width: Int, hidden: Int, moe: MoEConfig, activation: Activation = .gelu,
    number: Int = 0, dispatcher: any Dispatcher = LocalDispatcher()
  ) throws {
    guard width >= 1, hidden >= 1 else {
      throw ModelError(
        field: "the layer \(path)", found: "of width \(width) and hidden width \(hidden)", expected: "at least 1")
    }
    guard moe.variant != "dense" else {
      throw ModelError(field: "moe.variant of the layer \(path)", found: "dense", expected: "one with experts")
    }
    guard moe.shortcutNorm == .own else {
      throw ModelError(
        field: "moe.shortcut_norm of the layer \(path)", found: moe.shortcutNorm.rawValue,
        expected: "own: there is no preceding block whose norm it could share")
    }
    var model = ModelConfig()
    (model.width, model.heads, model.hidden, model.activation) = (width, 1, hidden, activation)
    model.moe = moe
    let variant = try MoEVariant.resolve(moe)
    // A network in which this layer's block is the last one and has the sources that it reads.
    (model.layers, model.moe.every, model.moe.bankLayers) = (variant.reach + 1, 1, 1)
    model.moe.first = variant.reach
    try model.validate()
    try store.requireFree(path)
    try self.init(
      store, path, model: model, block: number, variant: variant, bank: nil, dispatcher: dispatcher)
  }

  /// Begins the routes that read an earlier state: their exchange is under way until the layer is called.
  ///
  /// - Parameter source: `[T, d]`, not normed.
  /// - Throws: `ModelError` for a variant without such routes or with several sources, and for another shape.
  public func start(from source: Tensor, pass: ForwardPass) throws -> StartedRoutes {
    let early = variant.routes.indices.filter { variant.routes[$0].source != .current }
    guard early.count == 1 else {
      throw ModelError(
        field: "moe.variant \(variant.name)", found: "one of \(early.count) routes from earlier states",
        expected: "one such route")
    }
    try requireRows(source, "an earlier state")
    let state = BlockState(value: source, normed: nil, norm: nil, place: .output(block - 1))
    let route = begin(early[0], from: state, earlier: [], queues: nil, TokenTags(sequences: [0..<source.rows]), pass)
    return StartedRoutes(layer: self, routes: [route])
  }

  /// `y = x + [shared expert](u) + Σ p_e · Expert_e(…)`.
  ///
  /// - Parameters:
  ///   - x: `[T, d]`, the current state; normed: `u`, its normed form, which experts read.
  ///   - started: the routes that began at an earlier state, of a variant that has such.
  /// - Returns: `[T, d]`; balance losses are added to the pass's objective.
  /// - Throws: `ModelError` for another shape or routes that were not started; what a router outside of the package throws.
  public func callAsFunction(
    _ x: Tensor, normed: Tensor, _ started: StartedRoutes? = nil, pass: ForwardPass
  ) throws -> Tensor {
    try requireRows(x, "the state")
    try requireRows(normed, "the normed state", as: x)
    let early = variant.routes.count { $0.source != .current }
    guard early == started?.routes.count ?? 0, started.map({ $0.layer === self }) ?? true else {
      throw ModelError(
        field: "moe.variant \(variant.name)",
        found: "called with \(started?.routes.count ?? 0) routes that were started",
        expected: "\(early), by start(from:pass:) of this layer")
    }
    if let rows = started?.routes.first?.normed.rows, rows != x.rows {
      throw ModelError(field: "the earlier state", found: "of \(rows) rows", expected: "\(x.rows), as the current one")
    }
    let current = BlockState(value: x, normed: normed, norm: nil, place: .afterAttention(block))
    var routes = started?.routes ?? []
    for index in variant.routes.indices where variant.routes[index].source == .current {
      routes.append(begin(index, from: current, earlier: routes, queues: nil, TokenTags(sequences: [0..<x.rows]), pass))
    }
    let y = finish(routes, current: current, branchScales: nil, pass) {}
    pass.finishRouting()
    try pass.tape.requireNoFailure()
    return y
  }

  private func requireRows(_ x: Tensor, _ what: String, as other: Tensor? = nil) throws {
    guard x.columns == width, x.shape.count == 2, other.map({ $0.shape == x.shape }) ?? true else {
      throw ModelError(
        field: "\(what) of an MoE layer", found: "of shape \(x.shape)",
        expected: other.map { "\($0.shape)" } ?? "[T, \(width)]")
    }
  }
}
