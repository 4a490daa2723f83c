import MMoEConfig
import MMoEData
import MMoEParallel
import MMoEReport
import MMoETensor

/// Data that was looked at: what the model must follow, and how both become a job.
public protocol TaskData {
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

extension TaskData {
  public var notes: [String] { [] }
}
