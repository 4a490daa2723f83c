/// The walk over a model's blocks that makes its list of operations. It goes as a forward pass does: a route departs the moment
/// its source exists (`Backbone`), its experts run at the end of its block (`MoELayer`). What stands before and after the blocks
/// is in the families (`ModelFamily`).
package struct ArchitectureWalk {
  private struct State: Hashable {
    let block: Int
    let site: RouteSource.Site
  }

  /// Blocks that a pass goes through one after the other, with their routes.
  private struct Stack {
    let config: ModelConfig
    let variant: MoEVariant?
    /// Number of its first block.
    let first: Int
    /// Routes by the state from which they depart.
    let departures: [State: [ModelOperation.CallID]]

    func rank(_ place: LoRAConfig.Place) -> Int { config.lora.has(place) ? config.lora.rank : 0 }
  }

  private(set) var operations: [ModelOperation] = []
  private(set) var calls: [Architecture.Call] = []
  private let isTraining: Bool
  private var block: Int?
  private var window: WindowOperator.Kind?
  private var underway: [ModelOperation.CallID] = []

  init(training: Bool) { isTraining = training }

  mutating func add(_ operation: ModelOperation) {
    var operation = operation
    operation.block = block
    operation.window = block.flatMap { block in window.map { WindowOperator(block: block, kind: $0) } }
    operation.inShadowOf = underway
    operations.append(operation)
  }

  /// Adds an operation of a call, wherever the pass is.
  private mutating func add(_ operation: ModelOperation, of call: ModelOperation.CallID) {
    let place = (block, window)
    (block, window) = (call.block, nil)
    var operation = operation
    operation.call = call
    add(operation)
    (block, window) = place
  }

  /// - Parameters:
  ///   - first: number of the first block, after those of another tower.
  ///   - cross: how many of the last blocks read other towers, and rows and width of these.
  mutating func addStack(
    _ config: ModelConfig, _ variant: MoEVariant?, first: Int = 0, cross: (blocks: Int, rows: Int, width: Int)? = nil
  ) {
    var departures: [State: [ModelOperation.CallID]] = [:]
    for index in 0..<config.layers where config.isMoE(index) {
      for (number, route) in (variant?.routes ?? []).enumerated() {
        let source = State(block: index - route.source.blocksBack, site: route.source.site)
        departures[source, default: []].append(ModelOperation.CallID(block: first + index, route: number))
      }
    }
    let stack = Stack(config: config, variant: variant, first: first, departures: departures)
    if let cross, cross.blocks > 0 { addCrossKeys(stack, cross) }
    depart(stack, -1, .output)
    for index in 0..<config.layers {
      block = first + index
      depart(stack, index, .input)
      addAttention(stack, index, read: index >= config.layers - (cross?.blocks ?? 0) ? cross?.rows : nil)
      depart(stack, index, .afterAttention)
      if config.isMoE(index), let variant {
        addMoE(stack, variant, index)
      } else {
        addMLP(stack, index)
      }
      depart(stack, index, .output)
    }
    block = nil
  }

  /// Whether stochastic depth scales the branches of a block, so that they are no part of an operation before.
  private func scalesBranches(_ config: ModelConfig, _ index: Int) -> Bool {
    isTraining && config.stochasticDepth > 0 && config.layers > 1 && index > 0
  }

  /// Scales a branch and adds it to the residual stream.
  private mutating func addScaledBranch(_ config: ModelConfig) {
    let d = config.width
    add(.moving("scale rows", rows: config.tokens, width: d, forward: 2 * d, backward: 2 * d))
    add(.sum(rows: config.tokens, width: d))
  }

  private mutating func addAttention(_ stack: Stack, _ index: Int, read: Int?) {
    let config = stack.config
    let (d, rows) = (config.width, config.tokens)
    let columns = (config.heads + 2 * config.keyValueHeads) * config.headWidth
    let isScaled = scalesBranches(config, index)
    window = .attention
    add(.norm(config, rows: rows, keeps: true))
    add(
      .product(
        "qkv", rows: rows, in: d, out: columns, bias: config.bias, keeps: columns, rank: stack.rank(.attention)))
    if config.rotatesPositions {
      let turned = (config.heads + config.keyValueHeads) * config.headWidth
      add(.moving("rotary", rows: rows, width: turned, forward: 2 * turned, backward: 2 * turned))
    }
    var attention = ModelOperation.attention(
      "attention", rows: rows, columns: Double(columns), width: d, heads: config.heads, pairs: config.visiblePairs)
    attention.cached = 2 * config.keyValueHeads * config.headWidth
    add(attention)
    add(
      .product(
        "proj", rows: rows, in: d, out: d, bias: config.bias, residual: !isScaled, keeps: d,
        rank: stack.rank(.attention)))
    if isScaled { addScaledBranch(config) }
    if let read { addCrossAttention(stack, read: read) }
    add(.norm(config, rows: rows, keeps: true))
    window = nil
  }

  /// Keys and values of the other towers' rows, for every block that reads them.
  private mutating func addCrossKeys(_ stack: Stack, _ cross: (blocks: Int, rows: Int, width: Int)) {
    let config = stack.config
    for index in config.layers - cross.blocks..<config.layers {
      block = stack.first + index
      add(
        .product(
          "cross keys", rows: cross.rows, in: cross.width, out: 2 * config.width, bias: config.bias,
          keeps: 2 * config.width, rank: stack.rank(.attention)))
    }
    block = nil
  }

  /// A text's look at the samples before it.
  ///
  /// - Parameter read: rows of these.
  private mutating func addCrossAttention(_ stack: Stack, read: Int) {
    let config = stack.config
    let (d, rows, rank) = (config.width, config.tokens, stack.rank(.attention))
    add(.norm(config, rows: rows, keeps: true))
    add(.product("cross query", rows: rows, in: d, out: d, bias: config.bias, keeps: d, rank: rank))
    add(
      .attention(
        "cross attention", rows: rows, columns: Double(d) + Double(read * 2 * d) / Double(rows), width: d,
        heads: config.heads, pairs: Double(rows * read)))
    add(.product("proj", rows: rows, in: d, out: d, bias: config.bias, residual: true, keeps: d, rank: rank))
  }

  private mutating func addMLP(_ stack: Stack, _ index: Int) {
    let config = stack.config
    let isScaled = scalesBranches(config, index)
    window = .mlp
    add(
      .mlp(
        "mlp", rows: config.tokens, width: config.width, hidden: config.mlpHidden, activation: config.activation,
        bias: config.bias, residual: !isScaled, keeps: config.width, rank: stack.rank(.mlp)))
    if isScaled { addScaledBranch(config) }
    window = nil
  }

  private mutating func depart(_ stack: Stack, _ index: Int, _ site: RouteSource.Site) {
    for call in stack.departures[State(block: index, site: site)] ?? [] { addDeparture(stack, call) }
  }

  /// Norm, gate and the way to the experts of one route.
  private mutating func addDeparture(_ stack: Stack, _ call: ModelOperation.CallID) {
    guard let route = stack.variant?.routes[call.route] else { return }
    let config = stack.config
    let (moe, d, rows) = (config.moe, config.width, config.tokens)
    let source = route.source
    if source != .current {
      if moe.shortcutNorm == .own {
        add(.norm(config, rows: rows), of: call)
      } else if source.site != .afterAttention && call.block - stack.first - source.blocksBack >= 0 {
        // The preceding block's second norm, of a state that it has not normed.
        add(.norm(config, rows: rows, isShared: true), of: call)
      }
    }
    let isShared = call.route > 0 && moe.oneGate
    let choices = RouterTable.meanChoices(route.k, moe, training: isTraining)
    let kinds = moe.gate == .modality ? config.modalities.map { $0.rows(config) } : [rows]
    for own in kinds {
      if kinds.count > 1 { add(.packing(rows: own, to: own, width: d), of: call) }
      var gate = ModelOperation.product(
        "gate", rows: own, in: d, out: moe.choices, bias: false, isFloat32: true, sharesWeights: isShared,
        keeps: 2 * moe.choices + route.k)
      gate.forward.floats.row += Double(2 * moe.choices) + 2 * choices
      gate.backward.floats.row += Double(3 * moe.choices) + choices
      add(gate, of: call)
      if kinds.count > 1 { add(.packing(rows: own, to: rows, width: moe.choices), of: call) }
    }
    for _ in kinds.dropFirst() { add(.sum(rows: rows, width: moe.choices), of: call) }
    if moe.taskRouting {
      let table = isShared ? 0 : FusionConfig.Task.allCases.count * moe.choices
      let moved = 2 * moe.choices
      add(
        .moving(
          "table rows", rows: rows, width: moe.choices, forward: moved, backward: moved, parameters: table), of: call)
    }
    if moe.groups != nil {
      add(
        .moving("confine", rows: rows, width: moe.choices, forward: moe.choices, backward: moe.choices), of: call)
    }
    if moe.gateNoise > 0 && isTraining { add(.sum(rows: rows, width: moe.choices), of: call) }
    var permute = ModelOperation.moving("permute", rows: rows, width: d, forward: 0, backward: d)
    (permute.choices, permute.kept) = (choices, Double(rows) * choices * Double(d))
    (permute.forward.floats.passage, permute.backward.floats.passage) = (Double(2 * d), Double(d))
    add(permute, of: call)
    calls.append(Architecture.Call(id: call, route: route, experts: moe.experts))
    underway.append(call)
  }

  /// Shared expert, experts, and how they are joined.
  private mutating func addMoE(_ stack: Stack, _ variant: MoEVariant, _ index: Int) {
    let config = stack.config
    let (moe, d, rows) = (config.moe, config.width, config.tokens)
    let isScaled = scalesBranches(config, index)
    let isSum = moe.combine == .add && !moe.postNorm && !isScaled
    let own = variant.routes.indices.map { ModelOperation.CallID(block: stack.first + index, route: $0) }
    // Of a source before the network.
    for call in own where !underway.contains(call) { addDeparture(stack, call) }
    if variant.sharedExpert {
      window = .shared
      add(
        .mlp(
          "shared expert", rows: rows, width: d, hidden: config.mlpHidden, activation: config.activation,
          bias: config.bias, residual: isSum, keeps: d, rank: stack.rank(.mlp)))
      window = nil
    }
    underway.removeAll { own.contains($0) }
    let isFirstOfBank = index == moe.firstBlock || config.bank(of: index) != config.bank(of: index - moe.every)
    for call in own {
      let k = variant.routes[call.route].k
      // A choice may be an identity: counted is the most a token can meet, of several widths the largest.
      let choices = RouterTable.meanChoices(k, moe, training: isTraining)
      let widest = config.expertStacks.map(\.hidden).max()
      for own in config.expertStacks {
        if own.name != nil { add(.packing(rows: rows, to: rows, width: 2 * d), of: call) }
        add(
          .mlp(
            "experts", rows: rows, width: d, hidden: own.hidden, activation: config.activation,
            bias: config.bias, residual: false,
            stored: isFirstOfBank && call.route == 0 ? own.experts.count : 0, groups: own.experts.count,
            k: own.hidden == widest ? k : 0, choices: choices * config.share(of: own), keeps: d,
            rank: stack.rank(.experts)),
          of: call)
        if own.name != nil && own.experts.lowerBound > 0 { add(.sum(rows: rows, width: d), of: call) }
      }
    }
    for call in own {
      // The last sum is the block's output, which is kept.
      var combine = ModelOperation.moving(
        "combine", rows: rows, width: d, forward: 2 * d, backward: d, keeps: call == own.last ? d : 0)
      combine.choices = RouterTable.meanChoices(variant.routes[call.route].k, moe, training: isTraining)
      (combine.forward.floats.passage, combine.backward.floats.passage) = (Double(d), Double(2 * d))
      add(combine, of: call)
      if moe.identityExperts > 0 {
        add(.moving("identity experts", rows: rows, width: d, forward: 3 * d, backward: 3 * d), of: call)
      }
    }
    if moe.combine != .add {
      let coefficients = (moe.combine == .cg1 ? 1 : 2) * d
      add(
        .moving(
          "coefficient gate", rows: rows, width: d, forward: 4 * d, backward: 6 * d, parameters: coefficients))
    }
    if moe.postNorm { add(.norm(config, rows: rows)) }
    if isScaled {
      addScaledBranch(config)
    } else if !isSum {
      add(.sum(rows: rows, width: d))
    }
  }
}

extension ModelConfig {
  /// Share of a sample's choices that go to a stack of experts, where every token takes the widest that it may.
  fileprivate func share(of stack: (name: String?, experts: Range<Int>, hidden: Int)) -> Double {
    guard stack.name != nil, let groups = moe.groups.flatMap({ try? ExpertGroups($0) }) else { return 1 }
    let stacks = expertStacks
    let own = modalities.filter { modality in
      let allowed = groups.allowed(modality.name)
      let open = stacks.filter { $0.experts.contains { allowed[$0] } }
      return open.max { $0.hidden < $1.hidden }?.experts == stack.experts
    }
    return Double(own.reduce(0) { $0 + $1.rows(self) }) / Double(tokens)
  }

  /// Pairs of a position and one that it sees, in one sample. Causal: position t sees t + 1 of them.
  fileprivate var visiblePairs: Double {
    let text = kind.readsText ? Double(text.context) : 0
    return kind.samples(self).reduce(0) { $0 + Double($1) * (Double($1) + text) } + text * (text + 1) / 2
  }
}
