import Foundation
import MMoEConfig
import MMoEData
import MMoEFiles
import MMoEModels
import MMoEReport
import MMoERuns
import MMoETensor
import MMoETrain

/// Seconds of training that show whether everything works: what is computed, what is learned, what is saved.
struct SelfTest {
  /// Where everything is made and removed again.
  private let scratch: String
  private let threads = max(ProcessInfo.processInfo.activeProcessorCount, 2)

  private init(_ scratch: String) { self.scratch = scratch }

  static func run() -> Finding {
    let began = monotonicSeconds()
    var finding = Finding("self-test")
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("mmoe-doctor-\(UUID().uuidString)").path
    defer { try? FileManager.default.removeItem(atPath: folder) }
    do {
      try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
      let test = SelfTest(folder)
      let gradient = try SelfTest.gradientError()
      finding.record(
        "gradient", gradient, "a gradient differs from finite differences by \(HumanFormat.percent(gradient))",
        isFine: gradient < 0.01)
      let loss = try test.overfittedLoss()
      finding.record(
        "loss", loss, "a model that sees one batch 120 times still has a loss of \(HumanFormat.fixed(loss, 3))",
        isFine: loss < 0.05)
      let (hasSameLosses, hasSameBytes) = try test.repeats()
      if !hasSameLosses { finding.problems.append("one thread and \(test.threads) threads compute different losses") }
      if !hasSameBytes { finding.problems.append("a run that was resumed from its checkpoint ends with other weights") }
      (finding.values["same_losses"], finding.values["same_bytes"]) = (.bool(hasSameLosses), .bool(hasSameBytes))
      finding.lines = [
        "gradient within \(HumanFormat.percent(gradient, digits: 3)) of finite differences; 120 steps on one batch: loss \(HumanFormat.fixed(loss, 4))",
        "\(hasSameLosses ? "the same" : "other") losses with 1 and \(test.threads) threads; resumed from a checkpoint (HDF5 \(SelfTest.hdf5)): \(hasSameBytes ? "the same" : "other") bytes (\(HumanFormat.duration(monotonicSeconds() - began)))",
      ]
    } catch {
      finding.lines = ["stopped"]
      finding.problems.append("the self-test stopped: \(error)")
    }
    return finding
  }

  private static var hdf5: String { LibraryVersions.all.first { $0.name == "HDF5" }?.version ?? "" }

  /// The tiny model that is trained; in the program, since a program that was moved has no presets.
  private static func config(_ settings: [String]) throws -> RunConfig {
    var config = RunConfig()
    let tiny = [
      "model.layers=2", "model.width=32", "model.heads=2", "model.image=16", "model.patch=4", "model.classes=4",
      "moe.variant=scmoe", "moe.experts=4", "data.batch=16", "optimizer.lr=5e-3", "schedule.warmup=5",
      "train.eval_every=1000", "checkpoint.every=1000", "checkpoint.keep=100",
    ]
    try RunConfig.table.set(tiny + settings, in: &config)
    return config
  }

  // MARK: What is computed

  /// By how much the gradient's own direction rises less or more than the tape says, as a share.
  private static func gradientError() throws -> Double {
    // Both experts of two are always chosen, so that no choice jumps.
    let config = try config(["moe.variant=top2", "moe.experts=2"])
    let engine = try Engine()
    let (model, forward) = try config.model.family.randomStep(config.model, batch: 4, engine: engine)
    func loss(recording: Bool) -> Double {
      let tape = Tape(engine, recording: recording)
      forward(ForwardPass(tape, training: true, seed: 1, step: 0))
      if recording { tape.backward() }
      return tape.objective
    }
    _ = loss(recording: true)
    let gradients = model.parameters.map { ($0.value, $0.gradient.copy()) }
    let square = gradients.reduce(0) { sum, pair in sum + pair.1.values.reduce(0) { $0 + Double($1) * Double($1) } }
    // Far enough for float32 to tell the losses apart.
    let step = 0.01 / square.squareRoot()
    func shifted(_ amount: Double) -> Double {
      for (value, gradient) in gradients {
        for i in 0..<value.count { value.pointer[i] += Float(amount) * gradient.pointer[i] }
      }
      return loss(recording: false)
    }
    let upper = shifted(step)
    let lower = shifted(-2 * step)
    return abs((upper - lower) / (2 * step) / square - 1)
  }

  // MARK: What is learned and saved

  private var data: String { scratch + "/shapes" }

  private func train(
    _ settings: [String], into name: String, threads: Int, resuming checkpoint: String? = nil
  ) throws -> Trainer.Outcome {
    let config = try SelfTest.config(settings)
    let engine = try Engine(threads: threads)
    if !FileManager.default.fileExists(atPath: data) {
      try ShapeSynthesizer(classes: 4, imageSize: 16, seed: 3).write(to: data, trainPerClass: 24, valPerClass: 8)
    }
    let loaded = try checkpoint.map(LoadedCheckpoint.init)
    let task = try ImageClassification(config, ImageFolder(path: data), engine: engine)
    let folder = scratch + "/" + name
    let run = loaded == nil ? try RunFolder(creating: folder) : try RunFolder(locking: folder)
    return try Trainer(
      task, preset: "self-test", config: config, engine: engine, folder: run, resuming: loaded, sink: DiscardedText()
    ).run()
  }

  private func overfittedLoss() throws -> Double {
    try train(["data.overfit=1", "train.steps=120"], into: "overfitted", threads: threads).trainLoss
  }

  /// Whether the number of threads changes no loss, and an interruption no byte of the last checkpoint.
  private func repeats() throws -> (losses: Bool, bytes: Bool) {
    let settings = ["train.steps=6", "checkpoint.every=3"]
    let whole = try train(settings, into: "whole", threads: threads)
    _ = try train(settings, into: "alone", threads: 1)
    let middle = RunFolder.checkpointFile(step: 3, in: scratch + "/resumed")
    try FileManager.default.createDirectory(atPath: scratch + "/resumed", withIntermediateDirectories: true)
    try DurableFile.copy(RunFolder.checkpointFile(step: 3, in: scratch + "/whole"), to: middle)
    try DurableFile.copy(
      FilePath.join(scratch + "/whole", Recorder.fileName), to: FilePath.join(scratch + "/resumed", Recorder.fileName))
    let resumed = try train(settings, into: "resumed", threads: threads, resuming: middle)
    func losses(_ name: String) throws -> [Double] {
      let metrics = try MetricsHistory(file: FilePath.join(scratch + "/" + name, Recorder.fileName))
      return metrics.points(MetricName.trainLoss).map(\.value)
    }
    let bytes = [whole, resumed].map { FileManager.default.contents(atPath: $0.checkpoint) }
    return (try losses("whole") == losses("alone"), bytes[0] != nil && bytes[0] == bytes[1])
  }
}

extension Finding {
  /// Notes a number that must be right.
  fileprivate mutating func record(_ name: String, _ value: Double, _ words: String, isFine: Bool) {
    values[name] = .double(value)
    if !isFine { problems.append(words) }
  }
}
