import MMoEConfig
import MMoEData
import MMoEModels
import MMoEReport

extension TaskKind {
  /// Images and their captions in one transformer, for captions, retrieval and labels.
  package static let multimodal = TaskKind(
    name: "multimodal", summary: "captions, retrieval and labels of images with texts",
    dataForm: "a folder with captions.jsonl", model: .multimodal, defaultPreset: "pairs-emoji",
    metrics: { model in
      let recalls = Retrieval.directions(model).enumerated().map { number, direction in
        Headline(direction.metric(at: 10), "\(direction.words)\(number == 0 ? " recall@10" : "")", isShare: true)
      }
      return TaskMetrics(
        unit: "pairs", best: ("recall_at_10", higherIsBetter: true, isShare: true),
        headlines: recalls + [Headline("caption_f1", "caption F1", isShare: false)],
        progress: [Headline(MetricName.trainTop1, "top-1", isShare: true)])
    },
    open: { request in
      try PairData(
        request.path ?? BuiltInPairs.prepare(for: request.config, sink: request.sink), request.config,
        attachments: request.attachments,
        known: request.known?["labels"], request.sink)
    },
    survey: { path, config in try DataSurvey.pairs(path, &config) })
}

extension DataSurvey {
  fileprivate static func pairs(_ path: String, _ config: inout RunConfig) throws -> DataSurvey {
    var survey = DataSurvey(path)
    let folder = try PairFolder(path: path, validationShare: config.data.validationShare)
    for split in DatasetSplit.allCases {
      let set = folder[split]
      for field in set.fields {
        guard let format = SampleFormat.registry[field] else { continue }
        survey.count("\(split.rawValue) \(format.plural)", set.items.reduce(0) { $0 + $1[field].count })
      }
      survey.count("\(split.rawValue) captions", set.items.reduce(0) { $0 + $1.captions.count })
      survey.count("\(split.rawValue) groups", set.groups.count)
    }
    let tokenizer = try PairData.tokenizer(config.tokenizer, captions: folder[.train])
    survey.note(try PairData.notes(folder, tokenizer, config, evaluated: false))
    var labels = folder.labels
    if let path = config.mixture.images {
      let mixed = try ImageFolder(path: path, validationShare: config.data.validationShare)
      labels += mixed.classes.filter { !labels.contains($0) }
      for split in DatasetSplit.allCases { survey.count("mixed \(split.rawValue) images", try mixed[split].count) }
      survey.note(mixed.notes)
    }
    if let text = config.mixture.text { survey.add(try DataSurvey.text(text, config).survey, as: "mixed") }
    survey.count("labels", labels.count)
    config.model.vision.classes = labels.count
    config.model.text.vocabulary = tokenizer.vocabularySize
    return survey
  }
}
