import MMoEConfig
import MMoEData
import MMoEFiles
import MMoEModels
import MMoEReport

/// What `--task` names: a model, its data, what is measured and shown. All that commands know of a task is here, so that a
/// further one is one file with a value of this type and one registration.
public struct TaskKind: Sendable {
  /// What the data of a run is opened with.
  public struct DataRequest {
    /// What `--data` names; nil = the data that comes with the project, made when it is missing.
    public let path: String?
    public let config: RunConfig
    /// Files of the tokenizer that the run takes over, from a checkpoint or from initial weights; nil where it has none.
    public let attachments: [String: [UInt8]]?
    /// What a checkpoint that is only evaluated knows of its data, such as class names, of which this data may lack some;
    /// nil for data that is learned from.
    public let known: [String: [String]]?
    public let sink: any TextSink
  }

  /// On the command line and in checkpoints, such as `imagenet-subset`.
  public let name: String
  /// For help: what is learned.
  package let summary: String
  /// For help: what `--data` names.
  package let dataForm: String
  package let model: ModelKind
  /// What `mmoe train --task …` uses without `--preset`.
  package let defaultPreset: String
  /// What a validation of a model is judged and shown by.
  package let metrics: @Sendable (ModelConfig) -> TaskMetrics
  private let chooser: @Sendable (String) throws -> PresetChoice?
  private let opener: @Sendable (DataRequest) throws -> any TaskData
  private let surveyor: @Sendable (String, inout RunConfig) throws -> DataSurvey

  /// - Parameters:
  ///   - choosePreset: the preset of a run on data at a path that names none; nil = the default one.
  ///   - open: looks at the data of a run.
  ///   - survey: what `--dry-run` says of data at a path; it makes nothing and lets the model's ends follow the data.
  public init(
    name: String, summary: String, dataForm: String, model: ModelKind, defaultPreset: String,
    metrics: @escaping @Sendable (ModelConfig) -> TaskMetrics,
    choosePreset: @escaping @Sendable (_ path: String) throws -> PresetChoice? = { _ in nil },
    open: @escaping @Sendable (DataRequest) throws -> any TaskData,
    survey: @escaping @Sendable (_ path: String, _ config: inout RunConfig) throws -> DataSurvey
  ) {
    (self.name, self.summary, self.dataForm, self.model) = (name, summary, dataForm, model)
    (self.defaultPreset, self.metrics) = (defaultPreset, metrics)
    (chooser, opener, surveyor) = (choosePreset, open, survey)
  }

  /// Every task, in the order in which they are listed.
  private static let registry = Registry<TaskKind>("task", [imagenetSubset, lm, multimodal].map { ($0.name, $0) })

  /// Adds a task, before a command line is read that names it.
  ///
  /// - Throws: `RegistryError` for a name that is taken or cannot be written.
  public static func register(_ task: TaskKind) throws { try registry.register(task.name, task) }

  /// - Throws: `ConfigError` naming the valid ones.
  package init(named name: String) throws {
    guard let kind = TaskKind.registry[name] else {
      throw ConfigError("--task \(name)", found: "no such task", remedy: "valid are \(TaskKind.registry.listing)")
    }
    self = kind
  }

  /// The first task that trains a kind of model.
  ///
  /// - Throws: `ConfigError` where none does.
  package init(training kind: ModelKind) throws {
    guard let task = TaskKind.allCases.first(where: { $0.model == kind }) else {
      throw ConfigError(field: "model.kind", found: kind.rawValue, expected: "a kind that a task trains")
    }
    self = task
  }

  /// - Throws: `ConfigError` when a preset is made for another task.
  package func requireModel(_ config: RunConfig, preset: String) throws {
    guard config.model.kind != model else { return }
    throw ConfigError(
      "preset \(preset): model.kind is \(config.model.kind.rawValue), expected \(model.rawValue) for --task \(name); `mmoe presets` lists them"
    )
  }

  /// Opens the data of a run.
  ///
  /// - Parameters:
  ///   - path: what `--data` names; nil = the data that comes with the project, made when it is missing.
  ///   - checkpoint: whose tokenizer and class names must fit; nil for a new run.
  ///   - attachments: files of a tokenizer that a new run takes over.
  ///   - training: whether it is learned from; what is only evaluated may lack some of the checkpoint's classes.
  /// - Throws: what is wrong with the data.
  package func openData(
    _ path: String?, _ config: RunConfig, checkpoint: LoadedCheckpoint?, attachments: [String: [UInt8]]? = nil,
    training: Bool = false, _ sink: any TextSink
  ) throws -> any TaskData {
    let request = DataRequest(
      path: path, config: config, attachments: checkpoint?.info.attachments ?? attachments,
      known: training ? nil : checkpoint?.info.vocabulary, sink: sink)
    let data = try ProjectHome.filling { try opener(request) }
    try checkpoint?.requireVocabulary(data.vocabulary, data: data.path)
    for note in data.notes { sink.line("note: \(note)") }
    return data
  }

  /// The preset of a run on data at a path that names none; nil = the default one.
  ///
  /// - Throws: what is wrong with the data.
  package func choosePreset(for path: String) throws -> PresetChoice? { try chooser(path) }

  /// What `--dry-run` finds in the data of a run.
  ///
  /// - Parameter config: its ends follow the data, as they do in training.
  /// - Throws: what is wrong with the data.
  package func survey(_ path: String, _ config: inout RunConfig) throws -> DataSurvey { try surveyor(path, &config) }
}

extension TaskKind: CaseIterable, Hashable {
  public static var allCases: [TaskKind] { registry.values }
  public static func == (a: Self, b: Self) -> Bool { a.name == b.name }
  public func hash(into hasher: inout Hasher) { hasher.combine(name) }
}
