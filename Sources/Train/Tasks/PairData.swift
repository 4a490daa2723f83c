import Foundation
import MMoEConfig
import MMoEData
import MMoEFiles
import MMoEParallel
import MMoEReport
import MMoETensor

/// A folder of pairs with the tokenizer of its captions.
package struct PairData: TaskData {
  package let path: String
  package let folder: PairFolder
  package let tokenizer: any Tokenizer
  package let mixture: MixtureData
  /// What should be said before it is used: files that are left out, groups, and captions that are cut.
  package let notes: [String]
  private let known: [String]?

  /// - Parameters:
  ///   - attachments: of the checkpoint that is evaluated or resumed: its tokenizer; nil for a new run.
  ///   - known: the labels of a checkpoint that is evaluated, of which the data may lack some; nil = those of the data.
  ///   - cache: where shards of text that is mixed in are kept.
  /// - Throws: `DataError` or `TrainError` for what is wrong with the folder, what is mixed in, or the tokenizer.
  package init(
    _ path: String, _ config: RunConfig, attachments: [String: [UInt8]]?, known: [String]? = nil,
    cache: String = ProjectHome.cache + "/tokens", _ sink: any TextSink
  ) throws {
    (self.path, self.known) = (path, known)
    folder = try PairFolder(path: path, validationShare: config.data.validationShare, known: known)
    tokenizer =
      try attachments.map(TokenizerAttachments.load) ?? PairData.tokenizer(config.tokenizer, captions: folder[.train])
    mixture = try MixtureData(config, tokenizer: tokenizer, cache: cache, sink)
    if let known, let strange = mixture.images?.classes.first(where: { !known.contains($0) }) {
      throw TrainError(
        "mixture.images: the class \(strange) is unknown to the model, expected \(known.prefix(5).joined(separator: ", ")); move it out of the folder"
      )
    }
    notes = try PairData.notes(folder, tokenizer, config, evaluated: known != nil)
  }

  /// The tokenizer that the configuration asks for.
  package static func tokenizer(_ config: TokenizerConfig, captions: PairSet) throws -> any Tokenizer {
    guard config.kind == .bpe, config.path == nil else { return try TextData.tokenizer(config) }
    // With a space before it a word is the same token wherever it stands.
    let text = captions.items.flatMap(\.captions).map { CaptionTokens.text(of: $0) + "\n" }.joined()
    var trainer = BytePairTrainer([UInt8](text.utf8))
    return try trainer.train(vocabularySize: config.vocabulary)
  }

  /// Files that are left out, groups, and captions and files that are cut.
  package static func notes(
    _ folder: PairFolder, _ tokenizer: any Tokenizer, _ config: RunConfig, evaluated: Bool
  ) throws -> [String] {
    let sets = evaluated ? [folder[.val]] : DatasetSplit.allCases.map { folder[$0] }
    let cut = try CaptionTokens(tokenizer).cutNote(sets, context: config.model.text.context)
    let shapes = config.model.sampledModalities.map { ($0.sample, $0.shape(config.model)) }
    return try folder.notes + [evaluated ? nil : folder.groupNote, cut].compactMap { $0 }
      + PairSet.cutNotes(sets, shapes: Dictionary(uniqueKeysWithValues: shapes))
  }

  /// The pairs' labels, and after them those that only labeled images have.
  package var labels: [String] {
    known ?? folder.labels + (mixture.images?.classes ?? []).filter { !folder.labels.contains($0) }
  }

  package var vocabulary: [String: [String]] { ["tokenizer": [tokenizer.fingerprint], "labels": labels] }

  package func parts(training: Bool) throws -> [DatasetSplit: DataPart] {
    let splits: [DatasetSplit] = training ? [.train, .val] : [.val]
    let images = try mixture.images.map {
      try ImageFolder(
        path: $0.path, splits: splits, validationShare: mixture.validationShare)
    }
    let texts = try mixture.shards.map { try TextData.parts($0, tokenizer, training: training) }
    return try Dictionary(
      uniqueKeysWithValues: splits.map { split in
        var mixed: [(name: String, part: DataPart)] = []
        if let images { mixed.append(("mixture.images", try DataPart(images[split], root: images.path))) }
        if let part = texts?[split] { mixed.append(("mixture.text", part)) }
        return (split, try DataPart(folder[split], root: path).mixed(with: mixed))
      })
  }

  package func adapt(_ config: inout RunConfig, _ sink: any TextSink) {
    if tokenizer.vocabularySize != config.model.text.vocabulary {
      sink.line(
        "note: the tokenizer \(tokenizer.fingerprint) has \(tokenizer.vocabularySize) tokens; embedding and head get as many (model.vocabulary was \(config.model.text.vocabulary))"
      )
      config.model.text.vocabulary = tokenizer.vocabularySize
    }
    if labels.count != config.model.vision.classes {
      sink.line(
        "note: \(path) has \(labels.count) labels; the head gets as many (model.classes was \(config.model.vision.classes))"
      )
      config.model.vision.classes = labels.count
    }
  }

  package func makeJob(
    _ config: RunConfig, training: Bool, loadsWeights: Bool, engine: Engine, team: RankTeam?
  ) throws -> any TrainingTask {
    try PairLearning(config, data: self, training: training, loadsWeights: loadsWeights, engine: engine, team: team)
  }
}
