import Foundation
import MMoEConfig
import MMoEFiles
import MMoEReport

/// Chooses the folder of a run.
package struct RunPlacement {
  /// `--out`.
  package let out: String?
  /// `--resume`: nil = not given, empty = without a value.
  package let resume: String?
  /// What a run is called that has no folder of its own yet.
  package let name: String
  package let sink: any TextSink

  package init(out: String?, resume: String?, name: String, sink: any TextSink) {
    self.out = out
    self.resume = resume
    self.name = name
    self.sink = sink
  }

  /// The name of a new run: its task, the time, the preset and the variant.
  package static func name(task: String, preset: String, _ config: RunConfig) -> String {
    let formatter = DateFormatter()
    formatter.locale = Locale(identifier: "en_US_POSIX")
    formatter.dateFormat = "yyyyMMdd-HHmmss"
    return
      "\(RunFolder.home)/\(task)-\(formatter.string(from: Date()))-\(preset)-\(config.model.moe.variant)"
  }

  /// The folder of a new run.
  ///
  /// - Throws: `TrainError` when it cannot be made, or holds what a run would write over.
  package func begin() throws -> RunFolder {
    guard let out else { return try RunFolder(numbered: name) }
    return try resume == nil ? RunFolder(creating: out) : RunFolder(beginningAnew: out)
  }

  /// The folder of the run that a checkpoint belongs to. A run that goes back to an older step is a branch, with a folder of
  /// its own, so that two histories are never mixed; so is one whose checkpoint lies alone, or that `--out` sends elsewhere.
  ///
  /// - Parameter passedOver: later checkpoints of the run that cannot be loaded.
  /// - Returns: the folder, and where it is a branch, what it branches from.
  /// - Throws: `TrainError` when it cannot be written, or another process trains in it.
  package func folder(
    goingOnFrom checkpoint: LoadedCheckpoint, passedOver: [String]
  ) throws -> (folder: RunFolder, branch: RunRecord.Branch?) {
    let (own, step) = (FilePath.folder(of: checkpoint.file), checkpoint.info.step)
    let isRun = RunFolder.content(of: own) == .checkpoints
    func later() -> [Int] {
      RunFolder.steps(in: own).filter {
        $0 > step && !passedOver.contains(RunFolder.checkpointFile(step: $0, in: own))
      }
    }
    func branch(_ folder: RunFolder) throws -> (RunFolder, RunRecord.Branch?) {
      try folder.takeMetrics(from: own)
      sink.line("a branch after step \(step) of \(own), which stays as it is")
      return (folder, RunRecord.Branch(run: FilePath.absolute(own), step: step))
    }
    if let out, !RunFolder.isSameFolder(out, own) { return try branch(RunFolder(beginningAnew: out)) }
    // Its latest checkpoint was looked for unless one was named.
    let isNamed = resume == checkpoint.file
    guard isRun, later().isEmpty || !isNamed else {
      return try branch(
        RunFolder(numbered: isRun ? "\(FilePath.named(own))-from-\(RunFolder.padded(step))" : name))
    }
    let folder = try RunFolder(locking: own)
    if let newer = later().last {
      throw TrainError(own, found: "another process has saved step \(newer) meanwhile", remedy: "start again")
    }
    for file in folder.putAside(passedOver) { sink.line("put aside as \(file)") }
    return (folder, nil)
  }
}

extension RunFolder {
  /// Writes what the run was made from and by: its record, and its configuration under the command.
  ///
  /// - Throws: `FileFailure` when a file cannot be written.
  package func write(_ record: RunRecord, _ config: RunConfig) throws {
    var record = record
    let own = FilePath.resolved(FilePath.absolute(path))
    func located(_ source: RunRecord.Source) -> RunRecord.Source {
      var source = source
      source.fromRun = FilePath.relative(FilePath.resolved(source.absolute), to: own)
      return source
    }
    record.data = located(record.data)
    record.mixed = record.mixed?.mapValues(located)
    try record.write(to: path)
    // Ends of lines in it are written out.
    let command = oneLine(record.commands.last?.command ?? "")
    try DurableFile.write("# \(command)\n" + RunConfig.table.yaml(config), to: configFile)
  }
}
