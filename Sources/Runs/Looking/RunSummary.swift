import Foundation
import MMoEConfig
import MMoEData
import MMoEFiles
import MMoEReport
import MMoETrain

/// What the small files of a run's folder say of it: `run.json`, `config.yaml` and `metrics.jsonl`. Checkpoints are not read.
///
/// Every field may be missing: of a run of an earlier version, one that was killed, or one whose files are damaged.
struct RunSummary: Sendable {
  enum State: String, Sendable {
    /// A process of this host trains in it.
    case running
    /// It took all of its steps.
    case finished
    /// It took fewer.
    case stopped
    /// Nobody trains in it, and how many steps it was to take is not known.
    case ended
  }

  let folder: String
  let name: String
  let state: State
  /// When the last command that trained it began; without a record, when its files last changed.
  let date: Date?
  let task: String?
  let preset: String?
  let commands: [String]
  let ranks: Int?
  /// Where its data is, and the last name of that.
  let data: String?
  let dataName: String?
  /// By split.
  let parts: [String: DataPart]
  let config: RunConfig?
  let outline: MetricsOutline?
  /// Steps that it was to take, where its files tell.
  let steps: Int?
  /// What decides which checkpoint is the best, and the best value so far.
  let metrics: TaskMetrics?
  let best: (value: Double, step: Int)?
  let hasRecord: Bool
  /// What is wrong with its files, a line each.
  let notes: [String]

  var variant: String? { config?.model.moe.variant }
  var step: Int? { outline?.lastStep }
  /// The metric by which its task judges, as it is recorded.
  var bestMetric: String? { metrics.map { "val_\($0.best.name)" } }

  /// Seconds in training steps, without evaluations and checkpoints.
  var seconds: Double? {
    guard let config, let outline, let unit = outline.unit, outline.timedSteps > 0 else { return nil }
    let units = config.data.batch * (unit == "tokens" ? config.model.text.context : 1)
    return outline.secondsPerUnit * Double(units)
  }

  init(_ folder: String, _ locks: RunLocks) {
    self.folder = folder
    name = FilePath.name(of: FilePath.named(folder))
    var notes: [String] = []
    func attempt<Value>(_ read: () throws -> Value?) -> Value? {
      do { return try read() } catch {
        notes.append("\(error)")
        return nil
      }
    }
    let record = attempt { try RunRecord.read(folder) }
    hasRecord = FileManager.default.fileExists(atPath: FilePath.join(folder, RunRecord.fileName))
    let (configFile, metricsFile) = (
      FilePath.join(folder, RunFolder.configName), FilePath.join(folder, Recorder.fileName)
    )
    config = attempt {
      var config = RunConfig()
      try RunConfig.table.apply(file: configFile, to: &config)
      return config
    }
    let read = attempt {
      FileManager.default.fileExists(atPath: metricsFile) ? try MetricsOutline(file: metricsFile) : nil
    }
    outline = read
    let kind = try? record.map { try TaskKind(named: $0.task) } ?? config.map { try TaskKind(training: $0.model.kind) }
    (task, preset) = (record?.task ?? kind?.name, record?.preset)
    commands = record?.commands.map(\.command) ?? []
    ranks = record?.commands.last?.ranks
    (data, dataName) = (record?.data.absolute, record.map { FilePath.name(of: $0.data.absolute) })
    parts = record?.data.parts ?? [:]
    date =
      record?.commands.last.flatMap { try? Date.ISO8601FormatStyle().parse($0.started) }
      ?? RunSummary.changed([metricsFile, configFile, folder])
    steps = config.flatMap { RunSummary.steps($0, record?.data.parts?[DatasetSplit.train.rawValue]) }
    let taskMetrics = config.flatMap { config in kind.map { $0.metrics(config.model) } }
    metrics = taskMetrics
    best = taskMetrics.flatMap { metrics in
      read.flatMap {
        RunSummary.best($0.history.points("val_\(metrics.best.name)"), higher: metrics.best.higherIsBetter)
      }
    }
    state =
      locks.holds(folder)
      ? .running : steps.map { (read?.lastStep ?? 0) >= $0 ? .finished : .stopped } ?? .ended
    if read?.endsCut == true, state != .running {
      notes.append("\(metricsFile): the last line is not complete and is passed over")
    }
    self.notes = notes
  }

