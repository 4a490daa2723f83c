import Foundation
import MMoEConfig
import MMoEFiles
import MMoEHDF5
import MMoEModels
import MMoEParallel
import MMoEReport
import MMoETensor

/// What a checkpoint says of itself beside its arrays.
public struct CheckpointInfo: Sendable, Equatable {
  public var task: String
  public var preset: String
  public var config: RunConfig
  /// Optimizer steps taken. With the seed of the configuration this is the random state and the data position: every
  /// draw and every batch is a function of (seed, step).
  public var step: Int
  /// The best value of the task's metric so far and its step; nil before the first evaluation.
  public var best: (value: Double, step: Int)?
  /// Names that the data gave, such as `classes`.
  public var vocabulary: [String: [String]]
  /// Files that make it usable alone, such as the tokenizer's, by name.
  public var attachments: [String: [UInt8]]
  /// Library, version and kernel level that computed it.
  package var backend: String
  /// What it was trained on and started from.
  package var origin: RunOrigin

  package init(
    task: String, preset: String, config: RunConfig, step: Int, best: (value: Double, step: Int)?,
    vocabulary: [String: [String]], attachments: [String: [UInt8]] = [:], backend: String,
    origin: RunOrigin = RunOrigin()
  ) {
    self.task = task
    self.preset = preset
    self.config = config
    self.step = step
    self.best = best
    self.vocabulary = vocabulary
    self.attachments = attachments
    self.backend = backend
    self.origin = origin
  }

  public static func == (first: Self, second: Self) -> Bool {
    first.task == second.task && first.preset == second.preset && first.config == second.config
      && first.step == second.step && first.best?.value == second.best?.value
      && first.best?.step == second.best?.step && first.vocabulary == second.vocabulary
      && first.attachments == second.attachments
      && first.backend == second.backend && first.origin == second.origin
  }
}

/// Saves and loads training states. The same state gives the same bytes: no time and no host is in the file.
public enum TrainingCheckpoint {
  /// Writes a checkpoint; an earlier file of the name stays until the new one is complete and on the disk.
  ///
  /// - Parameters:
  ///   - team: the ranks that hold the model together. All must call; the first one writes, and the file is that of a
  ///     process alone.
  ///   - parts: files that share out the experts beside the first one; with a team, which must then have as many ranks
  ///     in an expert group, each writes its own. 1 = everything in one file.
  /// - Throws: `HDF5Error` when it cannot be written.
  package static func save(
    _ info: CheckpointInfo, _ state: TrainingState, to file: String, team: RankTeam? = nil, parts: Int = 1
  ) throws {
    if parts > 1 { return try save(info, state, to: file, team: team, inParts: parts) }
    if let team, !team.isRoot {
      // The same arrays in the same order as below.
      for array in state.arrays { _ = team.gather(array.parameter, array.whole(team)) }
      return
    }
    let writer = try CheckpointWriter(path: file)
    for array in state.arrays {
      let whole = array.whole(team)
      let values = team?.gather(array.parameter, whole) ?? whole
      for piece in CheckpointLayout.pieces(of: array.parameter, allExperts: true) {
        try writer.writeFloats(
          array.group + "/" + piece.path, shape: piece.shape, values.pointer + piece.offset, aligned: piece.isExpert)
      }
    }
    try finish(writer, info, state)
  }

  /// Writes a network that a loop outside of the package trains. `LoadedCheckpoint` reads it back into a network of the same
  /// parameters, and into an `Updater` made with them.
  ///
  /// - Parameters:
  ///   - optimizer: nil = weights alone.
  ///   - name: what the file says that it is a checkpoint of, in place of a task.
  ///   - config: of the model, where it is one of the package's.
  /// - Throws: `HDF5Error` when it cannot be written; `TrainError` for an optimizer that was made with other parameters.
  public static func save(
    _ model: any TrainableModel, _ optimizer: Updater? = nil, name: String, config: RunConfig = RunConfig(),
    to file: String
  ) throws {
    var config = config
    try optimizer?.require(model.parameters)
    if let optimizer { config.optimizer.kind = optimizer.kind }
    let info = CheckpointInfo(
      task: name, preset: name, config: config, step: optimizer?.stepCount ?? 0, best: nil, vocabulary: [:],
      backend: BLASBackend.preferred.rawValue)
    try save(info, TrainingState(model, optimizer), to: file)
  }

