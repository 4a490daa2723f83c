import Foundation
import MMoEConfig
import MMoEData
import MMoEFiles
import MMoEModels
import MMoEReport
import MMoETensor
import MMoETrain

/// What `--init-from` names: where a new run's weights and its configuration come from.
package struct InitialWeights {
  package let source: any WeightSource
  /// Nil for a model of others.
  package let checkpoint: LoadedCheckpoint?
  private let hub: HubModel?

  /// - Parameter paths: one, or `vision=PATH` and `language=PATH` for a model of both.
  /// - Throws: as `init(_ path:)`, and `WeightsError` for several without a modality, or two of one.
  package init(_ paths: [String]) throws {
    let named = paths.map { path in
      (modality: ModalityTable.registry.values.first { path.hasPrefix($0.name + "=") }, path: path)
    }
    guard named.contains(where: { $0.modality != nil }) else {
      guard paths.count == 1 else {
        throw WeightsError(
          "--init-from is given \(paths.count) times, expected one, or vision=PATH and language=PATH")
      }
      try self.init(paths[0])
      return
    }
    guard named.allSatisfy({ $0.modality != nil }), Set(named.map { $0.modality?.name }).count == paths.count else {
      throw WeightsError(
        "--init-from \(paths.joined(separator: ", ")): expected each of vision=PATH and language=PATH once")
    }
    let parts = try named.map { name, path in
      TowerWeights.Part(
        modality: name!, source: try InitialWeights(String(path.dropFirst(name!.name.count + 1))).source)
    }
    self.init(towers: try TowerWeights(parts))
  }

  private init(towers: TowerWeights) { (hub, checkpoint, source) = (nil, nil, towers) }

  /// - Parameter path: a checkpoint, a run's folder (its best checkpoint), or a folder of Hugging Face's layout.
  /// - Throws: `HDF5Error`, `DataError`, `TrainError` or `WeightsError` for what is missing, damaged or of an unknown kind.
  package init(_ path: String) throws {
    if HubFolder.isOne(path) {
      let hub = try HubModel(path)
      (self.hub, checkpoint, source) = (hub, nil, try HubWeights(hub))
    } else {
      let loaded = try LoadedCheckpoint(RunFolder.checkpoint(at: path))
      (hub, checkpoint, source) = (nil, loaded, CheckpointWeights(checkpoint: loaded))
    }
  }

  /// Where they are, and the digests of the files that hold them, for the run's record.
  ///
  /// - Parameter given: what `--init-from` names.
  /// - Throws: `DataError` for a file that cannot be read.
  package func record(_ given: [String]) throws -> [RunRecord.Weights] {
    let sources = (source as? TowerWeights)?.parts.map(\.source) ?? [source]
    return try zip(given, sources).map { path, source in
      RunRecord.Weights(
        path: path, absolute: FilePath.absolute(source.path), digest: try FileContent.digest(of: source.files))
    }
  }

  /// The preset of a new run that names none.
  package func preset(for task: TaskKind) -> String? {
    checkpoint?.info.task == task.name ? checkpoint?.info.preset : nil
  }

  /// Lets a configuration start from the source: all of it where the command names no preset, else the model alone, and
  /// nothing where the source is another kind of model.
  package func apply(to config: inout RunConfig, task: TaskKind, hasPreset: Bool) throws {
    guard source.model.kind == task.model, source.bringsForm else { return }
    if let checkpoint, !hasPreset, checkpoint.info.task == task.name {
      config = checkpoint.info.config
      // How it was computed, and what it was itself started from, are not inherited.
      (config.tensor, config.parallel, config.finetune) = (TensorConfig(), ParallelConfig(), FineTuneConfig())
    }
    config.model = source.model
    if let hub, try hub.tokenizer() != nil { (config.tokenizer.kind, config.tokenizer.path) = (.bpe, hub.folder) }
  }

  /// The tokenizer's files for a new run that chooses none itself.
  package func attachments(_ settings: [String]) -> [String: [UInt8]]? {
    if settings.contains(where: { $0.hasPrefix("tokenizer.") }) || !source.model.kind.readsText { return nil }
    return source.tokenizerFiles
  }

  /// Fills a new run's model and says what became of every array.
  ///
  /// - Parameter alone: whether this process trains alone; then the loss of the first batch is shown before and after
  ///   where the model's form changes.
  /// - Throws: `WeightsError` when nothing fits; what is wrong with the source.
  package func fill(
    _ job: any TrainingTask, _ config: RunConfig, map: [String], alone: Bool, data: any TaskData, engine: Engine,
    _ sink: any TextSink
  ) throws {
    let target = WeightTransfer.Target(
      model: config.model, classes: job.vocabulary["classes"],
      tokenizer: !config.model.kind.readsText ? nil : try TokenizerAttachments.load(job.attachments))
    try source.fit(config.model)
    let transfer = try WeightTransfer(
      source, rules: TransferRules(map), target: target, noise: config.finetune.noise, seed: UInt64(config.seed))
    let report = try transfer.fill(job.model)
    sink.line("weights of \(source.path)" + (source.bringsForm ? ", \(source.model.moe.variant)" : ""))
    for line in report.lines() { sink.line("  " + line) }
    if transfer.hasEqualExperts {
      sink.line(
        "note: copies of an expert are equal, and of equal gates the first is chosen: set finetune.noise, such as 0.01")
    }
    guard alone, report.hasNewForm, source.bringsForm, let before = try lossBefore(target, config, data, engine: engine)
    else { return }
    let after = try InitialWeights.firstLoss(job, config, engine: engine)
    sink.line(
      "  first batch's loss: \(HumanFormat.fixed(before, 4)) as \(source.model.moe.variant), \(HumanFormat.fixed(after, 4)) as \(config.model.moe.variant)"
    )
  }

  /// The source's own loss on the first batch; nil where its input or output is not the new run's.
  private func lossBefore(
    _ target: WeightTransfer.Target, _ config: RunConfig, _ data: any TaskData, engine: Engine
  ) throws -> Double? {
    var own = config
    own.model = source.model
    let hasSameEnds =
      source.model.vision == target.model.vision && source.model.text == target.model.text
      && (source.classes == nil || source.classes == target.classes)
    let fingerprint = try source.tokenizer()?.fingerprint
    guard hasSameEnds, fingerprint == nil || fingerprint == target.tokenizer?.fingerprint else { return nil }
    let job = try data.makeJob(own, training: true, loadsWeights: false, engine: engine, team: nil)
    let itself = WeightTransfer.Target(model: own.model, classes: source.classes, tokenizer: target.tokenizer)
    _ = try WeightTransfer(source, rules: TransferRules([]), target: itself, noise: 0, seed: 0).fill(job.model)
    return try InitialWeights.firstLoss(job, own, engine: engine)
  }

  /// The loss of the training stream's first batch, without anything random in the model.
  private static func firstLoss(_ job: any TrainingTask, _ config: RunConfig, engine: Engine) throws -> Double {
    try job.startTraining(atMicroBatch: 0)
    let batch = try job.nextMicroBatch(kept: false)
    let metrics = try ForwardPass.evaluating(engine) { try batch.forward($0, batch.targets) }
    return metrics.first { $0.name == MetricName.trainLoss }?.value ?? .nan
  }
}
