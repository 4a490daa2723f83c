import MMoEConfig
import MMoEData
import MMoEModels
import MMoEReport
import MMoETrain

/// What `--dry-run` finds in the data of a run. Nothing is made of it: no shards, no pictures.
struct DataSurvey {
  /// Names and counts, in the order in which they are shown.
  private(set) var counts: [(name: String, value: Int)] = []
  private(set) var notes: [String] = []
  let path: String

  /// - Parameter config: its ends follow the data, as they do in training.
  /// - Throws: what is wrong with the data.
  init(_ task: TaskKind, _ path: String, _ config: inout RunConfig) throws {
    self.path = path
    switch task {
    case .imagenetSubset:
      let folder = try ImageFolder(path: path)
      config.model.vision.classes = folder.classes.count
      try add(folder)
    case .lm: config.model.text.vocabulary = try add(text: path, config)
    case .multimodal: try add(pairs: path, &config)
    }
  }

  var json: JSONValue {
    var fields: [String: JSONValue] = ["path": .string(path), "notes": .array(notes.map { .string($0) })]
    for (name, value) in counts { fields[name.replacing(" ", with: "_")] = .int(value) }
    return .object(fields)
  }

  private mutating func add(_ folder: ImageFolder) throws {
    counts += [
      ("classes", folder.classes.count), ("train images", try folder[.train].count),
      ("val images", try folder[.val].count),
    ]
    notes += folder.notes
  }

  /// - Returns: the size of the vocabulary.
  private mutating func add(text path: String, _ config: RunConfig) throws -> Int {
    if TokenCorpus.isShardFolder(path) {
      let tokenizer = try TokenizerFiles.tokenizer(path + "/tokenizer")
      for split in DatasetSplit.allCases {
        let corpus = try TokenCorpus(path, split: split, tokenizer: tokenizer)
        counts += [("\(split.rawValue) tokens", corpus.tokens), ("\(split.rawValue) documents", corpus.documents)]
      }
      return tokenizer.vocabularySize
    }
    let text = try TextInspection(path: path)
    counts += [("text files", text.files), ("text bytes", text.bytes)]
    for split in DatasetSplit.allCases {
      if let named = text.named?[split] { counts.append(("\(split.rawValue) files", named)) }
    }
    if let leftOut = text.leftOut.text { notes.append("\(path): \(leftOut)") }
    // The tokens that a tokenizer learns are at most as many as it is asked for.
    let isLearned = config.tokenizer.kind == .bpe && config.tokenizer.path == nil
    return isLearned ? config.tokenizer.vocabulary : try TextData.tokenizer(config.tokenizer).vocabularySize
  }

  private mutating func add(pairs path: String, _ config: inout RunConfig) throws {
    let folder = try PairFolder(path: path, validationShare: config.text.validationShare)
    for split in DatasetSplit.allCases {
      let set = folder[split]
      counts += [
        ("\(split.rawValue) images", set.count),
        ("\(split.rawValue) captions", set.images.reduce(0) { $0 + $1.captions.count }),
        ("\(split.rawValue) groups", set.groups.count),
      ]
    }
    let tokenizer = try PairData.tokenizer(config.tokenizer, captions: folder[.train])
    notes += try PairData.notes(folder, tokenizer, config, evaluated: false)
    var labels = folder.labels
    if let images = config.mixture.images {
      let mixed = try ImageFolder(path: images)
      labels += mixed.classes.filter { !labels.contains($0) }
      for split in DatasetSplit.allCases { counts.append(("mixed \(split.rawValue) images", try mixed[split].count)) }
      notes += mixed.notes
    }
    if let text = config.mixture.text {
      let before = counts.count
      _ = try add(text: text, config)
      for index in before..<counts.count { counts[index].name = "mixed " + counts[index].name }
    }
    counts.append(("labels", labels.count))
    config.model.vision.classes = labels.count
    config.model.text.vocabulary = tokenizer.vocabularySize
  }
}
