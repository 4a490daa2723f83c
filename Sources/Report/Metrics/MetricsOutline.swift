import Foundation
import MMoEFiles

/// What a list of runs shows of a `metrics.jsonl`, found without reading every number in it.
///
/// The lines of evaluations and the last one are read whole; of all others only the throughput is, so that hundreds of long runs
/// take less than a second.
package struct MetricsOutline: Sendable {
  /// The steps with an evaluation, and the last step.
  package let history: MetricsHistory
  /// What throughput counts, such as `images`; nil where none was recorded.
  package let unit: String?
  /// Seconds that the steps took, divided by the units of one step.
  package let secondsPerUnit: Double
  /// Steps with a throughput.
  package let timedSteps: Int
  /// Whether the last line is not complete: it is being written, or its writer was killed.
  package let endsCut: Bool

  package var lastStep: Int? { history.steps.last }

  /// Units per second over all steps.
  package var unitsPerSecond: Double? {
    secondsPerUnit > 0 ? Double(timedSteps) / secondsPerUnit : nil
  }

  /// - Throws: `ReportError` for a file that cannot be read.
  package init(file: String) throws(ReportError) {
    // Not mapped: a run that goes on may cut the file meanwhile.
    let bytes: [UInt8]
    do { bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: file))) } catch {
      throw ReportError(file, found: "cannot be read (\(systemReason(of: error)))")
    }
    var scan = Scan()
    bytes.withUnsafeBytes { scan.read($0) }
    var lines: [MetricsLine] = []
    func add(_ range: Range<Int>) {
      guard let line = MetricsLineParser.parse(bytes[range]), line.step > lines.last?.step ?? -1 else { return }
      lines.append(line)
    }
    for range in scan.evaluations { add(range) }
    // The last one that is a step's.
    for range in scan.last.reversed() where MetricsLineParser.parse(bytes[range]) != nil {
      add(range)
      break
    }
    history = MetricsHistory(lines)
    (unit, secondsPerUnit, timedSteps, endsCut) = (scan.unit, scan.seconds, scan.timed, scan.endsCut)
  }

  /// One pass over the bytes.
  private struct Scan {
    /// Lines that hold an evaluation.
    var evaluations: [Range<Int>] = []
    /// The last few lines.
    var last: [Range<Int>] = []
    var unit: String?
    var seconds = 0.0
    var timed = 0
    var endsCut = false

    private static let validation = Array("\"\(MetricName.validationLoss)\":".utf8)
    private static let throughput = Array("_per_s\":".utf8)

    mutating func read(_ bytes: UnsafeRawBufferPointer) {
      guard let base = bytes.baseAddress else { return }
      var start = 0
      while start < bytes.count {
        guard let newline = memchr(base + start, 0x0A, bytes.count - start) else {
          endsCut = true
          return
        }
        let end = UnsafeRawPointer(newline) - base
        if last.count == 8 { last.removeFirst() }
        last.append(start..<end)
        if Scan.find(Scan.validation, bytes, start..<end) != nil { evaluations.append(start..<end) }
        if let place = Scan.find(Scan.throughput, bytes, start..<end) { addThroughput(bytes, place, start..<end) }
        start = end + 1
      }
    }

    /// The first place of a text in a range.
    private static func find(_ text: [UInt8], _ bytes: UnsafeRawBufferPointer, _ range: Range<Int>) -> Int? {
      guard let base = bytes.baseAddress else { return nil }
      var start = range.lowerBound
      while range.upperBound - start >= text.count {
        guard let first = memchr(base + start, Int32(text[0]), range.upperBound - start - text.count + 1) else {
          return nil
        }
        let place = UnsafeRawPointer(first) - base
        if memcmp(first, text, text.count) == 0 { return place }
        start = place + 1
      }
      return nil
    }

    private mutating func addThroughput(_ bytes: UnsafeRawBufferPointer, _ place: Int, _ line: Range<Int>) {
      if unit == nil {
        let name = bytes[line.lowerBound..<place]
        unit = name.lastIndex(of: UInt8(ascii: "\"")).map { String(decoding: name[($0 + 1)...], as: UTF8.self) }
      }
      let start = place + Scan.throughput.count
      let number = bytes[start..<line.upperBound].prefix { $0 != UInt8(ascii: ",") && $0 != UInt8(ascii: "}") }
      guard let value = Double(String(decoding: number, as: UTF8.self)), value > 0, value.isFinite else { return }
      seconds += 1 / value
      timed += 1
    }
  }
}
