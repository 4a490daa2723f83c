import Foundation
import MMoEData
import MMoEFiles

/// Which data a checkpoint is used with: what the command names, otherwise what its run was trained on.
struct DataChoice {
  /// What `--data` says for the data that comes with the project.
  static let builtIn = "-"

  /// Where the data is; nil = the data that comes with the project.
  let path: String?
  /// Whether the command names it.
  let isGiven: Bool
  private let checkpoint: LoadedCheckpoint

  /// - Parameter given: what the command names, `-` for the data that comes with the project; nil = nothing.
  /// - Throws: `TrainError` when nothing says which data it is, or when that is gone.
  init(_ given: String?, for checkpoint: LoadedCheckpoint) throws {
    self.checkpoint = checkpoint
    isGiven = given != nil
    if let given {
      path = given == DataChoice.builtIn ? nil : given
      return
    }
    let run = FilePath.folder(of: checkpoint.file)
    guard let record = try RunRecord.read(run) else {
      // The digests tell whether it was the built-in data, once that is open.
      guard checkpoint.info.origin.data.isEmpty else {
        path = nil
        return
      }
      throw TrainError(
        "\(checkpoint.file): neither it nor a \(RunRecord.fileName) beside it says which data it was trained on; name the data with --data (\(DataChoice.builtIn) for the data that comes with the project)"
      )
    }
    guard let named = record.data.path else {
      path = nil
      return
    }
    // As it was given where the run is used from the same place, since messages show it.
    let places = FilePath.absolute(named) == record.data.absolute ? [named] : [record.data.absolute]
    guard let place = places.first(where: FileManager.default.fileExists(atPath:)) else {
      throw TrainError(
        "\(FilePath.join(run, RunRecord.fileName)): data.absolute is \(record.data.absolute), which does not exist any more; name the data with --data"
      )
    }
    path = place
  }

  /// The first part that is not what the checkpoint was trained on, in words; nil where all are, or nothing was recorded.
  func difference(_ parts: [DatasetSplit: DataPart]) -> String? {
    for split in DatasetSplit.allCases {
      guard let old = checkpoint.info.origin.data[split], let new = parts[split], old.digest != new.digest else {
        continue
      }
      return "its \(split.rawValue) part has \(new.summary), but \(checkpoint.file) has seen \(old.summary)"
    }
    return nil
  }

  /// - Parameter data: where it was found, for messages.
  /// - Throws: `TrainError` when a run would go on with other data.
  func requireSame(_ parts: [DatasetSplit: DataPart], data: String) throws {
    guard let difference = difference(parts) else { return }
    let run = ShellWord.quoted(FilePath.folder(of: checkpoint.file))
    throw TrainError(
      "\(data): \(difference); name that data with --data, or begin a new run from its weights with --init-from \(run) --data \(ShellWord.quoted(data))"
    )
  }

  /// - Parameter data: where it was found, for messages.
  /// - Returns: a note where the command names other data on purpose.
  /// - Throws: `TrainError` when data that the command does not name has changed.
  func noteDifference(_ parts: [DatasetSplit: DataPart], data: String) throws -> String? {
    guard let difference = difference(parts) else { return nil }
    guard !isGiven else { return "\(data) is not the data of training: \(difference)" }
    throw TrainError(
      "\(data): \(difference); give --data \(path.map(ShellWord.quoted) ?? DataChoice.builtIn) to use it as it is, or name the data of training"
    )
  }
}
