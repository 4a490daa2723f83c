import Foundation
import MMoEConfig
import MMoEData
import MMoEFiles
import MMoEHDF5
import MMoEModels
import MMoEReport
import MMoETensor
import MMoETrain

/// `mmoe checkpoint info`, `list`, `diff` and `verify`: what checkpoints hold.
package enum CheckpointInspection {
  /// The checkpoint that a command looks into.
  ///
  /// - Parameter path: a checkpoint or a run's folder; nil = the best one of the latest run.
  /// - Throws: `TrainError` where there is none.
  package static func file(_ path: String?) throws -> String {
    try RunFolder.checkpoint(at: path ?? RunFolder.latestRun(of: nil, "CHECKPOINT"))
  }

  /// A table of what a checkpoint says of itself.
  ///
  /// - Parameter path: a checkpoint or a run's folder.
  /// - Throws: `HDF5Error` or `TrainError` for a file that is missing, damaged or no checkpoint.
  package static func info(_ path: String) throws -> (text: String, json: JSONValue) {
    let file = try RunFolder.checkpoint(at: path)
    let checkpoint = try LoadedCheckpoint(file)
    let (info, arrays) = (checkpoint.info, checkpoint.modelArrays())
    let numbers = arrays.reduce(0) { $0 + $1.shape.reduce(1, *) }
    let bytes = checkpoint.parts.reduce(0) { $0 + $1.bytes }
    var table = TextTable(columns: [.left("checkpoint"), .left(file)])
    func add(_ key: String, _ value: String?) { if let value { table.add([key, value]) } }
    add("task, preset, variant", "\(info.task), \(info.preset), \(info.config.model.moe.variant)")
    let (moe, optimizer) = (info.config.model.moe, info.config.optimizer.kind.rawValue)
    if moe.variant != "dense" { add("router, balance loss", "\(moe.router), \(moe.isBalanced ? moe.balance : "none")") }
    add("step", HumanFormat.grouped(info.step))
    add("best", info.best.map { "\(HumanFormat.fixed($0.value, 4)) after step \($0.step)" })
    add("parameters", "\(HumanFormat.grouped(numbers)) in \(arrays.count) arrays")
    let trained = checkpoint.trainedNumbers
    add(
      "optimizer state",
      trained == 0 ? "none: weights only" : "\(optimizer), of \(HumanFormat.grouped(trained)) parameters")
    for (name, words) in info.vocabulary.sorted(by: { $0.key < $1.key }) {
      add(
        name,
        words.count > 8
          ? "\(words.prefix(8).joined(separator: ", ")) … (\(words.count))" : words.joined(separator: ", "))
    }
    for split in DatasetSplit.allCases {
      add(split == .train ? "trained on" : "validated on", info.origin.data[split]?.summary)
    }
    let weights = info.origin.initialWeights.map { "weights of digest \($0.prefix(8))" }
    add("started from", weights.isEmpty ? nil : weights.joined(separator: ", "))
    add("files in it", info.attachments.isEmpty ? nil : info.attachments.keys.sorted().joined(separator: ", "))
    let files = checkpoint.parts.count
    add("size", HumanFormat.bytes(bytes) + (files > 1 ? " in \(files) files" : ""))
    add("computed by", info.backend)
    let json = JSONValue.object([
      "file": .string(file), "task": .string(info.task), "preset": .string(info.preset),
      "variant": .string(moe.variant), "router": .string(moe.router), "optimizer": .string(optimizer),
      "step": .int(info.step),
      "best": info.best.map { .double($0.value) } ?? .null, "best_step": info.best.map { .int($0.step) } ?? .null,
      "parameters": .int(numbers), "arrays": .int(arrays.count), "trained_parameters": .int(trained),
      "bytes": .int(bytes), "files": .int(files), "backend": .string(info.backend),
    ])
    return (table.render(for: StandardStream.output), json)
  }

  /// The arrays of the model whose names match one of the patterns, or whose role is one of the words (all without any),
  /// with their shapes.
  ///
  /// - Throws: `WeightsError` when none matches; as `info`.
  package static func list(_ path: String, patterns: [String]) throws -> String {
    let file = try RunFolder.checkpoint(at: path)
    let checkpoint = try LoadedCheckpoint(file)
    let model = try checkpoint.info.config.model.skeleton.makeModel(seed: nil, engine: Engine(threads: 1))
    // What is saved beside a parameter, such as a gate's selection bias, goes with it.
    func owner(_ name: String) -> Substring { name[..<(name.lastIndex(of: ".") ?? name.endIndex)] }
    var owners: [Substring: Parameter] = [:]
    for parameter in model.parameters {
      for piece in CheckpointLayout.pieces(of: parameter) { owners[owner(piece.name)] = parameter }
    }
    let wanted = patterns.map(ParameterPlace.init)
    let arrays = checkpoint.modelArrays().filter { array in
      guard !wanted.isEmpty, let parameter = owners[owner(array.name)] else { return wanted.isEmpty }
      return wanted.contains { $0.contains(parameter, array.name) }
    }
    guard !arrays.isEmpty else {
      throw WeightsError(
        file, found: "no array matches \(patterns.joined(separator: " "))",
        expected: "a pattern such as 'blocks.*.moe.*', or one of \(FineTuneConfig.words)")
    }
    var table = TextTable(columns: [.left("array"), .right("shape"), .right("numbers")])
    for (name, shape) in arrays {
      table.add([
        name, shape.map(String.init).joined(separator: " x "), HumanFormat.grouped(shape.reduce(1, *)),
      ])
    }
    return table.render(for: StandardStream.output)
  }

  /// What differs between two checkpoints: settings, arrays that only one has, and how far the common ones are apart,
  /// the root mean square of the difference over that of the first.
  ///
  /// - Throws: as `info`.
  package static func diff(_ first: String, _ second: String) throws -> String {
    let files = try [first, second].map(RunFolder.checkpoint)
    let (a, b) = (try LoadedCheckpoint(files[0]), try LoadedCheckpoint(files[1]))
    var text = ""
    func line(_ key: String, _ x: String, _ y: String) { if x != y { text += "\(key): \(x) | \(y)\n" } }
    line("task", a.info.task, b.info.task)
    line("preset", a.info.preset, b.info.preset)
    line("step", "\(a.info.step)", "\(b.info.step)")
    for change in RunConfig.table.differences(a.info.config, b.info.config) {
      line(change.key, change.first, change.second)
    }
    let words = Set(a.info.vocabulary.keys).union(b.info.vocabulary.keys).sorted()
    for name in words where a.info.vocabulary[name] != b.info.vocabulary[name] {
      text += "\(name): differ\n"
    }
    let shapes = [a, b].map { Dictionary(uniqueKeysWithValues: $0.modelArrays().map { ($0.name, $0.shape) }) }
    for (here, there, file) in [(0, 1, files[0]), (1, 0, files[1])] {
      let own = shapes[here].keys.filter { shapes[there][$0] == nil }.sorted()
      if !own.isEmpty { text += "only in \(file): \(own.count) arrays, such as \(own[0])\n" }
    }
    var table = TextTable(columns: [.left("array"), .right("difference"), .right("largest")])
    var (equal, different) = (0, 0)
    for name in shapes[0].keys.sorted() {
      guard let shape = shapes[1][name] else { continue }
      guard shape == shapes[0][name] else {
        text += "\(name): shape \(shapes[0][name] ?? []) | \(shape)\n"
        continue
      }
      let (x, y) = (try a.modelArray(name), try b.modelArray(name))
      if x == y {
        equal += 1
        continue
      }
      different += 1
      let squares = zip(x, y).reduce(0.0) { $0 + Double($1.0 - $1.1) * Double($1.0 - $1.1) }
      let size = x.reduce(0.0) { $0 + Double($1) * Double($1) }
      let largest = zip(x, y).reduce(Float(0)) { max($0, abs($1.0 - $1.1)) }
      table.add([
        name, HumanFormat.percent((squares / max(size, .leastNonzeroMagnitude)).squareRoot()),
        String(format: "%.3g", largest),
      ])
    }
    text += "\(equal) arrays are equal, \(different) differ\n"
    return text + (different > 0 ? table.render(for: StandardStream.output) : "")
  }

  /// Verifies the checkpoints that paths name, all of a folder.
  ///
  /// - Parameter line: takes a line a file.
  /// - Throws: `WeightsError` after all were looked at when one is damaged or holds numbers that are not finite, or when there
  ///   is none.
  package static func verify(_ paths: [String], line: (String) -> Void) throws {
    let files = try paths.flatMap { path -> [String] in
      var isFolder: ObjCBool = false
      guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder), isFolder.boolValue else {
        return [path]
      }
      let names = try FileManager.default.contentsOfDirectory(atPath: path).filter { $0.hasSuffix(".h5") }.sorted()
      guard !names.isEmpty else {
        throw WeightsError(path, found: "no checkpoint *.h5 in it", expected: "at least one")
      }
      return names.map { path + "/" + $0 }
    }
    var damaged = 0
    for file in files {
      do {
        let summary = try CheckpointFile.verify(file)
        try CheckpointFile.open(file).requireFiniteNumbers()
        line("\(file): \(HumanFormat.bytes(summary.bytes)), checksum \(CheckpointFile.hex(summary.checksum)), good")
      } catch let error where error is HDF5Error || error is TrainError {
        damaged += 1
        line("\(error)")
      }
    }
    if damaged > 0 {
      throw WeightsError("\(damaged) of \(files.count) files cannot be used; copy them again or use others")
    }
  }
}
