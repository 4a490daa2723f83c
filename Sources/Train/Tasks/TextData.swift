import Foundation
import MMoEConfig
import MMoEData
import MMoEFiles
import MMoEParallel
import MMoEReport
import MMoETensor

/// The text of a language model: shards of tokens, and the tokenizer that made them.
package struct TextData: TaskData {
  /// What the user named.
  package let path: String
  /// The folder of shards.
  package let shards: String
  package let tokenizer: any Tokenizer

  /// - Parameters:
  ///   - attachments: of the checkpoint that is evaluated or resumed: its tokenizer; nil for a new run.
  ///   - cache: where shards and learned tokenizers are kept.
  /// - Throws: `DataError` or `TrainError` for what is wrong with text, shards or tokenizer.
  package init(
    _ path: String, _ config: RunConfig, attachments: [String: [UInt8]]?,
    cache: String = ProjectHome.cache + "/tokens", _ sink: any TextSink
  ) throws {
    self.path = path
    var options = CorpusTokenizer.Options()
    options.field = config.text.field
    options.documents = config.text.documents
    options.validationShare = config.data.validationShare
    tokenizer =
      if let attachments {
        try TokenizerAttachments.load(attachments)
      } else if TokenCorpus.isShardFolder(path) {
        try TokenizerFiles.tokenizer(path + "/tokenizer")
      } else {
        try TextData.tokenizer(config.tokenizer, text: path, options, cache: cache, sink)
      }
    shards = try CorpusWork.shards(
      for: path, tokenizer: tokenizer, options: options, cache: cache, threads: config.data.workers, sink: sink)
  }

  package var vocabulary: [String: [String]] { ["tokenizer": [tokenizer.fingerprint]] }

  /// Files that are left out were named while the text was read.
  package var notes: [String] { [] }

  package func parts(training: Bool) throws -> [DatasetSplit: DataPart] {
    try TextData.parts(shards, tokenizer, training: training)
  }

  /// The parts of a folder of shards.
  package static func parts(
    _ shards: String, _ tokenizer: any Tokenizer, training: Bool
  ) throws -> [DatasetSplit: DataPart] {
    let splits: [DatasetSplit] = training ? [.train, .val] : [.val]
    return try Dictionary(
      uniqueKeysWithValues: splits.map { ($0, DataPart(try TokenCorpus(shards, split: $0, tokenizer: tokenizer))) })
  }

  package func adapt(_ config: inout RunConfig, _ sink: any TextSink) {
    guard tokenizer.vocabularySize != config.model.text.vocabulary else { return }
    sink.line(
      "note: the tokenizer \(tokenizer.fingerprint) has \(tokenizer.vocabularySize) tokens; embedding and head get as many (model.vocabulary was \(config.model.text.vocabulary))"
    )
    config.model.text.vocabulary = tokenizer.vocabularySize
  }

  package func makeJob(
    _ config: RunConfig, training: Bool, loadsWeights: Bool, engine: Engine, team: RankTeam?
  ) throws -> any TrainingTask {
    try LanguageModeling(config, data: self, training: training, loadsWeights: loadsWeights, engine: engine, team: team)
  }

  /// The tokenizer that the configuration asks for.
  private static func tokenizer(
    _ config: TokenizerConfig, text: String, _ options: CorpusTokenizer.Options, cache: String,
    _ sink: any TextSink
  ) throws -> any Tokenizer {
    guard config.kind == .bpe, config.path == nil else { return try tokenizer(config) }
    return try CorpusPreparation.learnedTokenizer(
      data: text, vocabulary: config.vocabulary, cache: cache, options: options, note: { sink.line($0) })
  }

  /// The tokenizer of a configuration that asks for none to be learned.
  package static func tokenizer(_ config: TokenizerConfig) throws -> any Tokenizer {
    switch (config.kind, config.path) {
    case (.byte, nil): return ByteTokenizer()
    case (.byte, let path?):
      throw TrainError(
        field: "tokenizer.path", found: "\(path), but tokenizer.kind is byte, which needs none",
        remedy: "set tokenizer.kind=bpe or gpt2")
    case (.gpt2, nil):
      throw TrainError(
        "tokenizer.path is none, expected a folder with GPT-2's encoder.json and vocab.bpe for tokenizer.kind=gpt2")
    case (.gpt2, let path?):
      let found = try TokenizerFiles.load(path)
      guard found.vocabularySize == 50_257 else {
        throw TrainError(
          path, found: "\(found.vocabularySize) tokens", expected: "50257 for tokenizer.kind=gpt2",
          remedy: "set tokenizer.kind=bpe")
      }
      return found
    case (.bpe, let path?): return try TokenizerFiles.load(path)
    case (.bpe, nil): preconditionFailure("a tokenizer that is learned needs its text")
    }
  }
}
