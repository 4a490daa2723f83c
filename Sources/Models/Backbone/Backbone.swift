import MMoETensor

/// A stack of blocks that also runs the routes between them.
///
/// Each route starts the moment its source exists and is awaited at the end of its block. When that is follows from
/// the variant's value: `departures` lists, for every state, the routes that leave from it. The experts run in the slot
/// between operators that the pass's schedule names.
package final class Backbone {
  private struct State: Hashable {
    let block: Int
    let site: RouteSource.Site
  }

  let blocks: [TransformerBlock]
  /// Number of the first block, in paths and everywhere else where blocks of the model have numbers.
  private let first: Int
  private let config: ModelConfig
  private let isCausal: Bool
  private let departures: [State: [(block: Int, route: Int)]]

  /// - Parameters:
  ///   - first: number of the first block, after those of another tower.
  ///   - cross: how many of the last blocks read another tower, and its width.
  package init(
    _ store: ParameterStore, config: ModelConfig, causal: Bool, dispatcher: any Dispatcher, first: Int = 0,
    cross: (blocks: Int, width: Int) = (0, 0)
  ) throws {
    self.config = config
    self.first = first
    isCausal = causal
    let variant = config.moe.variant == "dense" ? nil : try MoEVariant.resolve(config.moe)
    let angles =
      config.rotatesPositions
      ? RotaryAngles(
        positions: config.text.context, width: config.headWidth, base: config.text.rotaryBase) : nil
    var blocks: [TransformerBlock] = []
    var banks: [Experts] = []
    for index in 0..<config.layers {
      let bank = config.bank(of: index).flatMap { $0 < banks.count ? banks[$0] : nil }
      let block = try TransformerBlock(
        store, "blocks.\(first + index)", index: first + index, config: config, causal: causal,
        angles: angles, context: index >= config.layers - cross.blocks ? cross.width : nil,
        variant: config.isMoE(index) ? variant : nil, bank: bank, dispatcher: dispatcher)
      if let moe = block.moe, bank == nil { banks.append(moe.experts) }
      blocks.append(block)
    }
    self.blocks = blocks
    var departures: [State: [(block: Int, route: Int)]] = [:]
    for (index, block) in blocks.enumerated() {
      for (number, route) in (block.moe?.variant.routes ?? []).enumerated() {
        let source = State(block: index - route.source.blocksBack, site: route.source.site)
        departures[source, default: []].append((index, number))
      }
    }
    self.departures = departures
  }

  /// Parameters on which nothing depends.
  var unreached: [UnreachedParameters] {
    let gates = blocks.flatMap { $0.moe?.unreached ?? [] }
    return gates.isEmpty ? [] : [UnreachedParameters(parameters: gates, reason: "moe.router is \(config.moe.router)")]
  }

  /// Moves the routers' state; called after each optimizer step.
  func afterStep() {
    for block in blocks { block.moe?.afterStep() }
  }

  /// - Parameters:
  ///   - x: `[B · T, d]`; sequence: T.
  ///   - layout: sequences of different lengths, instead of such of T.
  ///   - tags: what the gates are told about the rows.
  ///   - caches: one a block, of the sequence that `x` continues, in generation.
  ///   - cross: what the blocks with cross-attention read; nil = nothing, they pass on what they get.
  package func callAsFunction(
    _ x: Tensor, sequence: Int, layout: SequenceLayout? = nil, tags: TokenTags = TokenTags(),
    caches: [BlockCache]? = nil,
    cross: CrossInput? = nil, _ pass: ForwardPass
  ) -> Tensor {
    let tape = pass.tape
    tape.isGenerating = caches != nil
    var inFlight: [Int: [RouteInFlight]] = [:]
    var tokens = tags
    tokens.sequences =
      layout?.spans.map { $0.start..<$0.start + $0.length }
      ?? stride(from: 0, to: x.rows, by: sequence).map { $0..<$0 + sequence }
    // In training the whole batch shares the queues, as usual; a trained model must not look ahead.
    let hasOwnQueues = isCausal && !pass.isTraining && config.moe.evalCapacityFactor > 0
    func reached(_ block: Int, _ site: RouteSource.Site, _ state: BlockState) {
      for departure in departures[State(block: block, site: site)] ?? [] {
        let earlier = inFlight[departure.block] ?? []
        let layer = blocks[departure.block].moe!
        let queues =
          hasOwnQueues
          ? CausalQueues(
            sequences: tokens.sequences, longest: config.tokens,
            earlier: caches?[departure.block].queues(of: departure.route)) : nil
        let route = layer.begin(departure.route, from: state, earlier: earlier, queues: queues, tokens, pass)
        inFlight[departure.block] = earlier + [route]
        layer.computeDue(earlier + [route], tape)
      }
    }
    func operatorDone() {
      // In the order of blocks: every rank must start the same exchanges in the same order.
      for (block, routes) in inFlight.sorted(by: { $0.key < $1.key }) {
        blocks[block].moe!.operatorDone(routes, tape)
      }
    }

    let input = StreamState.output(first - 1)
    var x = pass.reached(input, x)
    reached(-1, .output, BlockState(value: x, normed: nil, norm: nil, place: input))
    var crossed = 0
    for (index, block) in blocks.enumerated() {
      let number = first + index
      tape.scope = "blocks.\(number)"
      defer { tape.scope = "" }
      if let coordinator = pass.coordinator {
        tape.recordPassage { coordinator.leftBlock(number) }
      }
      let entered = BlockState(value: x, normed: nil, norm: block.norm2, place: .output(number - 1))
      reached(index, .input, entered)
      let scales = branchScales(index, layout, tokens, pass)
      let normed = block.norm1(pass.value(of: entered, along: .attention), tape)
      let residual = pass.value(of: entered, along: .residual)
      var h: Tensor
      if let attentionScales = scales?.attention {
        let branch = block.attention(normed, tape, sequence: sequence, layout: layout, residual: nil)
        h = tape.add(residual, tape.scaleRows(branch, scales: attentionScales))
      } else {
        h = block.attention(
          normed, tape, sequence: sequence, layout: layout, residual: residual, cache: caches?[index].keyValues)
      }
      if let layer = block.cross, let cross {
        h = layer(h, cross.keyValues[crossed], cross.pairs, tape)
        crossed += 1
      }
      h = pass.reached(.afterAttention(number), h)
      let mixed = BlockState(
        value: h, normed: block.norm2(h, tape), norm: block.norm2, place: .afterAttention(number))
      operatorDone()
      reached(index, .afterAttention, mixed)
      switch block.body {
      case .dense(let mlp):
        let u = pass.view(of: mixed, along: .mlp).normed!
        let residual = pass.value(of: mixed, along: .residual)
        if let bodyScales = scales?.body {
          x = tape.add(residual, tape.scaleRows(mlp(u, tape, residual: nil), scales: bodyScales))
        } else {
          x = mlp(u, tape, residual: residual)
        }
        operatorDone()
      case .moe(let layer):
        x = layer.finish(
          inFlight[index] ?? [], current: mixed, branchScales: scales?.body, pass, operatorDone: operatorDone)
        inFlight[index] = nil
      }
      x = pass.reached(.output(number), x)
      reached(index, .output, BlockState(value: x, normed: nil, norm: block.norm2, place: .output(number)))
    }
    pass.finishRouting()
    return x
  }

  /// Stochastic depth (Huang et al., arXiv 1603.09382): a sample's branch is dropped with a rate that grows linearly
  /// with depth; kept ones are divided by the keep probability.
  private func branchScales(
    _ index: Int, _ layout: SequenceLayout?, _ tokens: TokenTags, _ pass: ForwardPass
  ) -> (attention: [Float], body: [Float])? {
    guard pass.isTraining, config.stochasticDepth > 0, config.layers > 1, index > 0 else {
      return nil
    }
    let rate = Float(config.stochasticDepth) * Float(index) / Float(config.layers - 1)
    let random = CounterRandom(
      seed: pass.seed, purpose: .stochasticDepth, a: UInt64(pass.step), b: UInt64(first + index))
    // Numbered by the sample's place in the step's whole batch.
    let (part, samples) = (pass.part, tokens.sequences.count)
    func draw(_ offset: UInt64) -> [Float] {
      let scales: [Float] = (0..<samples).map { sample in
        let place = tokens.places?.sequences[sample] ?? UInt64(part.index * samples + sample)
        return random.uniform(offset + place) < rate ? 0 : 1 / (1 - rate)
      }
      // Sequences of different lengths: a scale for each row.
      guard let layout else { return scales }
      return layout.spans.enumerated().flatMap { Array(repeating: scales[$0], count: $1.length) }
    }
    return (draw(0), draw(tokens.places.map { _ in BatchPlaces.end } ?? UInt64(samples * part.count)))
  }
}
