import MMoEData
import MMoEModels
import MMoETensor

/// What one pass of a model reads of a batch of pairs, and which parts serve which task.
///
/// Every sample with its caption, and every caption alone, serve all tasks: samples never see the text. Where gates are told
/// their task (`moe.task_routing`), each task reads the samples and texts that it needs for itself.
///
/// Of a modality that no item of the batch has, the pass reads a blank sample (`PackedSequences.blanks`).
package struct PairPass {
  package typealias Task = FusionConfig.Task

  /// Some of a modality's samples.
  struct Samples {
    /// Numbers among all of the pass.
    var numbers: [Int] = []
    /// Of each, the place of its item in the batch.
    var items: [Int] = []
  }

  /// A sequence whose text is an item's caption.
  struct Text {
    let sequence, item: Int
  }

  let packed: PackedSequences
  /// Captions after samples, texts to be compared, and texts to be modeled.
  private(set) var captions: [Text] = []
  private(set) var comparedTexts: [Text] = []
  private(set) var modeledTexts: [Text] = []
  /// By modality: samples to be compared, and to be classified.
  private(set) var compared: [String: Samples] = [:]
  private(set) var labeled: [String: Samples] = [:]
  /// Of every sequence, the place of the item whose samples it has; −1 = none.
  private(set) var items: [Int] = []
  /// Labeled images and texts that are no pairs.
  let mixedImages: Range<Int>
  let mixedTexts: Range<Int>
  private let mixed: MixedBatch

  /// - Parameters:
  ///   - tasks: those that the pass serves.
  ///   - readsTextsAlone: whether texts are compared too, not samples only.
  ///   - model: its modalities, and whether each task reads for itself.
  ///   - mixed: what else the pass reads.
  init(
    _ batch: PairBatch, _ tokens: CaptionTokens, _ tasks: Set<Task>, readsTextsAlone: Bool, model: ModelConfig,
    mixed: MixedBatch = MixedBatch()
  ) {
    self.mixed = mixed
    var reader = PairReader(batch, tokens, model)
    let needsTexts = tasks.contains(.language) || (tasks.contains(.contrastive) && readsTextsAlone)
    let classified = Set(model.sampledModalities.filter { $0.classHead != nil }.map(\.name))
    if model.moe.taskRouting {
      if tasks.contains(.caption) { captions = reader.addSamples(.caption, withTexts: true).texts }
      if tasks.contains(.contrastive) {
        compared = reader.addSamples(.contrastive, withTexts: false).samples
        if readsTextsAlone { comparedTexts = reader.addTexts(.contrastive) }
      }
      if tasks.contains(.classification) {
        labeled = reader.addSamples(.classification, of: classified, withTexts: false).samples
      }
      if tasks.contains(.language) { modeledTexts = reader.addTexts(.language) }
    } else {
      if !tasks.isDisjoint(with: [.caption, .contrastive, .classification]) {
        let isForLabels = tasks.isDisjoint(with: [.caption, .contrastive])
        let added = reader.addSamples(
          .caption, of: isForLabels ? classified : nil, withTexts: tasks.contains(.caption))
        (captions, compared) = (added.texts, added.samples)
        labeled = added.samples.filter { classified.contains($0.key) }
      }
      if needsTexts {
        let alone = reader.addTexts(.language)
        (comparedTexts, modeledTexts) = (alone, alone)
      }
    }
    let images = reader.count(of: VisionModality.name)
    mixedImages = images..<images + mixed.labels.count
    reader.add(mixedImages.map { .init(image: $0, task: Task.classification.rawValue, reading: reader.reading) })
    mixedTexts = reader.sequences.count..<reader.sequences.count + mixed.texts.count
    reader.add(mixed.texts.map { .init(text: $0, task: Task.language.rawValue, reading: reader.reading + 1) })
    var parts = reader.parts
    if let pixels = mixed.pixels { parts[VisionModality.name, default: []].append(pixels) }
    packed = PackedSequences(
      parts.mapValues { $0.count > 1 ? Tensor.stacked($0) : $0[0] }, reader.sequences,
      blanks: reader.missing.subtracting(parts.keys))
    items = reader.items
  }

  /// The next tokens of some captions, and none of the others: what a loss over these wants.
  ///
  /// - Parameter andMixed: whether those of the texts that are no captions count too.
  func targets(
    _ counted: [Text], _ batch: PairBatch, _ tokens: CaptionTokens, andMixed: Bool = false
  ) -> [[Int32]] {
    let items = Dictionary(uniqueKeysWithValues: counted.map { ($0.sequence, $0.item) })
    return packed.sequences.enumerated().map { index, sequence in
      if andMixed, mixedTexts.contains(index) { return mixed.targets[index - mixedTexts.lowerBound] }
      guard let item = items[index] else { return sequence.text.map { _ in -1 } }
      return batch.captions[item] + [tokens.border]
    }
  }

  /// The labels of a modality's samples that are classified, those of mixed images behind them; −1 = none.
  func labels(of modality: String, _ batch: PairBatch) -> [Int32] {
    (labeled[modality]?.items ?? []).map { batch.labels[$0] }
      + (modality == VisionModality.name ? mixed.labels : [])
  }

  /// Numbers of the samples that have these labels.
  func labeledNumbers(of modality: String) -> [Int] {
    (labeled[modality]?.numbers ?? []) + (modality == VisionModality.name ? Array(mixedImages) : [])
  }
}

