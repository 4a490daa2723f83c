import Foundation

/// What a run has recorded so far, read from its `metrics.jsonl`.
public struct MetricsHistory: Sendable {
  /// The recorded steps, ascending.
  public private(set) var steps: [Int] = []
  /// The names of single-valued metrics with their layers, in the order of their first appearance.
  public private(set) var names: [(name: String, layer: Int?)] = []
  private var scalars: [String: [(step: Int, value: Double)]] = [:]
  private var vectors: [String: [(step: Int, values: [Double])]] = [:]

  /// Reads a `metrics.jsonl`. A last line that a crash has cut off is passed over.
  public init(file: String) throws(RecorderError) {
    for (line, _) in try MetricsFile.lines(of: file) { append(line) }
  }

  init(_ lines: some Sequence<MetricsLine>) { for line in lines { append(line) } }

  /// A metric's values by step, NaN and infinities included. Empty where it was never recorded.
  public func points(_ name: String, layer: Int? = nil) -> [(step: Int, value: Double)] {
    scalars[MetricsLine.key(name, layer: layer)] ?? []
  }

  /// A vector metric's values by step. Empty where it was never recorded.
  public func vectors(_ name: String, layer: Int? = nil) -> [(step: Int, values: [Double])] {
    vectors[MetricsLine.key(name, layer: layer)] ?? []
  }

  /// The layers that recorded this metric, ascending.
  public func layers(_ name: String) -> [Int] {
    Set(scalars.keys).union(vectors.keys).map(MetricsLine.nameAndLayer)
      .filter { $0.name == name }.compactMap(\.layer).sorted()
  }

  private mutating func append(_ line: MetricsLine) {
    steps.append(line.step)
    for (key, value) in line.values {
      switch value {
      case .scalar(let value):
        if scalars[key] == nil { names.append(MetricsLine.nameAndLayer(key)) }
        scalars[key, default: []].append((line.step, value))
      case .vector(let values): vectors[key, default: []].append((line.step, values))
      }
    }
  }
}

/// The bytes of a `metrics.jsonl`.
enum MetricsFile {
  /// The complete lines, each with the offset of its end. Only the last line may be incomplete:
  /// that is what a crash leaves behind.
  static func lines(of file: String) throws(RecorderError) -> [(line: MetricsLine, end: Int)] {
    let bytes: [UInt8]
    do {
      bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: file)))
    } catch {
      throw RecorderError("\(file): cannot be read (\(systemReason(of: error)))")
    }
    var lines: [(line: MetricsLine, end: Int)] = []
    var start = 0
    while let newline = bytes[start...].firstIndex(of: UInt8(ascii: "\n")) {
      let end = newline + 1
      guard let line = MetricsLineParser.parse(bytes[start..<newline]) else {
        if end == bytes.count { break }
        throw RecorderError(
          "\(file):\(lines.count + 1): expected a step's metrics, found another text; "
            + "remove the line")
      }
      if let last = lines.last, last.line.step >= line.step {
        throw RecorderError(
          "\(file):\(lines.count + 1): expected a step after \(last.line.step), "
            + "found \(line.step); remove the line")
      }
      lines.append((line, end))
      start = end
    }
    return lines
  }
}
