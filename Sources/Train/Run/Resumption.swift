import Foundation
import MMoEConfig
import MMoEData
import MMoEFiles
import MMoEHDF5
import MMoEReport

/// The checkpoint that a run goes on from.
package struct Resumption {
  package let file: String
  /// Later ones of the run that cannot be loaded: their paths, and what is wrong with each.
  package let passedOver: [(file: String, reason: String)]
}

extension RunFolder {
  /// The checkpoint that a path stands for: itself, or a run's best one, else its latest.
  ///
  /// - Throws: `TrainError` when there is none.
  package static func checkpoint(at path: String) throws -> String {
    let path = named(path)
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder), isFolder.boolValue else { return path }
    let best = FilePath.join(path, bestName)
    if FileManager.default.fileExists(atPath: best) { return best }
    guard let step = steps(in: path).last else {
      if HubFolder.isOne(path) {
        throw TrainError(
          path, found: "a model in Hugging Face's layout", expected: "a checkpoint",
          remedy: "make one of it with mmoe checkpoint convert \(ShellWord.quoted(path)) --out FILE.h5")
      }
      throw TrainError("\(path): neither config.json nor a checkpoint *.h5 in it; expected a run's or a model's folder")
    }
    return checkpointFile(step: step, in: path)
  }

  /// The checkpoint that a command uses: what a path stands for, or, without one, the best one of the latest run.
  ///
  /// - Parameters:
  ///   - task: of which the latest run is; nil = any.
  ///   - root: where runs are.
  /// - Throws: `TrainError` when there is none.
  package static func checkpoint(
    at path: String?, task: String?, under root: String = RunFolder.home
  ) throws -> String {
    try checkpoint(at: path ?? latestRun(of: task, under: root, "--checkpoint"))
  }

  /// What a user means by a run: a path, or else the name of a run where runs go.
  package static func named(_ run: String, under root: String = RunFolder.home) -> String {
    guard !run.isEmpty, !FileManager.default.fileExists(atPath: run) else { return run }
    let place = FilePath.join(root, run)
    switch content(of: place) {
    case .checkpoints, .unsaved: return place
    case .foreign, nil: return run
    }
  }

  /// The latest loadable checkpoint: of a run's folder, of a checkpoint file itself, or, for an empty path, of the latest
  /// run.
  ///
  /// - Parameters:
  ///   - task: of which the latest run is; nil = any.
  ///   - root: where runs are.
  ///   - option: of the command line, for messages.
  /// - Throws: `TrainError` when there is none.
  package static func resumption(
    _ run: String, task: String?, under root: String, option: String = "--resume"
  ) throws -> Resumption {
    if run.isEmpty { return try latest(in: latestRun(of: task, under: root, option), option: option) }
    let run = named(run, under: root)
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: run, isDirectory: &isFolder) else {
      throw TrainError("\(option) \(run): no such run or checkpoint; expected a folder under \(root)")
    }
    return isFolder.boolValue ? try latest(in: run, option: option) : Resumption(file: run, passedOver: [])
  }

  /// A run's latest checkpoint that can be loaded with all its parts; where none of the steps' can, its best one.
  ///
  /// - Throws: `TrainError` when there is none.
  package static func latest(in folder: String, option: String) throws -> Resumption {
    let folder = FilePath.withoutTrailingSlashes(folder)
    var passedOver: [(file: String, reason: String)] = []
    let files = steps(in: folder).reversed().map { checkpointFile(step: $0, in: folder) }
    for file in files + [FilePath.join(folder, bestName)] where FileManager.default.fileExists(atPath: file) {
      do {
        _ = try CheckpointFile.open(file)
        return Resumption(file: file, passedOver: passedOver)
      } catch let error as HDF5Error {
        passedOver.append((file, error.description))
      }
    }
    let damaged = passedOver.first.map { " (\($0.reason))" } ?? ""
    throw TrainError(
      "\(option) \(folder): no loadable checkpoint in it\(damaged); begin a run with --out \(ShellWord.quoted(folder)) --resume\(passedOver.isEmpty ? "" : " when the damaged files are moved away")"
    )
  }

  /// The run whose newest checkpoint is the newest of all runs that fit.
  ///
  /// - Parameters:
  ///   - task: of which it must be; nil = any.
  ///   - option: of the command line, for messages.
  ///   - kind: what else it must be, in words for the message, and whether the run of a folder is so.
  /// - Throws: `TrainError` when there is none.
  package static func latestRun(
    of task: String?, under root: String = RunFolder.home, _ option: String,
    kind: (words: String, fits: (_ folder: String) -> Bool)? = nil
  ) throws -> String {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: root)) ?? []
    func saved(_ name: String) -> (time: timespec, folder: String)? {
      let folder = FilePath.join(root, name)
      var status = stat()
      guard let step = steps(in: folder).last, stat(checkpointFile(step: step, in: folder), &status) == 0,
        task.map({ RunFolder.isRun(of: $0, folder) }) ?? true, kind?.fits(folder) ?? true
      else { return nil }
      return (status.st_mtim, folder)
    }
    let newest = names.sorted().compactMap(saved).max {
      ($0.time.tv_sec, $0.time.tv_nsec) < ($1.time.tv_sec, $1.time.tv_nsec)
    }
    guard let newest else {
      throw TrainError(
        option,
        found:
          "found no run \(task.map { "of the task \($0) " } ?? "")\(kind.map { "\($0.words) " } ?? "")with a checkpoint under \(root)",
        remedy: "name one")
    }
    return newest.folder
  }

  /// Whether a run is of a task: as its record says, otherwise as its name begins.
  private static func isRun(of task: String, _ folder: String) -> Bool {
    guard let record = try? RunRecord.read(folder) else { return FilePath.name(of: folder).hasPrefix(task + "-") }
    return record.task == task
  }

  /// Takes over a run's metrics up to a step, where it has any.
  ///
  /// - Throws: `TrainError` or `FileFailure` when they cannot be copied.
  func takeMetrics(from folder: String) throws {
    let name = Recorder.fileName
    guard FileManager.default.fileExists(atPath: FilePath.join(folder, name)) else { return }
    guard let content = FileManager.default.contents(atPath: FilePath.join(folder, name)) else {
      throw TrainError("\(folder)/\(name)", found: "cannot be read", remedy: "check its permissions")
    }
    try DurableFile.write(content, to: FilePath.join(path, name))
  }
}
