import Foundation
import MMoEData
import MMoEModels
import MMoETensor
import TestSupport

@testable import MMoEConfig
@testable import MMoEReport
@testable import MMoETrain

/// Training of the `debug` preset on rendered shapes, in this process.
package struct TinyRun {
  /// Everything that draws random numbers or keeps state beyond the weights.
  package static let everything = [
    "train.steps=8", "checkpoint.every=1", "checkpoint.keep=100", "train.eval_every=4", "train.accumulation=2",
    "model.stochastic_depth=0.2", "moe.gate_noise=1", "moe.bias_rate=0.01", "moe.z_loss_weight=0.001",
    "moe.capacity_factor=1.0", "moe.batch_priority=true", "train.label_smoothing=0.1",
  ]

  /// 4 classes of 16-pixel images, 24 to train and 8 to validate each; rendered once.
  package static let data: (folder: ScratchFolder, path: String) = {
    let folder = ScratchFolder()
    try! ShapeSynthesizer(classes: 4, imageSize: 16, seed: 3).write(
      to: folder("shapes"), trainPerClass: 24, valPerClass: 8)
    return (folder, folder("shapes"))
  }()

  package var config: RunConfig
  package var threads = 2
  package var backend: BLASBackend?

  /// - Parameter settings: `key=value` on top of the preset.
  package init(_ settings: [String] = []) throws {
    config = RunConfig()
    try RunConfig.table.apply(ProjectHome.presets.preset("debug"), to: &config)
    try RunConfig.table.set(settings, in: &config)
  }

  /// Trains into `folder`, from a checkpoint where one is given.
  @discardableResult
  package func train(
    into folder: String, resuming checkpoint: String? = nil,
    change: (any TrainableModel) -> Void = { _ in }
  ) throws -> Trainer.Outcome {
    let engine = try Engine(threads: threads, backend: backend, dtype: config.tensor.dtype)
    let loaded = try checkpoint.map(LoadedCheckpoint.init)
    let task = try ImageClassification(config, ImageFolder(path: TinyRun.data.path), engine: engine)
    let run =
      loaded == nil ? try RunFolder(creating: folder) : try RunFolder(locking: folder)
    let trainer = try Trainer(
      task, preset: "debug", config: config, engine: engine, folder: run, resuming: loaded,
      sink: TextBuffer())
    change(task.model)
    return try trainer.run()
  }

  /// The training losses that a run recorded.
  package static func losses(_ folder: String) throws -> [Double] {
    try MetricsHistory(file: folder + "/metrics.jsonl").points(MetricName.trainLoss).map(\.value)
  }
}

extension MetricsHistory {
  /// A metric's values of all layers that recorded it, or of the whole model.
  package func everywhere(_ name: String) -> [Double] {
    let layers = layers(name).map(Optional.some)
    return (layers.isEmpty ? [nil] : layers).flatMap { points(name, layer: $0).map(\.value) }
  }
}

package func bytes(_ file: String) throws -> Data { try Data(contentsOf: URL(fileURLWithPath: file)) }
