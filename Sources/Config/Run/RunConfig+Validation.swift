import MMoEFiles
import MMoEModels
import MMoEReport

extension RunConfig {
  /// Checks what no single key can.
  ///
  /// - Throws: `ModelError` or `ConfigError` naming the field.
  public func validate() throws {
    try model.validate()
    _ = try parallel.options()
    guard model.kind != .multimodal || objective != .nothing else {
      throw ConfigError(
        "objective.caption, .contrastive, .classification and .language are 0: there is nothing to learn; raise one")
    }
    _ = try finetune.factors()
    guard data.batch % train.accumulation == 0 else {
      throw ConfigError(
        field: "train.accumulation", found: "\(train.accumulation), which does not divide data.batch \(data.batch)",
        remedy: "choose a divisor")
    }
  }

  /// - Throws: `ConfigError` when a micro-batch is not a multiple of the ranks.
  package func requireDivisible(by ranks: Int) throws {
    let micro = data.batch / train.accumulation
    guard micro % ranks == 0 else {
      throw ConfigError(
        "data.batch \(data.batch) in \(train.accumulation) micro-batches gives \(micro) a pass, which \(ranks) ranks do not divide; choose a multiple"
      )
    }
  }

  /// What a run trains for: the tasks whose losses have a weight, labels only where there are classes.
  package var trainedTasks: Set<FusionConfig.Task> {
    Set(
      FusionConfig.Task.allCases.filter {
        objective.weight($0) > 0 && ($0 != .classification || model.hasClasses)
      })
  }
}