  /// Writes the parts first: a checkpoint that exists has all that belongs to it.
  private static func save(
    _ info: CheckpointInfo, _ state: TrainingState, to file: String, team: RankTeam?, inParts count: Int
  ) throws {
    let state = state.assembled(team)
    let own = try writeParts(state, of: file, count: count, rank: team?.world.rank)
    let parts = gather(own, team)
    if team?.isRoot ?? true { try writeOwner(info, state, of: parts, to: file) }
  }

  /// The part that a piece of an expert goes into.
  private static func part(_ piece: CheckpointLayout.Piece, of parameter: Parameter, count: Int) -> Int? {
    piece.expert.map { $0 * count / (parameter.experts?.total ?? 1) }
  }

  /// Writes what this rank adds to a checkpoint in parts: its experts; without MPI, so on any thread.
  ///
  /// - Parameters:
  ///   - count: how many parts there are.
  ///   - rank: this process among those of a team; nil = it writes all of them.
  static func writeParts(_ state: TrainingState, of file: String, count: Int, rank: Int?) throws -> [CheckpointPart] {
    // Copies in other expert groups are equal.
    let own = rank.map { $0 < count ? [$0] : [] } ?? Array(0..<count)
    return try own.map { number in
      let writer = try CheckpointWriter(path: CheckpointPart.path(of: file, number: number))
      for array in state.arrays where array.parameter.experts != nil {
        for piece in CheckpointLayout.pieces(of: array.parameter)
        where part(piece, of: array.parameter, count: count) == number {
          try writer.writeFloats(
            array.group + "/" + piece.path, shape: piece.shape, array.values.pointer + piece.offset, aligned: true)
        }
      }
      return try writer.finish()
    }
  }

  /// The parts of all ranks, once all are written; every rank must call.
  package static func gather(_ own: [CheckpointPart], _ team: RankTeam?) -> [CheckpointPart] {
    guard let team else { return own }
    // Disks may keep some ranks waiting for others.
    team.world.barrier(patiently: true)
    let lines = team.world.allGather(own.flatMap { Array($0.line.utf8) })
    return lines.compactMap { CheckpointPart(line: String(decoding: $0, as: UTF8.self)) }
  }

  /// Writes the file that parts belong to: what is no expert's, and links to what is.
  static func writeOwner(
    _ info: CheckpointInfo, _ state: TrainingState, of parts: [CheckpointPart], to file: String
  ) throws {
    let writer = try CheckpointWriter(path: file)
    var linked = Array(repeating: [String](), count: parts.count)
    for array in state.arrays {
      for piece in CheckpointLayout.pieces(of: array.parameter, allExperts: true) {
        let path = array.group + "/" + piece.path
        if let number = part(piece, of: array.parameter, count: parts.count) {
          linked[number].append(path)
        } else {
          try writer.writeFloats(path, shape: piece.shape, array.values.pointer + piece.offset)
        }
      }
    }
    for (paths, part) in zip(linked, parts) { try writer.link(paths, to: part) }
    try finish(writer, info, state)
  }

  /// Writes a checkpoint without optimizer state from arrays that no model holds.
  ///
  /// - Parameters:
  ///   - arrays: names and shapes as `LoadedCheckpoint.modelArrays()` gives them.
  ///   - values: the numbers of each.
  /// - Throws: `HDF5Error` when it cannot be written, and what `values` throws.
  package static func write(
    _ info: CheckpointInfo, arrays: [(name: String, shape: [Int])], to file: String,
    values: (String) throws -> [Float]
  ) throws {
    let writer = try CheckpointWriter(path: file)
    for (name, shape) in arrays {
      try writer.writeFloats(
        CheckpointLayout.model + "/" + name.replacing(".", with: "/"), shape: shape, values(name),
        aligned: name.contains(".experts."))
    }
    try finish(writer, info)
  }

