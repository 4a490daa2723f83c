import MMoETensor

/// One transformer over patches and tokens: patches see all patches of their image and nothing else, tokens see the image
/// and the text before them. An image is read the same with and without its text. Experts may be cut into groups of each
/// modality (`ExpertGroups`).
final class EarlyFusion: FusionBody {
  private let config: ModelConfig
  private let patchEmbedding: PatchEmbedding
  let tokens: TokenEmbedding
  private let backbone: Backbone
  private let norm: Norm

  init(_ store: ParameterStore, _ config: ModelConfig, dispatcher: any Dispatcher) throws {
    self.config = config
    patchEmbedding = PatchEmbedding(store, config, positions: "patch_positions")
    tokens = TokenEmbedding(store, config)
    backbone = try Backbone(store, config: config, causal: true, dispatcher: dispatcher)
    norm = Norm(store, "norm", config)
  }

  var imageWidth: Int { config.width }
  var textWidth: Int { config.width }

  func callAsFunction(_ batch: PackedSequences, _ pass: ForwardPass) -> PackedStates {
    let images = batch.images?.shape[0] ?? 0
    let plan = PackedPlan(batch.sequences, images: images, patches: config.vision.tokens)
    let x = embed(batch.images, plan, pass.tape)
    let places = BatchPlaces(
      batch.places(part: pass.part.index), lengths: plan.layout.spans.map(\.length), longest: config.tokens)
    let rows = norm(
      backbone(x, sequence: plan.layout.rows, layout: plan.layout, tags: tags(plan, places), pass), pass.tape)
    return PackedStates(
      images: .init(rows: rows, ranges: plan.imageRanges), texts: .init(rows: rows, ranges: plan.textRanges))
  }

  /// Patches and tokens in the rows of their sequences.
  private func embed(_ images: Tensor?, _ plan: PackedPlan, _ tape: Tape) -> Tensor {
    let patches = images.map { patchEmbedding($0, tape) }
    guard !plan.ids.isEmpty else { return tape.placeRows(patches!, at: plan.patchRows, of: plan.layout.rows) }
    let placed = tape.placeRows(
      tokens(plan.ids, positions: plan.positions, tape), at: plan.textRows, of: plan.layout.rows)
    guard let patches else { return placed }
    return tape.add(tape.placeRows(patches, at: plan.patchRows, of: plan.layout.rows), placed)
  }

  func makeCache() -> FusionCache {
    FusionCache(
      blocks: config.layers, capacity: config.tokens, columns: config.keyValueHeads * config.headWidth)
  }

  func read(_ image: Tensor, _ cache: FusionCache, _ pass: ForwardPass) {
    precondition(cache.blocks[0].count == 0, "an image stands at the beginning")
    let plan = PackedPlan([PackedSequences.Sequence(image: 0)], images: 1, patches: config.vision.tokens)
    _ = backbone(
      embed(image, plan, pass.tape), sequence: plan.layout.rows, layout: plan.layout, tags: tags(plan, nil),
      caches: cache.blocks, pass)
  }

  private func tags(_ plan: PackedPlan, _ places: BatchPlaces?) -> TokenTags {
    TokenTags(
      modalities: TokenModalities(names: FusionConfig.modalities, of: plan.modalities), tasks: plan.tasks,
      places: places)
  }

  func next(_ ids: [Int32], position: Int, _ cache: FusionCache, _ pass: ForwardPass) -> Tensor {
    let x = tokens(ids, positions: ids.indices.map { Int32(position + $0) }, pass.tape)
    let tags = TokenTags(
      modalities: TokenModalities(names: FusionConfig.modalities, of: ids.map { _ in 1 }), tasks: ids.map { _ in 0 })
    return norm(backbone(x, sequence: ids.count, tags: tags, caches: cache.blocks, pass), pass.tape)
  }

  var unreached: [UnreachedParameters] { backbone.unreached }
  var parts: FusionParts {
    FusionParts(
      images: patchEmbedding.parameters, texts: tokens.parameters, cross: [], captionsReadImages: true)
  }

  func afterStep() { backbone.afterStep() }
}
