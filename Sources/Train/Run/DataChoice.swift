import Foundation
import MMoEConfig
import MMoEData
import MMoEFiles
import MMoEReport

/// Which data a checkpoint is used with: what the command names, otherwise what its run was trained on.
package struct DataChoice {
  /// What `--data` says for the data that comes with the project.
  package static let builtIn = "-"
  /// How data compares with that of training.
  package enum Comparison {
    case same
    /// The first part that differs, in words.
    case differs(String)
    /// Nothing was recorded.
    case unknown
  }

  /// Where the data is; nil = the data that comes with the project.
  package let path: String?
  /// Whether the command names it.
  let isGiven: Bool
  private let checkpoint: LoadedCheckpoint
  private var run: String { RunRecord.folder(of: checkpoint.file) }

  /// - Parameter given: what the command names, `-` for the data that comes with the project; nil = nothing.
  /// - Throws: `TrainError` when nothing says which data it is, or when that is gone.
  package init(_ given: String?, for checkpoint: LoadedCheckpoint) throws {
    self.checkpoint = checkpoint
    isGiven = given != nil
    if let given {
      path = given == DataChoice.builtIn ? nil : given
      return
    }
    let run = RunRecord.folder(of: checkpoint.file)
    guard let record = try RunRecord.read(run) else {
      throw TrainError(
        "\(checkpoint.file)", found: "no \(RunRecord.fileName) beside it says which data it was trained on",
        remedy: "name the data with --data, which is - for the data that comes with the project")
    }
    path = record.data.path == nil ? nil : try DataChoice.find(record.data, "--data", of: run, checkpoint)
  }

  /// Puts the paths of a run's record where the checkpoint's configuration refers to it.
  ///
  /// - Throws: `TrainError` when there is none, or nothing where it points to.
  package func settle(_ config: inout RunConfig) throws {
    for (name, path) in RunConfig.dataPaths where config[keyPath: path] == RunConfig.recorded {
      guard let source = try RunRecord.read(run)?.mixed?[name] else {
        throw TrainError(
          "\(checkpoint.file)", found: "no \(RunRecord.fileName) beside it says where the data of \(name) is",
          remedy: "put it back")
      }
      config[keyPath: path] = try DataChoice.find(source, "--set \(name)", of: run, checkpoint)
    }
  }

  /// Where recorded data is now. A run that was moved together with its data finds it from its own folder; that it is the same
  /// data is seen by its digest.
  ///
  /// - Parameter option: what names other data, for the message.
  private static func find(
    _ source: RunRecord.Source, _ option: String, of run: String, _ checkpoint: LoadedCheckpoint
  ) throws -> String {
    // As it was given where the run is used from the same place, since messages show it.
    let given = source.path ?? source.absolute
    var places = [FilePath.resolved(FilePath.absolute(given)) == source.absolute ? given : source.absolute]
    if !checkpoint.info.origin.data.isEmpty { places += [FilePath.join(run, source.fromRun), given] }
    guard let place = places.first(where: FileManager.default.fileExists(atPath:)) else {
      throw TrainError(
        "\(FilePath.join(run, RunRecord.fileName))", found: "the data \(source.absolute) does not exist any more",
        remedy: "name it with \(option)")
    }
    return place
  }

  package func compare(_ parts: [DatasetSplit: DataPart]) -> Comparison {
    var isKnown = false
    for split in DatasetSplit.allCases {
      guard let old = checkpoint.info.origin.data[split], let new = parts[split] else { continue }
      guard old.digest == new.digest else {
        return .differs("its \(split.rawValue) part has \(new.summary), but \(checkpoint.file) has seen \(old.summary)")
      }
      isKnown = true
    }
    return isKnown ? .same : .unknown
  }

  /// - Parameter data: where it was found, for messages.
  /// - Throws: `TrainError` when a run would go on with other data.
  package func requireSame(_ parts: [DatasetSplit: DataPart], data: String) throws {
    guard case .differs(let difference) = compare(parts) else { return }
    let run = ShellWord.quoted(run)
    throw TrainError(
      "\(data)", found: "\(difference)",
      remedy:
        "name that data with --data, or begin a new run from its weights with --init-from \(run) --data \(ShellWord.quoted(data))"
    )
  }

  /// - Parameter data: where it was found, for messages.
  /// - Returns: a note where the command names other data on purpose, or nothing says what the data was.
  /// - Throws: `TrainError` when data that the command does not name has changed.
  package func note(_ comparison: Comparison, data: String) throws -> String? {
    switch comparison {
    case .same: return nil
    case .unknown: return "\(checkpoint.file) does not say what it was trained on, so nothing compares it with \(data)"
    case .differs(let difference) where isGiven: return "\(data) is not the data of training: \(difference)"
    case .differs(let difference):
      throw TrainError(
        "\(data)", found: "\(difference)",
        remedy:
          "give --data \(ShellWord.quoted(path ?? DataChoice.builtIn)) to use it as it is, or name the data of training"
      )
    }
  }
}
