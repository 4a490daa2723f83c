import MMoETensor

/// One transformer over the rows of all modalities: those of a sample see one another and nothing else, tokens see
/// everything before them. Experts may be cut into groups of each modality (`ExpertGroups`).
final class EarlyFusion: FusionBody {
  private let config: ModelConfig
  private let encoders: [(modality: any SampledModality, encoder: any SampleEncoder)]
  let tokens: TokenEmbedding
  private let backbone: Backbone
  private let norm: Norm

  init(_ store: ParameterStore, _ config: ModelConfig, dispatcher: any Dispatcher) throws {
    self.config = config
    encoders = try config.sampledModalities.map { ($0, try $0.makeEncoder(store, config)) }
    tokens = TokenEmbedding(store, config)
    backbone = try Backbone(store, config: config, causal: true, dispatcher: dispatcher)
    norm = Norm(store, "norm", config)
  }

  func width(of modality: any Modality) -> Int { config.width }

  func callAsFunction(_ batch: PackedSequences, _ pass: ForwardPass) -> PackedStates {
    let plan = PackedPlan(batch, config)
    let x = embed(batch, plan, pass.tape)
    let places = BatchPlaces(
      batch.places(part: pass.part.index), lengths: plan.layout.spans.map(\.length), longest: config.tokens)
    let rows = norm(
      backbone(x, sequence: plan.layout.rows, layout: plan.layout, tags: tags(plan, places), pass), pass.tape)
    let samples = plan.samples.merging(batch.blanks.map { ($0, []) }) { own, _ in own }
    return PackedStates(
      samples: samples.mapValues { .init(rows: rows, ranges: $0) }, textRows: plan.ids.isEmpty ? nil : rows,
      texts: plan.texts)
  }

  /// The rows of samples and tokens in those of their sequences.
  private func embed(_ batch: PackedSequences, _ plan: PackedPlan, _ tape: Tape) -> Tensor {
    let encoded = encoders.compactMap { modality, encoder -> (rows: Tensor, places: [Range<Int>])? in
      func rows(_ samples: Tensor) -> Tensor {
        encoder.encode(samples, rows: modality.rows(config), width: config.width, tape)
      }
      if let own = batch.samples[modality.name] { return (rows(own), plan.samples[modality.name]!) }
      guard batch.blanks.contains(modality.name) else { return nil }
      return (tape.selectRows(rows(Tensor.zeros([1] + modality.shape(config))), []), [])
    }
    var sum: Tensor?
    if !plan.ids.isEmpty {
      sum = tape.placeRows(
        tokens(plan.ids, positions: plan.positions, tape), at: plan.textRows, of: plan.layout.rows)
    }
    for (rows, places) in encoded {
      let placed = tape.placeRows(rows, at: places.flatMap { $0.map(Int32.init) }, of: plan.layout.rows)
      sum = sum.map { tape.add(placed, $0) } ?? placed
    }
    return sum!
  }

  func makeCache() -> FusionCache {
    FusionCache(
      blocks: config.layers, capacity: config.tokens, columns: config.keyValueHeads * config.headWidth)
  }

  func read(_ sample: Tensor, of modality: any SampledModality, _ cache: FusionCache, _ pass: ForwardPass) {
    let batch = PackedSequences([modality.name: sample], [.init([.sample(modality.name, 0)])])
    let plan = PackedPlan(batch, config)
    _ = backbone(
      embed(batch, plan, pass.tape), sequence: plan.layout.rows, layout: plan.layout, tags: tags(plan, nil),
      caches: cache.blocks, pass)
  }

  private func tags(_ plan: PackedPlan, _ places: BatchPlaces?) -> TokenTags {
    TokenTags(
      modalities: TokenModalities(names: config.fusion.modalities, of: plan.modalities), tasks: plan.tasks,
      places: places)
  }

  func next(_ ids: [Int32], position: Int, _ cache: FusionCache, _ pass: ForwardPass) -> Tensor {
    let x = tokens(ids, positions: ids.indices.map { Int32(position + $0) }, pass.tape)
    let language = Int32(config.fusion.modalities.firstIndex(of: LanguageModality.name)!)
    let tags = TokenTags(
      modalities: TokenModalities(names: config.fusion.modalities, of: ids.map { _ in language }),
      tasks: ids.map { _ in 0 })
    return norm(backbone(x, sequence: ids.count, tags: tags, caches: cache.blocks, pass), pass.tape)
  }

  var unreached: [UnreachedParameters] { backbone.unreached }
  var parts: FusionParts {
    FusionParts(
      samples: Dictionary(uniqueKeysWithValues: encoders.map { ($0.modality.name, $0.encoder.parameters) }),
      texts: tokens.parameters, cross: [], captionsReadSamples: true)
  }

  func afterStep() { backbone.afterStep() }
}