  /// The best finite value, of equal ones the first.
  static func best(_ points: [(step: Int, value: Double)], higher: Bool) -> (value: Double, step: Int)? {
    points.filter(\.value.isFinite).reduce(nil as (value: Double, step: Int)?) { best, point in
      guard let best else { return (point.value, point.step) }
      return (higher ? point.value > best.value : point.value < best.value) ? (point.value, point.step) : best
    }
  }

  /// Optimizer steps of the whole run. The number of pairs in an epoch is in none of its files.
  private static func steps(_ config: RunConfig, _ part: DataPart?) -> Int? {
    if let steps = config.train.steps { return steps }
    let batch = config.data.batch
    switch config.model.kind {
    case .vit:
      return part?.counts["images"].map {
        config.train.epochs * ImageLoader.stepsPerEpoch(images: $0, batchSize: batch)
      }
    case .gpt:
      return part?.counts["tokens"].map {
        config.train.epochs
          * TokenLoader.stepsPerEpoch(tokens: $0, length: config.model.text.context, batchSize: batch)
      }
    default: return nil
    }
  }

  /// When the first of the files that is there was written last.
  private static func changed(_ files: [String]) -> Date? {
    for file in files {
      var status = stat()
      if stat(file, &status) == 0 { return Date(timeIntervalSince1970: Double(status.st_mtim.tv_sec)) }
    }
    return nil
  }

  // MARK: As text

  /// `71.3 % top1`.
  var bestText: String? {
    guard let best, let metrics else { return nil }
    return "\(Headline(metrics.best.name, "", isShare: metrics.best.isShare).text(best.value)) \(metrics.best.name)"
  }

  /// `500/1,000 stopped`.
  var stepText: String {
    let taken = step.map(HumanFormat.grouped) ?? (steps == nil ? "–" : "0")
    let all = steps.map { "/" + HumanFormat.grouped($0) } ?? ""
    return taken + all + (state == .running || state == .stopped ? " \(state.rawValue)" : "")
  }

  /// In the time of this place.
  var dateText: String? {
    date.map { date in
      var (seconds, parts) = (time_t(date.timeIntervalSince1970), tm())
      localtime_r(&seconds, &parts)
      return String(
        format: "%04d-%02d-%02d %02d:%02d", parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday, parts.tm_hour,
        parts.tm_min)
    }
  }

  var json: JSONValue {
    func text(_ value: String?) -> JSONValue { value.map(JSONValue.string) ?? .null }
    func number(_ value: Double?) -> JSONValue { value.map(JSONValue.double) ?? .null }
    func whole(_ value: Int?) -> JSONValue { value.map(JSONValue.int) ?? .null }
    var last: [String: JSONValue] = [:]
    for (name, layer) in outline?.history.names ?? [] where layer == nil {
      last[name] = number(outline?.history.points(name).last?.value)
    }
    return .object([
      "name": .string(name), "folder": .string(folder), "state": .string(state.rawValue),
      "date": text(date?.formatted(.iso8601)), "task": text(task), "data": text(data),
      "data_digests": .object(parts.mapValues { .string($0.digest) }), "preset": text(preset),
      "variant": text(variant), "step": whole(step), "steps": whole(steps), "best": number(best?.value),
      "best_metric": text(bestMetric), "best_step": whole(best?.step), "seconds": number(seconds),
      "units_per_s": number(outline?.unitsPerSecond), "unit": text(outline?.unit), "ranks": whole(ranks),
      "commands": .array(commands.map(JSONValue.string)), "last": .object(last),
      "notes": .array(notes.map(JSONValue.string)),
    ])
  }
}
