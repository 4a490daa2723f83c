import MMoEData
import MMoEModels
import MMoETensor

/// What one pass of a model reads of a batch of pairs, and which parts serve which task.
///
/// Every image with its caption, and every caption alone, serve all tasks: patches never see the text. Where gates are told
/// their task (`moe.task_routing`), each task reads the images and texts that it needs for itself.
package struct PairPass {
  package typealias Task = FusionConfig.Task

  let packed: PackedSequences
  /// Sequences whose texts are captions after their image, texts to be compared, and texts to be modeled.
  private(set) var captions = 0..<0
  private(set) var comparedTexts = 0..<0
  private(set) var modeledTexts = 0..<0
  /// Images to be compared, and to be classified.
  private(set) var comparedImages = 0..<0
  private(set) var labeledImages = 0..<0
  /// Labeled images and texts that are no pairs.
  let mixedImages: Range<Int>
  let mixedTexts: Range<Int>
  private let mixed: MixedBatch

  /// - Parameters:
  ///   - tasks: those that the pass serves.
  ///   - readsTextsAlone: whether texts are compared too, not images only.
  ///   - isSeparate: whether each task reads for itself.
  ///   - mixed: what else the pass reads.
  init(
    _ batch: PairBatch, _ tokens: CaptionTokens, _ tasks: Set<Task>, readsTextsAlone: Bool, isSeparate: Bool,
    mixed: MixedBatch = MixedBatch()
  ) {
    self.mixed = mixed
    let count = batch.captions.count
    let texts = batch.captions.map { [tokens.border] + $0 }
    var sequences: [PackedSequences.Sequence] = []
    var copies = 0
    // Of all the batch's pairs, for one task or several.
    var reading = 0
    /// Adds every image, alone or with its text, and returns the numbers of sequences and images.
    func addImages(_ task: Task, withTexts: Bool) -> (sequences: Range<Int>, images: Range<Int>) {
      let (first, image) = (sequences.count, copies * count)
      for index in 0..<count {
        sequences.append(
          .init(image: image + index, text: withTexts ? texts[index] : [], task: task.rawValue, reading: reading))
      }
      (copies, reading) = (copies + 1, reading + 1)
      return (first..<sequences.count, image..<image + count)
    }
    func addTexts(_ task: Task) -> Range<Int> {
      let first = sequences.count
      sequences += texts.map { .init(text: $0, task: task.rawValue, reading: reading) }
      reading += 1
      return first..<sequences.count
    }
    let needsTexts = tasks.contains(.language) || (tasks.contains(.contrastive) && readsTextsAlone)
    if isSeparate {
      if tasks.contains(.caption) { captions = addImages(.caption, withTexts: true).sequences }
      if tasks.contains(.contrastive) {
        comparedImages = addImages(.contrastive, withTexts: false).images
        if readsTextsAlone { comparedTexts = addTexts(.contrastive) }
      }
      if tasks.contains(.classification) { labeledImages = addImages(.classification, withTexts: false).images }
      if tasks.contains(.language) { modeledTexts = addTexts(.language) }
    } else {
      if !tasks.isDisjoint(with: [.caption, .contrastive, .classification]) {
        let added = addImages(.caption, withTexts: tasks.contains(.caption))
        if tasks.contains(.caption) { captions = added.sequences }
        (comparedImages, labeledImages) = (added.images, added.images)
      }
      if needsTexts {
        let alone = addTexts(.language)
        (comparedTexts, modeledTexts) = (alone, alone)
      }
    }
    mixedImages = copies * count..<copies * count + mixed.labels.count
    sequences += mixedImages.map { .init(image: $0, task: Task.classification.rawValue, reading: reading) }
    mixedTexts = sequences.count..<sequences.count + mixed.texts.count
    sequences += mixed.texts.map { .init(text: $0, task: Task.language.rawValue, reading: reading + 1) }
    let parts = Array(repeating: batch.images.pixels, count: copies) + [mixed.pixels].compactMap { $0 }
    packed = PackedSequences(images: parts.count > 1 ? Tensor.stacked(parts) : parts.first, sequences)
  }

  /// The next tokens of some captions, and none of the others: what a loss over these wants.
  ///
  /// - Parameter andMixed: whether those of the texts that are no captions count too.
  func targets(
    _ counted: Range<Int>, _ batch: PairBatch, _ tokens: CaptionTokens, andMixed: Bool = false
  ) -> [[Int32]] {
    packed.sequences.enumerated().map { index, sequence in
      if andMixed, mixedTexts.contains(index) { return mixed.targets[index - mixedTexts.lowerBound] }
      guard counted.contains(index) else { return sequence.text.map { _ in -1 } }
      return batch.captions[index - counted.lowerBound] + [tokens.border]
    }
  }
}

extension MultimodalTransformer {
  /// The rows of some of a pass's images, `[I, d]`.
  package func imageRows(_ states: PackedStates, _ images: [Int], _ tape: Tape) -> Tensor {
    let all = imageRows(states, tape)
    return images == Array(0..<all.rows) ? all : tape.selectRows(all, images.map(Int32.init))
  }
}
