import MMoEConfig
import MMoEData
import MMoEModels
import MMoEParallel
import MMoEReport
import MMoETensor
import MMoETrain

/// A checkpoint beside the data that a command looks at it with: opened, compared with that of training, and restored into
/// the task's model.
package struct OpenedTask {
  package let checkpoint: LoadedCheckpoint
  package let config: RunConfig
  package let engine: Engine
  /// Nil for a process that is alone.
  package let team: RankTeam?
  package let data: any TaskData
  package let parts: [DatasetSplit: DataPart]
  /// Whether the data is that of training, and what should be said of it.
  package let comparison: DataChoice.Comparison
  package let note: String?
  package let job: any TrainingTask

  /// - Parameters:
  ///   - config: the checkpoint's, with what the command changes.
  ///   - data: `-` for the data that comes with the project; nil for what the checkpoint was trained on.
  ///   - training: whether the training part is needed too.
  /// - Throws: the first thing that is wrong, one line each.
  package init(
    _ checkpoint: LoadedCheckpoint, _ config: RunConfig, data named: String?, training: Bool = false, _ run: CommandRun
  ) throws {
    var config = config
    // Every rank's pass has as many samples as the pass of a process that is alone, so that a capacity means the same.
    (config.train.accumulation, config.data.batch) = (1, config.data.batch * run.world.size)
    config.mixture.imageBatch *= run.world.size
    config.mixture.textBatch *= run.world.size
    let named = try run.firstRankFirst { try named.map { try NamedImages.path($0, sink: run.human) } }
    let choice = try DataChoice(named, for: checkpoint)
    try choice.settle(&config)
    engine = try run.engine(config.tensor)
    data = try run.firstRankFirst { [config] in
      try TaskKind(named: checkpoint.info.task).openData(
        choice.path, config, checkpoint: checkpoint, training: training, run.human)
    }
    parts = try data.parts(training: training)
    comparison = choice.compare(parts)
    note = try choice.note(comparison, data: data.path)
    team = try run.team(config.parallel, config.model, engine)
    team?.requireSame("configuration", RunConfig.table.yaml(config))
    team?.requireSame(
      "data", parts.map { "\($0.key.rawValue) part: \($0.value.summary)" }.sorted().joined(separator: "\n"))
    job = try data.makeJob(config, training: training, loadsWeights: true, engine: engine, team: team)
    try checkpoint.restore(job.model)
    (self.checkpoint, self.config) = (checkpoint, config)
  }
}
