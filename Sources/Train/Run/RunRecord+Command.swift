import Foundation
import MMoEConfig
import MMoEData
import MMoEFiles
import MMoEReport

extension RunRecord {
  /// What a command that trains knows of its run.
  package struct Training {
    let task: String
    let preset: String
    let config: RunConfig
    /// What `--data` names; nil for the data that comes with the project.
    let named: String?
    /// Where the data is.
    let data: String
    let origin: RunOrigin
    /// What the run starts from.
    let weights: [Weights]
    let options: (data: String?, initFrom: [String], configuration: String?)

    /// - Parameter options: what the command line says of data and initial weights, and what a study knows the run by.
    package init(
      task: String, preset: String, config: RunConfig, named: String?, data: String, origin: RunOrigin,
      weights: [Weights], options: (data: String?, initFrom: [String], configuration: String?)
    ) {
      (self.task, self.preset, self.config, self.named) = (task, preset, config, named)
      (self.data, self.origin, self.weights, self.options) = (data, origin, weights, options)
    }
  }

  /// The record of a run that begins, or of one that goes on, up to the command that trains it now.
  ///
  /// - Throws: `TrainError` for the record of a run that goes on when it cannot be read and the command does not name the data.
  package init(_ training: Training, goingOnFrom checkpoint: LoadedCheckpoint?, sink: any TextSink) throws {
    func source(_ path: String?, at place: String, parts: [String: DataPart]? = nil) -> Source {
      Source(path: path, absolute: FilePath.resolved(FilePath.absolute(place)), parts: parts)
    }
    let parts = training.origin.data.map { ($0.key.rawValue, $0.value) }
    let data = source(training.named, at: training.data, parts: Dictionary(uniqueKeysWithValues: parts))
    self.init(task: training.task, preset: training.preset, data: data)
    if let checkpoint {
      let run = FilePath.folder(of: checkpoint.file)
      // Where `--data` names it, a record that cannot be read is made anew.
      let (old, aside) =
        training.options.data == nil ? (try RunRecord.read(run), nil) : try RunRecord.readOrPutAside(run)
      if let aside { sink.line("put aside as \(aside)") }
      self = old ?? self
      // Later commands trained another history.
      commands.removeAll { $0.firstStep > 0 && $0.firstStep >= checkpoint.info.step }
      let (started, asked) = (initialWeights?.map(\.path) ?? [], training.options.initFrom)
      if !asked.isEmpty, asked != started {
        sink.line(
          "note: the run goes on with its own weights; it started from \(started.isEmpty ? "none" : started.joined(separator: ", ")), and --init-from \(asked.joined(separator: ", ")) is not used"
        )
      }
    } else {
      configuration = training.options.configuration
      if !training.weights.isEmpty { initialWeights = training.weights }
    }
    self.data = data
    let mixed = RunConfig.dataPaths.compactMap { key in
      training.config[keyPath: key.path].map { (key.name, source($0, at: $0)) }
    }
    self.mixed = mixed.isEmpty ? nil : Dictionary(uniqueKeysWithValues: mixed)
  }

  /// What of a run that goes on depends on how ranks share the work, which is in no checkpoint; a line each.
  ///
  /// - Parameter folder: of the run.
  package func rankNotes(_ config: RunConfig, ranks: Int, folder: String) -> [String] {
    var notes: [String] = []
    if let last = commands.last, last.ranks != ranks, config.model.moe.capacityFactor > 0 {
      let had = last.ranks == 1 ? "1 rank" : "\(last.ranks) ranks"
      notes.append(
        "note: this run had \(had) and has \(ranks) now; with moe.capacity_factor \(config.model.moe.capacityFactor) every rank fills its experts' queues by itself, so other tokens are dropped than before"
      )
    }
    var before = RunConfig()
    let file = FilePath.join(folder, RunFolder.configName)
    guard (try? RunConfig.table.apply(file: file, to: &before)) != nil else { return notes }
    for change in RunConfig.table.differences(before, config) where change.key.hasPrefix("parallel.") {
      notes.append(
        "note: \(change.key) was \(change.first) in this run and is \(change.second) now; keep it with --set \(ShellWord.quoted("\(change.key)=\(change.first)"))"
      )
    }
    return notes
  }
}
