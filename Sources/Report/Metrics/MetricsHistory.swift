import Foundation
import MMoEFiles

/// What a run has recorded so far, read from its `metrics.jsonl`.
package struct MetricsHistory: Sendable {
  /// The recorded steps, ascending.
  package private(set) var steps: [Int] = []
  /// The names of single-valued metrics with their layers, in the order of their first appearance.
  package private(set) var names: [(name: String, layer: Int?)] = []
  /// Keys of vector metrics, in the order of their first appearance.
  private var vectorKeys: [String] = []
  /// Lines of the file that are no step's metrics and were passed over.
  package private(set) var passedOver = 0
  private var scalars: [String: [(step: Int, value: Double)]] = [:]
  private var vectors: [String: [(step: Int, values: [Double])]] = [:]

  /// Reads a `metrics.jsonl`. Lines that are none of a step's are passed over, such as a last one that a crash has cut off.
  package init(file: String) throws(ReportError) {
    let (lines, bad) = try MetricsFile.read(file)
    passedOver = bad.count
    for (line, _) in lines { append(line) }
  }

  package init(_ lines: some Sequence<MetricsLine>) { for line in lines { append(line) } }

  /// A metric's values by step, NaN and infinities included. Empty where it was never recorded.
  package func points(_ name: String, layer: Int? = nil) -> [(step: Int, value: Double)] {
    scalars[MetricsLine.key(name, layer: layer)] ?? []
  }

  /// A vector metric's values by step. Empty where it was never recorded.
  package func vectors(_ name: String, layer: Int? = nil) -> [(step: Int, values: [Double])] {
    vectors[MetricsLine.key(name, layer: layer)] ?? []
  }

  /// The layers that recorded this metric, ascending.
  package func layers(_ name: String) -> [Int] {
    Set(scalars.keys).union(vectors.keys).map(MetricsLine.nameAndLayer)
      .filter { $0.name == name }.compactMap(\.layer).sorted()
  }

  /// All values as comma-separated values: a line per step, a column per metric, empty where a step has none. The elements of
  /// a vector are columns of their own, `expert_share/layer3.0` and so on, behind those of single values.
  package func csv() -> String {
    let keys = names.map { MetricsLine.key($0.name, layer: $0.layer) }
    let widths = vectorKeys.map { vectors[$0]?.map(\.values.count).max() ?? 0 }
    let elements = zip(vectorKeys, widths).flatMap { key, width in (0..<width).map { "\(key).\($0)" } }
    let rows = Dictionary(uniqueKeysWithValues: steps.enumerated().map { ($1, $0) })
    var cells = Array(repeating: Array(repeating: "", count: keys.count + elements.count), count: steps.count)
    for (column, key) in keys.enumerated() {
      for (step, value) in scalars[key] ?? [] { cells[rows[step]!][column] = MetricsLine.number(value) }
    }
    var first = keys.count
    for (key, width) in zip(vectorKeys, widths) {
      for (step, values) in vectors[key] ?? [] {
        for (index, value) in values.enumerated() { cells[rows[step]!][first + index] = MetricsLine.number(value) }
      }
      first += width
    }
    var table = CSVTable(["step"] + keys + elements)
    for (step, row) in zip(steps, cells) { table.add([String(step)] + row) }
    return table.text
  }

  private mutating func append(_ line: MetricsLine) {
    steps.append(line.step)
    for (key, value) in line.values {
      switch value {
      case .scalar(let value):
        if scalars[key] == nil { names.append(MetricsLine.nameAndLayer(key)) }
        scalars[key, default: []].append((line.step, value))
      case .vector(let values):
        if vectors[key] == nil { vectorKeys.append(key) }
        vectors[key, default: []].append((line.step, values))
      }
    }
  }
}

/// The bytes of a `metrics.jsonl`.
enum MetricsFile {
  /// The lines of steps, each with the offset of its end, and the numbers of those that are none: not a step's metrics, or
  /// of a step that does not follow the one before. A last line that is incomplete is what a crash leaves behind, and not
  /// among them.
  static func read(
    _ file: String
  ) throws(ReportError) -> (lines: [(line: MetricsLine, end: Int)], bad: [Int]) {
    let bytes: [UInt8]
    do {
      bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: file)))
    } catch {
      throw ReportError(file, found: "cannot be read (\(systemReason(of: error)))")
    }
    var lines: [(line: MetricsLine, end: Int)] = []
    var bad: [Int] = []
    var (start, number) = (0, 0)
    while let newline = bytes[start...].firstIndex(of: UInt8(ascii: "\n")) {
      let end = newline + 1
      number += 1
      let line = MetricsLineParser.parse(bytes[start..<newline])
      if let line, line.step > lines.last?.line.step ?? -1 {
        lines.append((line, end))
      } else if line != nil || end < bytes.count {
        bad.append(number)
      }
      start = end
    }
    return (lines, bad)
  }
}