  /// Writes what stands beside the parameters, and completes the file.
  private static func finish(_ writer: CheckpointWriter, _ info: CheckpointInfo, _ state: TrainingState? = nil) throws {
    for (path, value) in state?.buffers ?? [] {
      try writer.writeFloats(
        CheckpointLayout.model + "/" + path.replacing(".", with: "/"), shape: value.shape, value.pointer)
    }
    for (name, words) in info.vocabulary.sorted(by: { $0.key < $1.key }) {
      try writer.writeBytes(
        CheckpointHeader.vocabularyGroup + "/" + name, [UInt8](words.joined(separator: "\n").utf8))
    }
    for (name, bytes) in info.attachments.sorted(by: { $0.key < $1.key }) {
      try writer.writeBytes(CheckpointHeader.attachmentGroup + "/" + name, bytes)
    }
    try writer.setAttribute("format", "mmoe")
    try writer.setAttribute("format_version", CheckpointHeader.formatVersion)
    try writer.setAttribute("task", info.task)
    try writer.setAttribute("preset", info.preset)
    try writer.setAttribute("variant", info.config.model.moe.variant)
    try writer.setAttribute("config", RunConfig.table.yaml(info.config))
    try writer.setAttribute("step", info.step)
    try writer.setAttribute("seed", info.config.seed)
    try writer.setAttribute("backend", info.backend)
    if info.origin != RunOrigin() { try writer.setAttribute("origin", info.origin.json) }
    if let best = info.best {
      try writer.setAttribute("best_value", best.value)
      try writer.setAttribute("best_step", best.step)
    }
    try writer.finish()
  }
}

/// A verified checkpoint, open for reading.
public final class LoadedCheckpoint {
  public let info: CheckpointInfo
  private let reader: HDF5Reader

  /// Opens and verifies a checkpoint.
  ///
  /// - Throws: `HDF5Error` when the file is missing, cut, damaged or foreign; `TrainError` when its attributes are not
  ///   those of a training checkpoint; `ConfigError` when its configuration has unknown keys.
  public init(_ file: String) throws {
    reader = try CheckpointFile.open(file)
    info = try LoadedCheckpoint.info(reader)
  }

  public var file: String { reader.file }
  /// The files that it consists of, with their lengths in bytes.
  package var parts: [(file: String, bytes: Int)] { reader.files }
  /// Numbers that have optimizer state.
  package var trainedNumbers: Int {
    // Below optimizer/NAME/ the paths are those of the model.
    var counts: [Substring: Int] = [:]
    for dataset in reader.datasets where dataset.path.hasPrefix(CheckpointLayout.optimizer + "/") {
      counts[dataset.path.split(separator: "/", maxSplits: 2).last ?? ""] = dataset.count
    }
    return counts.values.reduce(0, +)
  }

  private static func info(_ reader: HDF5Reader) throws -> CheckpointInfo {
    let header = try CheckpointHeader(reader)
    var config = RunConfig()
    try RunConfig.table.apply(yaml: header.config, file: "\(reader.file) (config)", to: &config)
    return CheckpointInfo(
      task: header.task, preset: header.preset, config: config, step: header.step, best: header.best,
      vocabulary: header.vocabulary, attachments: header.attachments, backend: header.backend,
      origin: try reader.stringAttribute("origin").map { try RunOrigin(json: $0, file: reader.file) } ?? RunOrigin())
  }

  /// The model's datasets in the order of their paths, which are those of `CheckpointLayout` with dots for slashes.
  package func modelArrays() -> [(name: String, shape: [Int])] {
    let group = CheckpointLayout.model + "/"
    return reader.datasets.filter { $0.path.hasPrefix(group) }.map {
      (String($0.path.dropFirst(group.count)).replacing("/", with: "."), $0.shape)
    }
  }

  /// The numbers of one of `modelArrays()`.
  ///
  /// - Throws: `HDF5Error` when there is none of that name, or it cannot be read; `TrainError` when a number is not finite.
  package func modelArray(_ name: String) throws -> [Float] {
    let place = CheckpointLayout.model + "/" + name.replacing(".", with: "/")
    let values = try reader.readFloats(place)
    try values.withUnsafeBufferPointer { try reader.requireFinite($0, of: place) }
    return values
  }

  /// Reads all parameters and buffers into a model of the same configuration.
  ///
  /// - Parameter leaves: which parameters stay in the file.
  /// - Throws: `HDF5Error` or `TrainError` for a dataset that is missing, of another shape, left over, or not finite.
  public func restore(
    _ model: any TrainableModel, leaving leaves: (Parameter) -> Bool = { _ in false }
  ) throws {
    var known: Set<String> = []
    for parameter in model.parameters {
      if !leaves(parameter) { try read(parameter, into: parameter.value, under: CheckpointLayout.model) }
      for piece in CheckpointLayout.pieces(of: parameter, allExperts: true) {
        known.insert(CheckpointLayout.model + "/" + piece.path)
      }
    }
    for (path, value) in model.buffers {
      let place = CheckpointLayout.model + "/" + path.replacing(".", with: "/")
      try readFinite(place, into: value.pointer, count: value.count)
      known.insert(place)
    }
    let extra = reader.datasets.first {
      $0.path.hasPrefix(CheckpointLayout.model + "/") && !known.contains($0.path)
    }
    if let extra {
      throw TrainError(
        file, found: "dataset '\(extra.path)' is not part of the model that its configuration describes",
        remedy: "the file was changed")
    }
  }

