import Foundation
import MMoEFiles

/// Collects a step's metrics and appends them to a run's `metrics.jsonl`: one line per step, on disk (in the system's cache)
/// when `flush` returns. An event file beside it has the same for TensorBoard, and samples. Not thread-safe: one loop owns it.
package final class Recorder {
  /// The file that a recorder writes in its directory.
  package static let fileName = "metrics.jsonl"

  private let file: AppendFile
  private let directory: String
  private let path: String
  /// Made with the first step or sample.
  private var events: EventFile?
  private var lastStep: Int?
  /// Every key ever written, in the order of its first appearance: the order within a line.
  private var order: [String: Int] = [:]
  private var pending: [String: (sum: [Double], count: Double, isVector: Bool)] = [:]
  private var arrivals: [String] = []
  /// Whether the last step of a resumed run lacks its evaluation, which the step's next `flush` then adds to its line.
  package private(set) var lacksEvaluation = false
  /// Where that line begins in the file.
  private var reopened: Int?
  /// What was found in the metrics of a resumed run and left out of them, in words; nil = nothing.
  package let note: String?

  /// Opens the metrics of a run.
  ///
  /// - Parameters:
  ///   - directory: the run's folder, which exists.
  ///   - step: nil for a new run. For a resumed run the last step of its checkpoint: what was
  ///     recorded beyond it, and a line cut off by a crash, is dropped, because those steps run again.
  ///   - evaluationDue: whether an evaluation belongs to that step.
  package init(
    directory: String, resumingAfter step: Int? = nil, evaluationDue: Bool = false
  ) throws(ReportError) {
    self.directory = directory
    path = FilePath.join(directory, Recorder.fileName)
    var lines: [(line: MetricsLine, end: Int)] = []
    var bad: [Int] = []
    if FileManager.default.fileExists(atPath: path) {
      guard let step else {
        throw ReportError(
          path, found: "found the metrics of an earlier run", expected: "none",
          remedy: "resume that run or choose another folder")
      }
      (lines, bad) = try MetricsFile.read(path)
      lines.removeAll { $0.line.step > step }
    }
    if bad.isEmpty {
      note = nil
      file = try AppendFile(path)
      try file.truncate(to: lines.last?.end ?? 0)
    } else {
      note =
        "\(path): \(bad.count) lines are no step's metrics and are left out, the first is line \(bad[0]); all of it as it was is in \(path).damaged"
      file = try Recorder.rewritten(path, lines.map(\.line))
    }
    // Its file of rewritten lines has other offsets.
    let last = bad.isEmpty && evaluationDue ? lines.last?.line : nil
    let unfinished = last.flatMap { line in
      line.step == step && !line.values.contains { $0.key == MetricName.validationLoss } ? line : nil
    }
    if unfinished != nil { lines.removeLast() }
    lastStep = lines.last?.line.step
    for (line, _) in lines { Recorder.number(line, &order) }
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
  package func record(_ name: String, _ value: Double, layer: Int? = nil) {
    add(MetricsLine.key(name, layer: layer), [value], isVector: false)
  }

  /// Notes one value per expert, class or the like. Of several in one step the element-wise mean is written.
  package func record(_ name: String, _ values: [Double], layer: Int? = nil) {
    add(MetricsLine.key(name, layer: layer), values, isVector: true)
  }

  /// The current step's value of a metric, as `flush` would write it.
  package func current(_ name: String, layer: Int? = nil) -> Double? {
    guard let entry = pending[MetricsLine.key(name, layer: layer)], !entry.isVector else {
      return nil
    }
    return entry.sum[0] / entry.count
  }

  /// Writes what was recorded since the last flush as the metrics of this step, and clears it.
  /// Steps must ascend. On a full disk the file keeps its earlier, whole lines.
  package func flush(step: Int) throws(ReportError) {
    if let lastStep, step <= lastStep {
      throw ReportError(path, expected: "a step after \(lastStep)", found: "\(step)")
    }
    let values = arrivals.compactMap { key in
      pending[key].map { entry in
        let means = entry.sum.map { $0 / entry.count }
        return (
          key: key, value: entry.isVector ? MetricsLine.Value.vector(means) : .scalar(means[0])
        )
      }
    }
    var line = MetricsLine(step: step, values: values)
    Recorder.number(line, &order)
    line.values.sort { order[$0.key, default: 0] < order[$1.key, default: 0] }
    if let reopened { try file.truncate(to: reopened) }
    (reopened, lacksEvaluation) = (nil, false)
    try file.append(Array(line.json.utf8))
    let isEvaluated = line.values.contains { $0.key == MetricName.validationLoss }
    let histograms = isEvaluated || step % Recorder.stepsOfHistogram == 0
    try openEvents().append(EventSummary(line, histograms: histograms), step: step)
    lastStep = step
    pending.removeAll(keepingCapacity: true)
    arrivals.removeAll(keepingCapacity: true)
  }

  /// Shows something of a step in TensorBoard besides its metrics. To be called before the step's `flush`.
  package func show(_ summary: EventSummary, step: Int) throws(ReportError) {
    try openEvents().append(summary, step: step)
  }

  /// A histogram is much larger than a number, and TensorBoard shows 500 of a run at most.
  private static let stepsOfHistogram = 50

  private func openEvents() throws(ReportError) -> EventFile {
    if let events { return events }
    let opened = try EventFile(directory: directory, forgettingFrom: (lastStep ?? 0) + 1)
    events = opened
    return opened
  }

  /// Removes what an earlier run without a checkpoint recorded in this folder.
  package static func removeAll(from directory: String) {
    unlink(FilePath.join(directory, fileName))
    EventFile.removeAll(from: directory)
  }

  /// Waits until the metrics are on the disk itself. To be called before a checkpoint is put in
  /// place, so that a resumed run finds every step up to it even after a power failure.
  package func synchronize() throws(ReportError) { try file.synchronize() }

  /// Everything recorded in this run so far, from the file.
  package func history() throws(ReportError) -> MetricsHistory {
    try MetricsHistory(file: path)
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

  private static func number(_ line: MetricsLine, _ order: inout [String: Int]) {
    for (key, _) in line.values where order[key] == nil { order[key] = order.count }
  }

  /// The file with these lines alone; what it was before gets the name `….damaged`.
  private static func rewritten(_ path: String, _ lines: [MetricsLine]) throws(ReportError) -> AppendFile {
    // A second name first: whatever happens next, one of the two has all of it.
    let damaged = path + ".damaged"
    unlink(damaged)
    if link(path, damaged) != 0 {
      do { try DurableFile.copy(path, to: damaged) } catch {
        throw ReportError(
          "\(damaged)", found: "cannot be written (\(systemReason(of: error)))", remedy: "free space and resume")
      }
    }
    return try replaced(path, lines.map(\.json).joined())
  }

  private static func replaced(_ path: String, _ text: String) throws(ReportError) -> AppendFile {
    do { try DurableFile.write(text, to: path) } catch { throw ReportError(error.fault) }
    return try AppendFile(path)
  }
}
