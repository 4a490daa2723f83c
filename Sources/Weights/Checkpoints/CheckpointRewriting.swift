import Foundation
import MMoEFiles
import MMoEHDF5
import MMoEModels
import MMoEReport
import MMoETensor
import MMoETrain

/// `mmoe checkpoint average` and `prune`, and the writing of weights that no model in memory holds.
package enum CheckpointRewriting {
  /// Writes the element-wise mean of several checkpoints' weights, without optimizer state ("model soups", Wortsman et
  /// al., arXiv 2203.05482). Configuration, step and names are the last one's.
  ///
  /// Adapters are merged first: the mean of products B · A is not the product of the means.
  ///
  /// - Parameter paths: checkpoints or runs' folders, at least two, of the same arrays and names.
  /// - Throws: `WeightsError` naming what differs; `HDF5Error` for a file that is missing or damaged, or cannot be written.
  package static func average(_ paths: [String], to out: String) throws {
    let checkpoints = try paths.map { try LoadedCheckpoint(RunFolder.checkpoint(at: $0)) }
    guard let last = checkpoints.last, checkpoints.count > 1 else {
      throw WeightsError("average", found: "\(paths.count) checkpoints", expected: "at least two")
    }
    let engine = try Engine(threads: last.info.config.tensor.threads)
    let weights = checkpoints.map { MergedWeights($0, engine) }
    let arrays = weights[weights.count - 1].arrays
    for (other, merged) in zip(checkpoints, weights).dropLast() {
      let names = merged.arrays
      guard names.map(\.name) == arrays.map(\.name), names.map(\.shape) == arrays.map(\.shape) else {
        let found = zip(names, arrays).first { $0.name != $1.name || $0.shape != $1.shape }
        throw WeightsError(
          "\(other.file)",
          found:
            "\(found.map { "\($0.0.name) \($0.0.shape)" } ?? "\(names.count) arrays") where \(last.file) has \(found.map { "\($0.1.name) \($0.1.shape)" } ?? "\(arrays.count)")",
          remedy: "average checkpoints of one model")
      }
      guard other.info.vocabulary == last.info.vocabulary else {
        throw WeightsError(
          "\(other.file)",
          found: "its \(last.info.vocabulary.keys.sorted().joined(separator: ", ")) differ from those of \(last.file)",
          remedy: "average checkpoints of one data set")
      }
    }
    var info = last.info
    (info.best, info.config.model.lora) = (nil, LoRAConfig())
    // It was trained on what all of them were.
    for (split, part) in info.origin.data where !checkpoints.allSatisfy({ $0.info.origin.data[split] == part }) {
      info.origin.data[split] = nil
    }
    if !checkpoints.allSatisfy({ $0.info.origin.initialWeights == info.origin.initialWeights }) {
      info.origin.initialWeights = []
    }
    try TrainingCheckpoint.write(info, arrays: arrays, to: out) { name in
      var sum = try weights[0].values(name).map(Double.init)
      for other in weights.dropFirst() {
        for (i, value) in try other.values(name).enumerated() { sum[i] += Double(value) }
      }
      return sum.map { Float($0 / Double(checkpoints.count)) }
    }
  }

  /// Writes a checkpoint again, with its experts shared out among files beside it or all in one file: what as many ranks
  /// would have written, or one.
  ///
  /// - Parameter parts: files of experts; 1 = none.
  /// - Returns: the files that were written, with their lengths in bytes.
  /// - Throws: `HDF5Error`, `TrainError` or `WeightsError` for a file that is missing or damaged, has no experts to share out, or cannot
  ///   be written.
  package static func reshard(_ path: String, parts: Int, to out: String) throws -> [(file: String, bytes: Int)] {
    let checkpoint = try LoadedCheckpoint(RunFolder.checkpoint(at: path))
    let config = checkpoint.info.config
    let experts = config.model.moe.variant == "dense" ? 0 : config.model.moe.experts
    guard parts <= max(experts, 1) else {
      throw WeightsError(
        field: "--ranks", found: "\(parts), but \(checkpoint.file) has \(experts) experts a layer",
        remedy: "give at most as many")
    }
    let engine = try Engine(threads: 1)
    let model = try config.model.makeModel(seed: nil, engine: engine)
    try checkpoint.restore(model)
    var optimizer: Updater?
    if checkpoint.trainedNumbers > 0 {
      let plan = try UpdatePlan(config, model)
      let restored = Updater(model.parameters, config: config.optimizer, engine: engine, plan: plan)
      try checkpoint.restore(restored, of: model)
      optimizer = restored
    }
    try TrainingCheckpoint.save(checkpoint.info, TrainingState(model, optimizer), to: out, parts: parts)
    return try LoadedCheckpoint(out).parts
  }

  /// Writes a checkpoint whose adapters (`lora.rank`) are added to the weights that they change, without optimizer state:
  /// a model like any other, which computes the same to rounding.
  ///
  /// - Returns: how many weights had an adapter, those of a bank counted as one.
  /// - Throws: `WeightsError` for a checkpoint without adapters; `HDF5Error` for a file that is missing or damaged, or
  ///   cannot be written.
  package static func mergeAdapters(_ path: String, to out: String) throws -> Int {
    let checkpoint = try LoadedCheckpoint(RunFolder.checkpoint(at: path))
    var info = checkpoint.info
    guard info.config.model.lora.rank > 0 else {
      throw WeightsError(
        "\(checkpoint.file)", field: "lora.rank", found: "0", expected: "adapters to merge",
        remedy: "it is a whole model already")
    }
    let weights = MergedWeights(checkpoint, try Engine(threads: info.config.tensor.threads))
    (info.best, info.config.model.lora) = (nil, LoRAConfig())
    try TrainingCheckpoint.write(info, arrays: weights.arrays, to: out, values: weights.values)
    return weights.adapted
  }

  /// Removes a run's older checkpoints.
  ///
  /// - Parameters:
  ///   - keep: so many latest ones stay.
  ///   - every: so do those whose step it divides; 0 = none. `best.h5` always stays.
  /// - Returns: the files that were removed.
  /// - Throws: `TrainError` or `WeightsError` for a folder that is none of a run's, or in which a process trains.
  package static func prune(_ folder: String, keep: Int, every: Int) throws -> [String] {
    guard !RunFolder.steps(in: folder).isEmpty else {
      throw WeightsError(folder, found: "no checkpoint step-*.h5 in it", expected: "a run's folder")
    }
    return try RunFolder(locking: folder).prune(keeping: keep, every: every)
  }
}
