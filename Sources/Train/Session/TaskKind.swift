import MMoEData
import MMoEModels
import MMoEParallel
import MMoETensor

/// The tasks by their names on the command line.
public enum TaskKind: String, CaseIterable, Sendable {
  case imagenetSubset = "imagenet-subset"
  case lm
  case multimodal

  /// - Throws: `TrainError` naming the valid ones.
  public init(named name: String) throws {
    guard let kind = TaskKind(rawValue: name) else {
      throw TrainError("--task \(name): no such task; valid are \(TaskKind.names)")
    }
    self = kind
  }

  /// The task that trains a kind of model.
  init(training kind: ModelKind) { self = TaskKind.allCases.first { $0.modelKind == kind } ?? .lm }

  /// All names, for messages.
  static var names: String { allCases.map(\.rawValue).joined(separator: ", ") }

  /// What `mmoe train --task …` uses without `--preset`.
  public var defaultPreset: String {
    switch self {
    case .imagenetSubset: "vit-shapes"
    case .lm: "gpt-wordnet"
    case .multimodal: "pairs-emoji"
    }
  }

  /// The kind of model that it trains.
  var modelKind: ModelKind {
    switch self {
    case .imagenetSubset: .vit
    case .lm: .gpt
    case .multimodal: .multimodal
    }
  }

  /// - Throws: `TrainError` when a preset is made for another task.
  func requireModel(_ config: RunConfig, preset: String) throws {
    guard config.model.kind != modelKind else { return }
    throw TrainError(
      "preset \(preset): model.kind is \(config.model.kind.rawValue), expected \(modelKind.rawValue) for --task \(rawValue); `mmoe presets` lists them"
    )
  }

  /// Opens the data of a run.
  ///
  /// - Parameters:
  ///   - path: what `--data` names; nil = the data that comes with the project, made when it is missing.
  ///   - checkpoint: whose tokenizer and class names must fit; nil for a new run.
  ///   - attachments: files of a tokenizer that a new run takes over.
  ///   - training: whether it is learnt from; what is only evaluated may lack some of the checkpoint's classes.
  /// - Throws: what is wrong with the data.
  func openData(
    _ path: String?, _ config: RunConfig, checkpoint: LoadedCheckpoint?, attachments: [String: [UInt8]]? = nil,
    training: Bool = false, _ sink: any TextSink
  ) throws -> any TaskData {
    let known = training ? nil : checkpoint?.info.vocabulary
    let data: any TaskData = try ProjectHome.filling {
      switch self {
      case .imagenetSubset:
        try ImageData(
          path ?? EmbeddedImages.prepare(imageSize: config.model.vision.image, sink: sink), known: known?["classes"])
      case .lm:
        try TextData(
          path ?? EmbeddedText.prepare(sink: sink), config,
          attachments: checkpoint?.info.attachments ?? attachments, sink)
      case .multimodal:
        try PairData(
          path ?? EmbeddedPairs.prepare(sink: sink), config, attachments: checkpoint?.info.attachments ?? attachments,
          known: known?["labels"], sink)
      }
    }
    try checkpoint?.requireVocabulary(data.vocabulary, data: data.path)
    for note in data.notes { sink.line("note: \(note)") }
    return data
  }
}

/// Data that was looked at: what the model must follow, and how both become a job.
protocol TaskData {
  /// For messages.
  var path: String { get }
  /// Names that a checkpoint of this data remembers and compares.
  var vocabulary: [String: [String]] { get }
  /// Digests and counts of the validation part, and of the training part where it is used.
  ///
  /// - Throws: `DataError` for a file that cannot be read.
  func parts(training: Bool) throws -> [DatasetSplit: DataPart]
  /// What should be said before it is used, such as files that are left out.
  var notes: [String] { get }
  /// Lets the model's ends follow the data.
  func adapt(_ config: inout RunConfig, _ sink: any TextSink)
  /// - Parameters:
  ///   - training: whether the training part is needed too.
  ///   - filled: whether a checkpoint gives all weights, which then are not drawn.
  ///   - team: the ranks that train together; nil = this process alone.
  func makeJob(
    _ config: RunConfig, training: Bool, filled: Bool, engine: Engine, team: RankTeam?
  ) throws -> any TrainingTask
}

/// An image folder.
struct ImageData: TaskData {
  let path: String
  private let folder: ImageFolder
  private let known: [String]?
  private var classes: [String] { folder.classes }

  /// - Parameter known: the classes of a checkpoint that is evaluated; nil where both parts are used.
  init(_ path: String, known: [String]? = nil) throws {
    (self.path, self.known) = (path, known)
    folder = try ImageFolder(path: path, splits: known == nil ? DatasetSplit.allCases : [.val], known: known)
  }

  var vocabulary: [String: [String]] { ["classes": classes] }
  var notes: [String] { folder.notes }

  func parts(training: Bool) throws -> [DatasetSplit: DataPart] {
    let splits: [DatasetSplit] = training ? [.train, .val] : [.val]
    return try Dictionary(uniqueKeysWithValues: splits.map { ($0, try DataPart(folder[$0], root: path)) })
  }

  func adapt(_ config: inout RunConfig, _ sink: any TextSink) {
    guard classes.count != config.model.vision.classes else { return }
    sink.line(
      "note: \(path) has \(classes.count) classes; the head gets as many (model.classes was \(config.model.vision.classes))"
    )
    config.model.vision.classes = classes.count
  }

  func makeJob(
    _ config: RunConfig, training: Bool, filled: Bool, engine: Engine, team: RankTeam?
  ) throws -> any TrainingTask {
    try ImageClassification(
      config, data: path, known: known, training: training, filled: filled, engine: engine, team: team)
  }
}
