import Foundation
import MMoEFiles

/// Collects a step's metrics and appends them to a run's `metrics.jsonl` and `metrics.csv`.
///
/// `metrics.jsonl` is the record: one line a step, on disk (in the system's cache) when `flush`
/// returns. `metrics.csv` is the same for spreadsheets, single values only; when a metric appears
/// for the first time the file is rewritten with a column for it, so that validation metrics, which
/// come late, are in it too. Not thread-safe: one loop owns it.
public final class Recorder {
  /// The files that a recorder writes in its directory.
  public static let fileNames = (json: "metrics.jsonl", csv: "metrics.csv")

  private let json: AppendFile
  private var csv: AppendFile
  private let jsonPath: String
  private let csvPath: String
  private var lastStep: Int?
  /// Every key ever written, in the order of its first appearance: the order within a line and of
  /// the columns.
  private var order: [String: Int] = [:]
  private var columns: [String] = []
  private var pending: [String: (sum: [Double], count: Double, isVector: Bool)] = [:]
  private var arrivals: [String] = []
  /// Whether the last step of a resumed run lacks its evaluation, which the step's next `flush` then adds to its line.
  public private(set) var lacksEvaluation = false
  /// Where that line begins in the file.
  private var reopened: Int?
  /// What was found in the metrics of a resumed run and left out of them, in words; nil = nothing.
  public let note: String?

  /// Opens the metrics of a run.
  ///
  /// - Parameters:
  ///   - directory: the run's folder, which exists.
  ///   - step: nil for a new run. For a resumed run the last step of its checkpoint: what was
  ///     recorded beyond it, and a line cut off by a crash, is dropped, because those steps run again.
  ///   - evaluationDue: whether an evaluation belongs to that step.
  public init(
    directory: String, resumingAfter step: Int? = nil, evaluationDue: Bool = false
  ) throws(RecorderError) {
    jsonPath = FilePath.join(directory, Recorder.fileNames.json)
    csvPath = FilePath.join(directory, Recorder.fileNames.csv)
    var lines: [(line: MetricsLine, end: Int)] = []
    var bad: [Int] = []
    if FileManager.default.fileExists(atPath: jsonPath) {
      guard let step else {
        throw RecorderError(
          "\(jsonPath): found the metrics of an earlier run, expected none; resume that run or "
            + "choose another folder")
      }
      (lines, bad) = try MetricsFile.read(jsonPath)
      lines.removeAll { $0.line.step > step }
    }
    if bad.isEmpty {
      note = nil
      json = try AppendFile(jsonPath)
      try json.truncate(to: lines.last?.end ?? 0)
    } else {
      note =
        "\(jsonPath): \(bad.count) lines are no step's metrics and are left out, the first is line \(bad[0]); all of it as it was is in \(jsonPath).damaged"
      json = try Recorder.rewritten(jsonPath, lines.map(\.line))
    }
    // Its file of rewritten lines has other offsets.
    let last = bad.isEmpty && evaluationDue ? lines.last?.line : nil
    let unfinished = last.flatMap { line in
      line.step == step && !line.values.contains { $0.key == MetricName.validationLoss } ? line : nil
    }
    if unfinished != nil { lines.removeLast() }
    lastStep = lines.last?.line.step
    for (line, _) in lines { Recorder.number(line, &order, &columns) }
    csv = try Recorder.writeCSV(csvPath, columns, lines.lazy.map(\.line))
    guard let unfinished else { return }
    (lacksEvaluation, reopened) = (true, lines.last?.end ?? 0)
    for (key, value) in unfinished.values {
      switch value {
      case .scalar(let value): add(key, [value], isVector: false)
      case .vector(let values): add(key, values, isVector: true)
      }
    }
  }

  /// Notes a value for the current step; `layer` tells layers apart. Of several values in one step
  /// (accumulation) the mean is written.
  public func record(_ name: String, _ value: Double, layer: Int? = nil) {
    add(MetricsLine.key(name, layer: layer), [value], isVector: false)
  }

  /// Notes one value per expert, class or the like; goes to `metrics.jsonl` only. Of several in one
  /// step the element-wise mean is written.
  public func record(_ name: String, _ values: [Double], layer: Int? = nil) {
    add(MetricsLine.key(name, layer: layer), values, isVector: true)
  }

