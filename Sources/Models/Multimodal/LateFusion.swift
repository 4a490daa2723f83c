import MMoETensor

/// A transformer for images and one for texts, each with its own experts. Tokens of the text tower's last blocks read the
/// patches of their image by cross-attention (CoCa, arXiv 2205.01917); without such blocks the towers meet only where images
/// and texts are compared (CLIP, arXiv 2103.00020).
final class LateFusion: FusionBody {
  private let config: ModelConfig
  private let text: ModelConfig
  private let patchEmbedding: PatchEmbedding
  private let preNorm: Norm?
  private let imageTower: Backbone
  private let imageNorm: Norm
  let tokens: TokenEmbedding
  private let textTower: Backbone
  private let textNorm: Norm
  let parts: FusionParts

  init(_ store: ParameterStore, _ config: ModelConfig, dispatcher: any Dispatcher) throws {
    self.config = config
    let images = config.visionTower
    text = config.textTower
    patchEmbedding = PatchEmbedding(store, images, positions: "patch_positions")
    preNorm = images.vision.preNorm ? Norm(store, "image_pre_norm", images) : nil
    imageTower = try Backbone(store, config: images, causal: false, dispatcher: dispatcher)
    imageNorm = Norm(store, "image_norm", images)
    let ofImages = store.parameters
    tokens = TokenEmbedding(store, text)
    textTower = try Backbone(
      store, config: text, causal: true, dispatcher: dispatcher, first: images.layers,
      cross: (config.fusion.crossBlocks, images.width))
    textNorm = Norm(store, "text_norm", text)
    let ofTexts = store.parameters.dropFirst(ofImages.count)
    let cross = ofTexts.filter { $0.path.contains(".cross.") }
    parts = FusionParts(
      images: ofImages, texts: ofTexts.filter { !$0.path.contains(".cross.") }, cross: cross,
      captionsReadImages: !cross.isEmpty)
  }

  var imageWidth: Int { config.width }
  var textWidth: Int { text.width }
  private var patches: Int { config.vision.tokens }

  func callAsFunction(_ batch: PackedSequences, _ pass: ForwardPass) -> PackedStates {
    let images = batch.images?.shape[0] ?? 0
    let places = batch.places(part: pass.part.index)
    let shown = batch.sequences.indices.filter { batch.sequences[$0].image != nil }.sorted {
      batch.sequences[$0].image! < batch.sequences[$1].image!
    }
    let imagePlaces = BatchPlaces(shown.map { places[$0] }, lengths: shown.map { _ in patches }, longest: patches)
    let imageRows = batch.images.map {
      readImages($0, tasks: shown.map { batch.sequences[$0].task }, imagePlaces, pass)
    }
    var (spans, ranges, pairs): ([SequenceLayout.Span], [Range<Int>], CrossPairs) = ([], [], [])
    var row = 0
    for sequence in batch.sequences {
      let own = row..<row + sequence.text.count
      ranges.append(own)
      row = own.upperBound
      guard !own.isEmpty else { continue }
      spans.append(SequenceLayout.Span(start: own.lowerBound, length: own.count, prefix: 0))
      if let image = sequence.image { pairs.append((own, image * patches..<(image + 1) * patches)) }
    }
    let cross = pairs.isEmpty ? nil : imageRows.map { CrossInput(keyValues: keyValues($0, pass), pairs: pairs) }
    var textRows: Tensor?
    if row > 0 {
      let x = tokens(
        batch.sequences.flatMap(\.text), positions: batch.sequences.flatMap { $0.text.indices.map(Int32.init) },
        pass.tape)
      let layout = SequenceLayout(spans)
      let written = batch.sequences.indices.filter { !batch.sequences[$0].text.isEmpty }
      let tags = TokenTags(
        tasks: batch.sequences.flatMap { Array(repeating: $0.task, count: $0.text.count) },
        places: BatchPlaces(written.map { places[$0] }, lengths: spans.map(\.length), longest: text.text.context))
      textRows = textNorm(textTower(x, sequence: row, layout: layout, tags: tags, cross: cross, pass), pass.tape)
    }
    return PackedStates(
      images: .init(rows: imageRows, ranges: (0..<images).map { $0 * patches..<($0 + 1) * patches }),
      texts: .init(rows: textRows, ranges: ranges))
  }

  private func readImages(_ images: Tensor, tasks: [Int32], _ places: BatchPlaces?, _ pass: ForwardPass) -> Tensor {
    let tape = pass.tape
    let tags = TokenTags(tasks: tasks.flatMap { Array(repeating: $0, count: patches) }, places: places)
    var x = patchEmbedding(images, tape)
    if let preNorm { x = preNorm(x, tape) }
    return imageNorm(imageTower(x, sequence: patches, tags: tags, pass), tape)
  }

  private func keyValues(_ imageRows: Tensor, _ pass: ForwardPass) -> [Tensor] {
    textTower.blocks.compactMap { $0.cross?.keyValues(imageRows, pass.tape) }
  }

  func makeCache() -> FusionCache {
    FusionCache(
      blocks: text.layers, capacity: text.text.context, columns: text.keyValueHeads * text.headWidth)
  }

  func read(_ image: Tensor, _ cache: FusionCache, _ pass: ForwardPass) {
    cache.keyValues = keyValues(readImages(image, tasks: [0], nil, pass), pass)
  }

  func next(_ ids: [Int32], position: Int, _ cache: FusionCache, _ pass: ForwardPass) -> Tensor {
    let x = tokens(ids, positions: ids.indices.map { Int32(position + $0) }, pass.tape)
    let tags = TokenTags(tasks: ids.map { _ in 0 })
    let cross = cache.keyValues.map { CrossInput(keyValues: $0, pairs: [(0..<ids.count, 0..<patches)]) }
    return textNorm(textTower(x, sequence: ids.count, tags: tags, caches: cache.blocks, cross: cross, pass), pass.tape)
  }

  var unreached: [UnreachedParameters] { imageTower.unreached + textTower.unreached }

  func afterStep() {
    imageTower.afterStep()
    textTower.afterStep()
  }
}
