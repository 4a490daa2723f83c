import Foundation
import MMoEFiles
import MMoEHDF5
import MMoEReport

/// A run's folder: resolved configuration, metrics, plot, checkpoints. Locked while a process trains in it.
package final class RunFolder {
  /// Where runs go without `--out`.
  package static let home = "checkpoints"

  package let path: String
  private let lock: Int32

  /// Makes the folder of a new run, or takes one that holds nothing a run would write over.
  ///
  /// - Throws: `TrainError` when it holds a run already, or files of a run's names, or cannot be written.
  package convenience init(creating path: String) throws {
    if let found = RunFolder.content(of: path) {
      switch found {
      case .checkpoints:
        throw TrainError(
          path, found: "holds a run already",
          remedy: "continue it with --out \(ShellWord.quoted(path)) --resume, or choose another --out")
      case .unsaved:
        throw TrainError(
          path, found: "holds a run that ended before its first checkpoint",
          remedy: "begin it anew by its own command with --resume, or choose another --out")
      case .foreign(let name):
        throw TrainError(path, found: "holds \(name), which a run would write over", remedy: "choose another --out")
      }
    }
    try RunFolder.make(path)
    try self.init(locking: path)
  }

  /// Opens the folder of a run that ended before its first checkpoint, to begin it anew.
  ///
  /// - Throws: as `init(creating:)`; a folder that holds no run yet is made.
  package convenience init(beginningAnew path: String) throws {
    let isUnsaved = RunFolder.content(of: path) == .unsaved
    if isUnsaved { try self.init(locking: path) } else { try self.init(creating: path) }
    // Its steps are taken again. Only once the folder is locked: another process may train in it.
    guard isUnsaved, RunFolder.content(of: path) == .unsaved else { return }
    Recorder.removeAll(from: path)
  }

  /// Makes a folder of this name, or of this name and the first free number: several runs may begin at once.
  ///
  /// - Throws: `TrainError` when it cannot be made.
  package convenience init(numbered path: String) throws {
    try RunFolder.make(FilePath.folder(of: path))
    var number = 1
    while true {
      let own = number == 1 ? path : "\(path)-\(number)"
      if mkdir(own, 0o777) == 0 {
        try self.init(locking: own)
        return
      }
      guard errno == EEXIST else { throw RunFolder.uncreatable(own, systemReason(errno)) }
      number += 1
    }
  }

  /// Opens the folder of a run that exists.
  ///
  /// - Throws: `TrainError` when another process trains in it.
  package init(locking path: String) throws {
    self.path = path
    let file = path + "/" + RunFolder.lockName
    lock = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
    guard lock >= 0 else {
      throw TrainError(path, found: "cannot be written (\(systemReason(errno)))", remedy: "choose a writable --out")
    }
    guard flock(lock, LOCK_EX | LOCK_NB) == 0 else {
      close(lock)
      throw TrainError(
        path, found: "another process trains in this folder", remedy: "wait for it or choose another --out")
    }
  }

  /// Unlocked before it is closed: a child process that was forked meanwhile still has it open for a moment.
  deinit {
    flock(lock, LOCK_UN)
    close(lock)
  }

  package static let configName = "config.yaml"
  package var configFile: String { path + "/" + RunFolder.configName }
  package var plotFile: String { path + "/" + RunFolder.plotName }
  package var bestFile: String { path + "/" + RunFolder.bestName }
  package static let bestName = "best.h5"
  private static let plotName = "plot.png"
  package static let samplePictureName = "sample.png"
  package static let sampleTextName = "sample.txt"
  package static let reportName = "report.html"
  var samplePicture: String { path + "/" + RunFolder.samplePictureName }
  var sampleText: String { path + "/" + RunFolder.sampleTextName }
  package var reportFile: String { path + "/" + RunFolder.reportName }
  static let lockName = ".lock"
  /// Names the checkpoint that `best.h5` is a copy of, where the file system has no second names.
  private var copiedFile: String { path + "/.best" }

  // MARK: What a folder holds

  /// What stands in the way of a new run.
  package enum Content: Equatable {
    /// A run with checkpoints.
    case checkpoints
    /// A run without.
    case unsaved
    /// A file that is no run's, but has the name of one that a run writes.
    case foreign(String)
  }

  /// - Returns: nil where a new run can begin.
  package static func content(of path: String) -> Content? {
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else { return nil }
    // `make` says what is wrong with a file.
    guard isFolder.boolValue else { return nil }
    let names = ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).sorted()
    // A run that died early has its lock and not all of its files.
    let written = [configName, RunRecord.fileName, Recorder.fileName].filter(
      names.contains)
    let isRun = written.count > 1 || (!written.isEmpty && names.contains(lockName))
    let hasSteps = !steps(in: path).isEmpty
    if isRun || hasSteps {
      return hasSteps || names.contains(bestName) ? .checkpoints : .unsaved
    }
    let own = [
      configName, RunRecord.fileName, plotName, bestName, Recorder.fileName, samplePictureName, sampleTextName,
      reportName,
    ]
    return names.first { own.contains($0) || $0.hasSuffix(".h5") }.map(Content.foreign)
  }

  private static func make(_ path: String) throws {
    var isFolder: ObjCBool = false
    if FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) {
      guard isFolder.boolValue else {
        throw TrainError(path, found: "a file", expected: "a folder for the run", remedy: "choose another --out")
      }
      return
    }
    do {
      try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    } catch {
      throw uncreatable(path, systemReason(of: error))
    }
  }

  private static func uncreatable(_ path: String, _ reason: String) -> TrainError {
    TrainError(path, found: "cannot be created (\(reason))", remedy: "choose a writable --out")
  }

  // MARK: Checkpoints

  /// The checkpoint of a step; zero-padded, so that listings sort.
  package func checkpointFile(step: Int) -> String {
    RunFolder.checkpointFile(step: step, in: path)
  }

  package static func checkpointFile(step: Int, in folder: String) -> String {
    FilePath.join(folder, "step-\(padded(step)).h5")
  }

  package static func padded(_ step: Int) -> String {
    let digits = String(step)
    return String(repeating: "0", count: max(0, 7 - digits.count)) + digits
  }

  /// Steps that have a checkpoint, ascending.
  package static func steps(in path: String) -> [Int] {
    ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).compactMap { name in
      guard name.hasPrefix("step-"), name.hasSuffix(".h5") else { return nil }
      return Int(name.dropFirst(5).dropLast(3))
    }.sorted()
  }

  /// What can be gone on from, in words: the latest checkpoint whose numbers, and validation loss where one was recorded,
  /// are finite.
  func lastGoodCheckpoint(_ history: MetricsHistory?) -> String {
    let steps = RunFolder.steps(in: path)
    let bad = history?.points(MetricName.validationLoss).filter { !$0.value.isFinite }.map(\.step) ?? []
    let good = steps.last { step in
      !bad.contains(step)
        && (try? CheckpointFile.open(checkpointFile(step: step)).requireFiniteNumbers()) != nil
    }
    if let good { return "the checkpoint of step \(good) is good" }
    return steps.isEmpty ? "no checkpoint was saved yet" : "no checkpoint is good"
  }

  /// Removes all but the latest checkpoints and those whose step `every` divides; `best.h5` is a file of its own and stays.
  ///
  /// - Parameters:
  ///   - written: the step whose checkpoint was just written, which stays whatever its number.
  /// - Returns: the files that were removed.
  @discardableResult
  package func prune(keeping count: Int, every: Int, written: Int? = nil) -> [String] {
    // The best checkpoint's links name the parts by its step.
    let copied = try? String(contentsOfFile: copiedFile, encoding: .utf8)
    var removed: [String] = []
    for step in RunFolder.steps(in: path).dropLast(count) where every == 0 || step % every != 0 {
      let file = checkpointFile(step: step)
      if step == written { continue }
      if !parts(of: file).isEmpty, copied == FilePath.stem(of: file) || RunFolder.isSame(file, bestFile) { continue }
      if unlink(file) == 0 { removed.append(file) }
    }
    // Also those that a run left which died before the checkpoint that belongs to them.
    let names = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
    for name in names where name.hasPrefix("step-") && CheckpointPart.isName(name) {
      let stem = name.dropLast(3).prefix { $0 != "." }
      if !names.contains("\(stem).h5"), copied != String(stem) { unlink(FilePath.join(path, name)) }
    }
    return removed
  }

  private func parts(of file: String) -> [String] {
    let stem = FilePath.stem(of: file)
    return ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).filter {
      $0.hasPrefix("\(stem).r") && CheckpointPart.isName($0)
    }
  }

  /// Whether two paths name one folder.
  static func isSameFolder(_ first: String, _ second: String) -> Bool { isSame(first, second) }

  private static func isSame(_ first: String, _ second: String) -> Bool {
    var (a, b) = (stat(), stat())
    return stat(first, &a) == 0 && stat(second, &b) == 0 && a.st_ino == b.st_ino && a.st_dev == b.st_dev
  }

  /// Gives a checkpoint the second name `best.h5`; where the file system has no second names (FAT, SMB, some of FUSE), a copy.
  ///
  /// - Parameter link: the system's call.
  /// - Throws: `TrainError` when neither can be written; an earlier `best.h5` then stays.
  func markBest(step: Int, link: (String, String) -> Int32 = { Foundation.link($0, $1) }) throws {
    let temporary = bestFile + ".link-\(getpid())"
    unlink(temporary)
    do {
      if link(checkpointFile(step: step), temporary) != 0 {
        guard [EPERM, EOPNOTSUPP, ENOSYS, EMLINK, EINVAL].contains(errno) else {
          throw POSIXError(POSIXErrorCode(rawValue: errno) ?? .EIO)
        }
        try DurableFile.copy(checkpointFile(step: step), to: temporary)
        try DurableFile.write("step-\(RunFolder.padded(step))", to: copiedFile)
      } else {
        unlink(copiedFile)
      }
      guard rename(temporary, bestFile) == 0 else { throw POSIXError(POSIXErrorCode(rawValue: errno) ?? .EIO) }
    } catch {
      unlink(temporary)
      throw TrainError(
        "\(bestFile)", found: "cannot be written (\(systemReason(of: error)))",
        remedy: "check the folder's permissions and space")
    }
  }

  /// Renames files that cannot be loaded, so that they neither count as checkpoints nor are lost.
  ///
  /// - Returns: their new names.
  func putAside(_ files: [String]) -> [String] {
    files.compactMap { file in
      let aside = file + ".damaged"
      return rename(file, aside) == 0 ? aside : nil
    }
  }
}