/// Sequences in the making.
private struct PairReader {
  private let batch: PairBatch
  private let texts: [[Int32]]
  private let model: ModelConfig
  private(set) var sequences: [PackedSequences.Sequence] = []
  private(set) var items: [Int] = []
  /// By modality: tensors of samples, one after the other.
  private(set) var parts: [String: [Tensor]] = [:]
  /// Modalities that were to be read and have no sample.
  private(set) var missing: Set<String> = []
  /// Number of the next one.
  private(set) var reading = 0

  init(_ batch: PairBatch, _ tokens: CaptionTokens, _ model: ModelConfig) {
    (self.batch, self.model) = (batch, model)
    texts = batch.captions.map { [tokens.border] + $0 }
  }

  func count(of modality: String) -> Int { (parts[modality] ?? []).reduce(0) { $0 + $1.shape[0] } }

  mutating func add(_ more: [PackedSequences.Sequence]) {
    sequences += more
    items += more.map { _ in -1 }
  }

  mutating func addTexts(_ task: PairPass.Task) -> [PairPass.Text] {
    let first = sequences.count
    add(texts.map { .init(text: $0, task: task.rawValue, reading: reading) })
    reading += 1
    return texts.indices.map { PairPass.Text(sequence: first + $0, item: $0) }
  }

  /// Adds the samples of all items, or of some modalities: each alone, with its text where captions are wanted, or those of an
  /// item together, as `fusion.captions` says.
  mutating func addSamples(
    _ task: PairPass.Task, of chosen: Set<String>? = nil, withTexts: Bool
  ) -> (samples: [String: PairPass.Samples], texts: [PairPass.Text]) {
    let modalities = model.sampledModalities.filter { chosen?.contains($0.name) ?? true }
    var samples: [String: PairPass.Samples] = [:]
    for modality in modalities {
      let first = count(of: modality.name)
      guard let own = batch.samples[modality.sample] else {
        missing.insert(modality.name)
        samples[modality.name] = PairPass.Samples()
        continue
      }
      parts[modality.name, default: []].append(own.values)
      samples[modality.name] = PairPass.Samples(
        numbers: Array(first..<first + own.values.shape[0]), items: own.items)
    }
    var captions: [PairPass.Text] = []
    func append(_ segments: [PackedSequences.Segment], item: Int) {
      let text = withTexts ? texts[item] : []
      if !text.isEmpty { captions.append(PairPass.Text(sequence: sequences.count, item: item)) }
      let place = PackedSequences.Sequence.Place(item, of: batch.count)
      sequences.append(.init(segments + [.text(text)], task: task.rawValue, reading: reading, place: place))
      items.append(item)
    }
    let isJoint = withTexts && model.fusion.captions == .joint
    var together: [Int: [PackedSequences.Segment]] = [:]
    for modality in modalities {
      let own = samples[modality.name]!
      for (number, item) in zip(own.numbers, own.items) {
        let segment = PackedSequences.Segment.sample(modality.name, number)
        if isJoint { together[item, default: []].append(segment) } else { append([segment], item: item) }
      }
      if !isJoint { reading += 1 }
    }
    for (item, segments) in together.sorted(by: { $0.key < $1.key }) { append(segments, item: item) }
    if isJoint { reading += 1 }
    return (samples, captions)
  }
}

extension MultimodalTransformer {
  /// What stands for some of a pass's samples of a modality, `[n, d]`.
  package func pooledRows(_ states: PackedStates, of modality: String, _ numbers: [Int], _ tape: Tape) -> Tensor {
    let all = pooledRows(states, of: modality, tape)
    return numbers == Array(0..<all.rows) ? all : tape.selectRows(all, numbers.map(Int32.init))
  }
}
