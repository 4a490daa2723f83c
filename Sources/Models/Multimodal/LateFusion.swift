import MMoETensor

/// A transformer for each modality, each with its own experts. Tokens of the text tower's last blocks read the samples
/// before them by cross-attention (CoCa, arXiv 2205.01917); without such blocks the towers meet only where samples are
/// compared (CLIP, arXiv 2103.00020).
final class LateFusion: FusionBody {
  private let text: ModelConfig
  private let towers: [SampleTower]
  let tokens: TokenEmbedding
  private let textTower: Backbone
  private let textNorm: Norm
  let parts: FusionParts

  init(_ store: ParameterStore, _ config: ModelConfig, dispatcher: any Dispatcher) throws {
    text = config.textTower
    var first = 0
    towers = try config.sampledModalities.map { modality in
      let tower = try SampleTower(store, modality, of: config, first: first, dispatcher: dispatcher)
      first += tower.config.layers
      return tower
    }
    let ofSamples = store.parameters.count
    tokens = TokenEmbedding(store, text)
    textTower = try Backbone(
      store, config: text, causal: true, dispatcher: dispatcher, first: first,
      cross: (config.fusion.crossBlocks, towers[0].config.width))
    textNorm = Norm(store, "text_norm", text)
    let ofTexts = store.parameters.dropFirst(ofSamples)
    let cross = ofTexts.filter { $0.path.contains(".cross.") }
    parts = FusionParts(
      samples: Dictionary(uniqueKeysWithValues: towers.map { ($0.modality.name, $0.parameters) }),
      texts: ofTexts.filter { !$0.path.contains(".cross.") }, cross: cross, captionsReadSamples: !cross.isEmpty)
  }

  func width(of modality: any Modality) -> Int {
    towers.first { $0.modality.name == modality.name }?.config.width ?? text.width
  }

  func callAsFunction(_ batch: PackedSequences, _ pass: ForwardPass) -> PackedStates {
    let places = batch.places(part: pass.part.index)
    var samples: [String: PackedStates.Samples] = [:]
    for tower in towers {
      if let own = batch.samples[tower.modality.name] {
        samples[tower.modality.name] = tower(own, in: batch, places: places, pass)
      } else if batch.blanks.contains(tower.modality.name) {
        samples[tower.modality.name] = tower.blank(pass)
      }
    }
    var (spans, ranges): ([SequenceLayout.Span], [[Range<Int>]]) = ([], [])
    var row = 0
    for sequence in batch.sequences {
      let start = row
      ranges.append(
        sequence.segments.compactMap { segment in
          guard case .text(let ids) = segment else { return nil }
          defer { row += ids.count }
          return row..<row + ids.count
        })
      if row > start { spans.append(SequenceLayout.Span(start: start, length: row - start, prefix: 0)) }
    }
    let cross = crossInput(batch, samples, texts: ranges, pass)
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
    return PackedStates(samples: samples, textRows: textRows, texts: ranges)
  }

  /// What texts read of the samples before them; nil = nothing.
  ///
  /// - Parameter texts: rows of each sequence's texts.
  private func crossInput(
    _ batch: PackedSequences, _ samples: [String: PackedStates.Samples], texts: [[Range<Int>]], _ pass: ForwardPass
  ) -> CrossInput? {
    guard !parts.cross.isEmpty else { return nil }
    // One modality's samples, at most one in a sequence, stand together as they are; others are put side by side.
    let isPlain =
      samples.count <= 1 && batch.sequences.allSatisfy { $0.sampleCount <= 1 }
    var pairs: CrossPairs = []
    var places = samples.mapValues { [Int32](repeating: 0, count: $0.rows.rows) }
    var row = 0
    for (sequence, own) in zip(batch.sequences, texts) {
      var (keys, text) = (row..<row, 0)
      for segment in sequence.segments {
        switch segment {
        case .sample(let name, let index):
          let range = samples[name]!.ranges[index]
          if isPlain {
            keys = range
          } else {
            for (offset, place) in range.enumerated() { places[name]![place] = Int32(row + offset) }
            row += range.count
            keys = keys.lowerBound..<row
          }
        case .text:
          if !keys.isEmpty { pairs.append((own[text], keys)) }
          text += 1
        }
      }
    }
    guard !pairs.isEmpty else { return nil }
    let tape = pass.tape
    var joined: Tensor?
    for tower in towers {
      guard let own = samples[tower.modality.name] else { continue }
      let isBlank = own.ranges.isEmpty
      let placed =
        isPlain
        ? own.rows
        : tape.placeRows(
          isBlank ? tape.selectRows(own.rows, []) : own.rows, at: isBlank ? [] : places[tower.modality.name]!, of: row)
      joined = joined.map { tape.add(placed, $0) } ?? placed
    }
    return joined.map { CrossInput(keyValues: keyValues($0, pass), pairs: pairs) }
  }

  private func keyValues(_ rows: Tensor, _ pass: ForwardPass) -> [Tensor] {
    textTower.blocks.compactMap { $0.cross?.keyValues(rows, pass.tape) }
  }

  func makeCache() -> FusionCache {
    FusionCache(
      blocks: text.layers, capacity: text.text.context, columns: text.keyValueHeads * text.headWidth)
  }

  func read(_ sample: Tensor, of modality: any SampledModality, _ cache: FusionCache, _ pass: ForwardPass) {
    guard let tower = towers.first(where: { $0.modality.name == modality.name }) else { return }
    cache.rows.append(tower(sample, tasks: [0], nil, pass))
    cache.keyValues = keyValues(cache.rows.count > 1 ? Tensor.stacked(cache.rows) : cache.rows[0], pass)
  }

  func next(_ ids: [Int32], position: Int, _ cache: FusionCache, _ pass: ForwardPass) -> Tensor {
    let x = tokens(ids, positions: ids.indices.map { Int32(position + $0) }, pass.tape)
    let tags = TokenTags(tasks: ids.map { _ in 0 })
    let cross = cache.keyValues.first.map {
      CrossInput(keyValues: cache.keyValues, pairs: [(0..<ids.count, 0..<$0.rows)])
    }
    return textNorm(textTower(x, sequence: ids.count, tags: tags, caches: cache.blocks, cross: cross, pass), pass.tape)
  }

  var unreached: [UnreachedParameters] { towers.flatMap(\.backbone.unreached) + textTower.unreached }

  func afterStep() {
    for tower in towers { tower.backbone.afterStep() }
    textTower.afterStep()
  }
}
