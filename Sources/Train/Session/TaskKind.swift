import MMoEModels
import MMoEParallel
import MMoETensor

/// The tasks by their names on the command line: what each starts from and how it is joined with data.
public enum TaskKind: String, CaseIterable, Sendable {
  case imagenetSubset = "imagenet-subset"

  /// - Throws: `TrainError` naming the valid ones.
  public init(named name: String) throws {
    guard let kind = TaskKind(rawValue: name) else {
      let names = TaskKind.allCases.map(\.rawValue).joined(separator: ", ")
      throw TrainError("--task \(name): no such task; valid are \(names)")
    }
    self = kind
  }

  /// What `mmoe train --task …` uses without `--preset`.
  public var defaultPreset: String { "vit-shapes" }

  /// The folder of the data that comes with the project, made when it is missing.
  func prepareEmbeddedData(_ config: RunConfig, _ sink: any TextSink) throws -> String {
    try EmbeddedImages.prepare(imageSize: config.model.vision.image, sink: sink)
  }

  /// Lets the model's outputs follow the data.
  func adapt(_ config: inout RunConfig, to data: String, _ sink: any TextSink) throws {
    let classes = try ImageClassification.classNames(data: data).count
    guard classes != config.model.vision.classes else { return }
    sink.line(
      "note: \(data) has \(classes) classes; the head gets as many (model.classes was \(config.model.vision.classes))")
    config.model.vision.classes = classes
  }

  /// Names that the data gives, compared with the checkpoint's before a model is built.
  func vocabulary(of data: String) throws -> [String: [String]] {
    ["classes": try ImageClassification.classNames(data: data)]
  }

  func makeJob(
    _ config: RunConfig, data: String, training: Bool, engine: Engine, team: RankTeam? = nil
  ) throws -> any TrainingTask {
    try ImageClassification(
      config, data: data, training: training, engine: engine, team: team)
  }
}
