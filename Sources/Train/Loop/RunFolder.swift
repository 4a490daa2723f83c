import Foundation
import MMoEHDF5

/// A run's folder: resolved configuration, metrics, plot, checkpoints. Locked while a process trains in it.
public final class RunFolder {
  public let path: String
  private let lock: Int32

  /// Creates a new run's folder.
  ///
  /// - Throws: `TrainError` when it holds a run already or cannot be written.
  public convenience init(creating path: String) throws {
    var isFolder: ObjCBool = false
    if FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) {
      guard isFolder.boolValue else {
        throw TrainError("\(path): a file, expected a folder for the run; choose another --out")
      }
      let content = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
      guard !content.contains(where: { $0 == RunFolder.configName || $0.hasSuffix(".h5") }) else {
        throw TrainError(
          "\(path): holds a run already; continue it with --resume \(path) or choose another --out")
      }
    } else {
      do {
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
      } catch {
        throw TrainError(
          "\(path): cannot be created (\(systemReason(of: error))); choose a writable --out")
      }
    }
    try self.init(locking: path)
  }

  /// Opens the folder of a run that exists.
  ///
  /// - Throws: `TrainError` when another process trains in it.
  public init(locking path: String) throws {
    self.path = path
    let file = path + "/.lock"
    lock = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
    guard lock >= 0 else {
      throw TrainError(
        "\(path): cannot be written (\(String(cString: strerror(errno)))); choose a writable --out")
    }
    guard flock(lock, LOCK_EX | LOCK_NB) == 0 else {
      close(lock)
      throw TrainError("\(path): another process trains in this folder; wait for it or choose another --out")
    }
  }

  /// Unlocked before it is closed: a child process that was forked meanwhile still has it open for a moment.
  deinit {
    flock(lock, LOCK_UN)
    close(lock)
  }

  public static let configName = "config.yaml"
  public var configFile: String { path + "/" + RunFolder.configName }
  public var plotFile: String { path + "/plot.png" }
  public var bestFile: String { path + "/best.h5" }

  /// The checkpoint of a step; zero-padded, so that listings sort.
  public func checkpointFile(step: Int) -> String {
    RunFolder.checkpointFile(step: step, in: path)
  }

  static func checkpointFile(step: Int, in folder: String) -> String {
    let digits = String(step)
    return folder + "/step-" + String(repeating: "0", count: max(0, 7 - digits.count)) + digits + ".h5"
  }

  /// Steps that have a checkpoint, ascending.
  static func steps(in path: String) -> [Int] {
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

  /// Removes all but the latest checkpoints and those whose step `every` divides; the best one has a name of its own and
  /// stays.
  ///
  /// - Returns: the files that were removed.
  @discardableResult
  func prune(keeping count: Int, every: Int) -> [String] {
    var removed: [String] = []
    for step in RunFolder.steps(in: path).dropLast(count) where every == 0 || step % every != 0 {
      let file = checkpointFile(step: step)
      // The best checkpoint's links name the parts by its step.
      if !parts(of: file).isEmpty, RunFolder.isSame(file, bestFile) { continue }
      if unlink(file) == 0 { removed.append(file) }
    }
    // Also those that a run left which died before the checkpoint that belongs to them.
    let names = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
    for name in names where name.hasPrefix("step-") && CheckpointPart.isName(name) {
      let stem = name.dropLast(3).prefix { $0 != "." }
      if !names.contains("\(stem).h5") || removed.contains("\(path)/\(stem).h5") { unlink("\(path)/\(name)") }
    }
    return removed
  }

  private func parts(of file: String) -> [String] {
    let stem = (file as NSString).lastPathComponent.dropLast(3)
    return ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).filter {
      $0.hasPrefix("\(stem).r") && CheckpointPart.isName($0)
    }
  }

  private static func isSame(_ first: String, _ second: String) -> Bool {
    var (a, b) = (stat(), stat())
    return stat(first, &a) == 0 && stat(second, &b) == 0 && a.st_ino == b.st_ino && a.st_dev == b.st_dev
  }

  /// Gives a checkpoint the second name `best.h5`; no bytes are copied.
  func markBest(step: Int) throws {
    let temporary = bestFile + ".link-\(getpid())"
    unlink(temporary)
    guard link(checkpointFile(step: step), temporary) == 0, rename(temporary, bestFile) == 0 else {
      let reason = String(cString: strerror(errno))
      unlink(temporary)
      throw TrainError("\(bestFile): cannot be written (\(reason)); check the folder's permissions")
    }
  }
}

extension RunFolder {
  /// The checkpoint that a path stands for: itself, or a run's best one, else its latest.
  ///
  /// - Throws: `TrainError` when there is none.
  static func checkpoint(at path: String) throws -> String {
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder), isFolder.boolValue else { return path }
    let best = path + "/best.h5"
    if FileManager.default.fileExists(atPath: best) { return best }
    guard let step = steps(in: path).last else {
      throw TrainError("\(path): neither config.json nor a checkpoint *.h5 in it; expected a run's or a model's folder")
    }
    return checkpointFile(step: step, in: path)
  }

  /// The latest loadable checkpoint of a run: `--resume` with a folder, a checkpoint file, or nothing (the task's
  /// latest run under `checkpoints/`). A file that is cut or damaged is passed over for the one before it.
  ///
  /// - Parameter option: of the command line, for messages.
  /// - Returns: the file, and what was passed over.
  /// - Throws: `TrainError` when there is none.
  public static func checkpointToResume(
    _ run: String, task: String, under root: String, option: String = "--resume"
  ) throws -> (file: String, passedOver: [String]) {
    var folder = run
    if run.isEmpty {
      folder = try latestRun(of: task, under: root, option)
    } else {
      var isFolder: ObjCBool = false
      guard FileManager.default.fileExists(atPath: run, isDirectory: &isFolder) else {
        throw TrainError("\(option) \(run): no such run or checkpoint; expected a folder under \(root)")
      }
      if !isFolder.boolValue { return (run, []) }
    }
    while folder.count > 1, folder.hasSuffix("/") { folder.removeLast() }
    var passedOver: [String] = []
    for step in steps(in: folder).reversed() {
      let file = checkpointFile(step: step, in: folder)
      do {
        // With all its parts.
        _ = try CheckpointFile.open(file)
        return (file, passedOver)
      } catch let error as HDF5Error {
        passedOver.append(error.description)
      }
    }
    let damaged = passedOver.first.map { " (\($0))" } ?? ""
    throw TrainError(
      "\(option) \(folder): no loadable checkpoint step-*.h5 in it\(damaged); start a new run")
  }

  private static func latestRun(of task: String, under root: String, _ option: String) throws -> String {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: root)) ?? []
    func age(_ name: String) -> Date? {
      let folder = root + "/" + name
      guard name.hasPrefix(task + "-"), !steps(in: folder).isEmpty else { return nil }
      let attributes = try? FileManager.default.attributesOfItem(atPath: folder)
      return attributes?[.modificationDate] as? Date
    }
    let newest = names.compactMap { name in age(name).map { (name, $0) } }.max { $0.1 < $1.1 }
    guard let newest else {
      throw TrainError(
        "\(option): found no run of the task \(task) with a checkpoint under \(root); name one")
    }
    return root + "/" + newest.0
  }
}
