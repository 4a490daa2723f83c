import MMoEConfig
import MMoEData
import MMoEParallel
import MMoEReport
import MMoETensor

/// Data that was looked at: what the model must follow, and how both become a job.
package protocol TaskData {
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
  ///   - loadsWeights: whether a checkpoint gives all weights, which then are not drawn.
  ///   - team: the ranks that train together; nil = this process alone.
  func makeJob(
    _ config: RunConfig, training: Bool, loadsWeights: Bool, engine: Engine, team: RankTeam?
  ) throws -> any TrainingTask
}

extension TaskKind {
  /// Opens the data of a run.
  ///
  /// - Parameters:
  ///   - path: what `--data` names; nil = the data that comes with the project, made when it is missing.
  ///   - checkpoint: whose tokenizer and class names must fit; nil for a new run.
  ///   - attachments: files of a tokenizer that a new run takes over.
  ///   - training: whether it is learnt from; what is only evaluated may lack some of the checkpoint's classes.
  /// - Throws: what is wrong with the data.
  package func openData(
    _ path: String?, _ config: RunConfig, checkpoint: LoadedCheckpoint?, attachments: [String: [UInt8]]? = nil,
    training: Bool = false, _ sink: any TextSink
  ) throws -> any TaskData {
    let known = training ? nil : checkpoint?.info.vocabulary
    let data: any TaskData = try ProjectHome.filling {
      switch self {
      case .imagenetSubset:
        try ImageData(
          path ?? BuiltInImages.prepare(imageSize: config.model.vision.image, sink: sink), known: known?["classes"])
      case .lm:
        try TextData(
          path ?? BuiltInText.prepare(sink: sink), config,
          attachments: checkpoint?.info.attachments ?? attachments, sink)
      case .multimodal:
        try PairData(
          path ?? BuiltInPairs.prepare(sink: sink), config, attachments: checkpoint?.info.attachments ?? attachments,
          known: known?["labels"], sink)
      }
    }
    try checkpoint?.requireVocabulary(data.vocabulary, data: data.path)
    for note in data.notes { sink.line("note: \(note)") }
    return data
  }
}