  /// Reads what the optimizer keeps, and its step count.
  ///
  /// - Throws: `TrainError` when the file has no optimizer state, or another optimizer's, or where the optimizer was made with
  ///   other parameters than the model's.
  public func restore(_ optimizer: Updater, of model: any TrainableModel) throws {
    try optimizer.require(model.parameters)
    guard info.config.optimizer.kind == optimizer.kind else {
      throw TrainError(
        "\(file): optimizer.kind is \(info.config.optimizer.kind.rawValue), whose state \(optimizer.kind.rawValue) cannot go on with; begin a new run with --init-from \(ShellWord.quoted(file))"
      )
    }
    guard reader.exists(CheckpointLayout.optimizer) else {
      throw TrainError(
        file, found: "holds no optimizer state, so training cannot go on from it",
        remedy: "resume from another checkpoint")
    }
    for (name, parameter, values, slice) in optimizer.state(of: model.parameters) {
      let group = CheckpointLayout.optimizer + "/" + name
      guard optimizer.isSharded else {
        try read(parameter, into: values, under: group)
        continue
      }
      let whole = Tensor(uninitialized: parameter.shape)
      try read(parameter, into: whole, under: group)
      values.pointer.update(from: whole.pointer + slice.lowerBound, count: slice.count)
    }
    optimizer.stepCount = info.step
  }

  /// Where a piece of the model begins in the file.
  ///
  /// - Throws: `HDF5Error` when it is missing; `TrainError` when it has another shape or is not stored in one piece.
  package func fileOffset(of piece: CheckpointLayout.Piece) throws -> Int {
    let place = CheckpointLayout.model + "/" + piece.path
    let dataset = try reader.dataset(place)
    guard parts.count == 1 else {
      throw TrainError(
        file, found: "its experts are in \(parts.count - 1) files beside it", expected: "one file to read them from",
        remedy: "write it with `mmoe checkpoint merge`")
    }
    guard dataset.shape == piece.shape, dataset.type == .float32, let offset = dataset.fileOffset else {
      throw TrainError(
        file,
        found:
          "dataset '\(place)': \(dataset.type.rawValue) of shape \(dataset.shape) found, contiguous float32 of shape \(piece.shape) expected",
        remedy: "use --offload none")
    }
    return offset
  }

  private func read(_ parameter: Parameter, into tensor: Tensor, under group: String) throws {
    for piece in CheckpointLayout.pieces(of: parameter) {
      let place = group + "/" + piece.path
      let shape = try reader.shape(place)
      guard shape == piece.shape else {
        throw TrainError(
          file, found: "dataset '\(place)': shape \(shape) found, \(piece.shape) expected by the configuration")
      }
      try readFinite(place, into: tensor.pointer + piece.offset, count: piece.count)
    }
  }

  private func readFinite(_ place: String, into destination: UnsafeMutablePointer<Float>, count: Int) throws {
    try reader.readFloats(place, into: destination, count: count)
    try reader.requireFinite(UnsafeBufferPointer(start: destination, count: count), of: place)
  }

  /// - Throws: `TrainError` when it is a checkpoint of another task.
  package func require(task: String) throws {
    guard info.task == task else {
      throw TrainError(
        file, found: "a checkpoint of the task \(info.task)", expected: task,
        remedy: "give --task \(info.task), or none")
    }
  }

  /// Compares names that the data gives with those of the training data.
  ///
  /// - Throws: `TrainError` naming the first difference.
  package func requireVocabulary(_ found: [String: [String]], data: String) throws {
    for (name, expected) in info.vocabulary.sorted(by: { $0.key < $1.key }) {
      let other = found[name] ?? []
      guard other != expected else { continue }
      let place = zip(other, expected).prefix { $0 == $1 }.count
      func word(_ words: [String]) -> String { place < words.count ? "'\(words[place])'" : "none" }
      throw TrainError(
        "\(data): its \(name) differ from the checkpoint's (\(other.count) against \(expected.count); number \(place) is \(word(other)), expected \(word(expected))); use the data that \(file) was trained on"
      )
    }
  }
}