  /// The current step's value of a metric, as `flush` would write it.
  public func current(_ name: String, layer: Int? = nil) -> Double? {
    guard let entry = pending[MetricsLine.key(name, layer: layer)], !entry.isVector else {
      return nil
    }
    return entry.sum[0] / entry.count
  }

  /// Writes what was recorded since the last flush as the metrics of this step, and clears it.
  /// Steps must ascend. On a full disk the files keep their earlier, whole lines.
  public func flush(step: Int) throws(RecorderError) {
    if let lastStep, step <= lastStep {
      throw RecorderError("\(jsonPath): expected a step after \(lastStep), found \(step)")
    }
    let known = columns.count
    let values = arrivals.compactMap { key in
      pending[key].map { entry in
        let means = entry.sum.map { $0 / entry.count }
        return (
          key: key, value: entry.isVector ? MetricsLine.Value.vector(means) : .scalar(means[0])
        )
      }
    }
    var line = MetricsLine(step: step, values: values)
    Recorder.number(line, &order, &columns)
    line.values.sort { order[$0.key, default: 0] < order[$1.key, default: 0] }
    if let reopened { try json.truncate(to: reopened) }
    (reopened, lacksEvaluation) = (nil, false)
    try json.append(line.json)
    lastStep = step
    pending.removeAll(keepingCapacity: true)
    arrivals.removeAll(keepingCapacity: true)
    if columns.count == known {
      try csv.append(Recorder.row(line, columns))
    } else {
      let lines = try MetricsFile.read(jsonPath).lines
      csv = try Recorder.writeCSV(csvPath, columns, lines.lazy.map(\.line))
    }
  }

  /// Waits until the metrics are on the disk itself. To be called before a checkpoint is put in
  /// place, so that a resumed run finds every step up to it even after a power failure.
  public func synchronize() throws(RecorderError) { try json.synchronize() }

  /// Everything recorded in this run so far, from the file.
  public func history() throws(RecorderError) -> MetricsHistory {
    try MetricsHistory(file: jsonPath)
  }

  private func add(_ key: String, _ values: [Double], isVector: Bool) {
    guard var entry = pending[key], entry.isVector == isVector, entry.sum.count == values.count
    else {
      // A vector whose length changes within a step (or a new kind of value) starts anew.
      if pending.updateValue((values, 1, isVector), forKey: key) == nil { arrivals.append(key) }
      return
    }
    for index in values.indices { entry.sum[index] += values[index] }
    entry.count += 1
    pending[key] = entry
  }

  private static func number(
    _ line: MetricsLine, _ order: inout [String: Int], _ columns: inout [String]
  ) {
    for (key, value) in line.values where order[key] == nil {
      order[key] = order.count
      if case .scalar = value { columns.append(key) }
    }
  }

  /// The file with these lines alone; what it was before gets the name `….damaged`.
  private static func rewritten(_ path: String, _ lines: [MetricsLine]) throws(RecorderError) -> AppendFile {
    // A second name first: whatever happens next, one of the two has all of it.
    let damaged = path + ".damaged"
    unlink(damaged)
    if link(path, damaged) != 0 {
      do { try DurableFile.copy(path, to: damaged) } catch {
        throw RecorderError("\(damaged): cannot be written (\(systemReason(of: error))); free space and resume")
      }
    }
    return try replaced(path, lines.map(\.json).joined())
  }

  // MARK: CSV

  private static func row(_ line: MetricsLine, _ columns: [String]) -> String {
    var cells: [String: String] = [:]
    for case (let key, .scalar(let value)) in line.values { cells[key] = MetricsLine.number(value) }
    return ([String(line.step)] + columns.map { cells[$0] ?? "" }).joined(separator: ",") + "\n"
  }

  private static func writeCSV(
    _ path: String, _ columns: [String], _ lines: some Sequence<MetricsLine>
  ) throws(RecorderError) -> AppendFile {
    let header = (["step"] + columns).map { name in
      name.contains { ",\"\n\r".contains($0) }
        ? "\"" + name.replacingOccurrences(of: "\"", with: "\"\"") + "\"" : name
    }
    let text = header.joined(separator: ",") + "\n" + lines.map { row($0, columns) }.joined()
    return try replaced(path, text)
  }

  private static func replaced(_ path: String, _ text: String) throws(RecorderError) -> AppendFile {
    do { try DurableFile.write(text, to: path) } catch { throw RecorderError(error.description) }
    return try AppendFile(path)
  }
}
