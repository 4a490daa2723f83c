import MMoEConfig
import MMoEData
import MMoEReport

extension TaskKind {
  /// Next-token prediction on a corpus by a causal transformer.
  package static let lm = TaskKind(
    name: "lm", summary: "next tokens of text", dataForm: "text, JSONL, or shards", model: .gpt,
    defaultPreset: "gpt-wordnet",
    metrics: { _ in
      TaskMetrics(
        unit: "tokens", best: ("loss", higherIsBetter: false, isShare: false),
        headlines: [
          Headline("perplexity", "perplexity", isShare: false),
          Headline("bits_per_byte", "bits a byte", isShare: false),
        ])
    },
    open: { request in
      try TextData(
        request.path ?? BuiltInText.prepare(sink: request.sink), request.config, attachments: request.attachments,
        request.sink)
    },
    survey: { path, config in
      let (survey, vocabulary) = try DataSurvey.text(path, config)
      config.model.text.vocabulary = vocabulary
      return survey
    })
}

extension DataSurvey {
  /// Counts of a text or of shards, and the size of the vocabulary.
  static func text(_ path: String, _ config: RunConfig) throws -> (survey: DataSurvey, vocabulary: Int) {
    var survey = DataSurvey(path)
    if TokenCorpus.isShardFolder(path) {
      let tokenizer = try TokenizerFiles.tokenizer(path + "/tokenizer")
      for split in DatasetSplit.allCases {
        let corpus = try TokenCorpus(path, split: split, tokenizer: tokenizer)
        survey.count("\(split.rawValue) tokens", corpus.tokens)
        survey.count("\(split.rawValue) documents", corpus.documents)
      }
      return (survey, tokenizer.vocabularySize)
    }
    let text = try TextInspection(path: path)
    survey.count("text files", text.files)
    survey.count("text bytes", text.bytes)
    for split in DatasetSplit.allCases {
      if let named = text.named?[split] { survey.count("\(split.rawValue) files", named) }
    }
    if let leftOut = text.leftOut.text { survey.note(["\(path): \(leftOut)"]) }
    // The tokens that a tokenizer learns are at most as many as it is asked for.
    let isLearned = config.tokenizer.kind == .bpe && config.tokenizer.path == nil
    return (
      survey, isLearned ? config.tokenizer.vocabulary : try TextData.tokenizer(config.tokenizer).vocabularySize
    )
  }
}
