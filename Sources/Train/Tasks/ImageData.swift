import MMoEConfig
import MMoEData
import MMoEParallel
import MMoEReport
import MMoETensor

/// An image folder.
package struct ImageData: TaskData {
  package let path: String
  let folder: ImageFolder
  private var classes: [String] { folder.classes }

  /// - Parameter known: the classes of a checkpoint that is evaluated; nil where both parts are used.
  /// - Throws: what is wrong with the folder, and for data with one class, which every model has learned from the beginning.
  init(_ path: String, known: [String]? = nil, _ config: RunConfig) throws {
    self.path = path
    folder = try ImageFolder(
      path: path, splits: known == nil ? DatasetSplit.allCases : [.val], known: known,
      validationShare: config.data.validationShare)
    if known == nil { try folder.requireSeveralClasses() }
  }

  package var vocabulary: [String: [String]] { ["classes": classes] }
  package var notes: [String] { folder.notes }

  package func parts(training: Bool) throws -> [DatasetSplit: DataPart] {
    let splits: [DatasetSplit] = training ? [.train, .val] : [.val]
    return try Dictionary(uniqueKeysWithValues: splits.map { ($0, try DataPart(folder[$0], root: path)) })
  }

  package func adapt(_ config: inout RunConfig, _ sink: any TextSink) {
    guard classes.count != config.model.vision.classes else { return }
    sink.line(
      "note: \(path) has \(classes.count) classes; the head gets as many (model.classes was \(config.model.vision.classes))"
    )
    config.model.vision.classes = classes.count
  }

  package func makeJob(
    _ config: RunConfig, training: Bool, loadsWeights: Bool, engine: Engine, team: RankTeam?
  ) throws -> any TrainingTask {
    try ImageClassification(config, folder, training: training, loadsWeights: loadsWeights, engine: engine, team: team)
  }
}
