import Foundation

/// Reads the lines that `MetricsLine` writes, keys in their order. Anything else, such as a line cut
/// off by a crash, gives nil.
///
/// Not a JSON library's work: those lose the order of the keys, and long runs have many lines.
struct MetricsLineParser {
  private let bytes: ArraySlice<UInt8>
  private var position: Int

  /// The line's value; `bytes` without the newline.
  static func parse(_ bytes: ArraySlice<UInt8>) -> MetricsLine? {
    var parser = MetricsLineParser(bytes: bytes, position: bytes.startIndex)
    return parser.line()
  }

  private mutating func line() -> MetricsLine? {
    var step: Int?
    var values: [(key: String, value: MetricsLine.Value)] = []
    var nonfinite: [String: Double] = [:]
    guard take("{") else { return nil }
    repeat {
      guard let key = string(), take(":") else { return nil }
      if key == "step", step == nil {
        guard let number = number(), let whole = Int(exactly: number) else { return nil }
        step = whole
      } else if peek("{") {
        guard key == "nonfinite", let flags = flags() else { return nil }
        nonfinite = flags
      } else if peek("[") {
        guard let vector = vector() else { return nil }
        values.append((key, .vector(vector)))
      } else {
        guard let number = number() else { return nil }
        values.append((key, .scalar(number)))
      }
    } while take(",")
    guard take("}"), position == bytes.endIndex, let step else { return nil }
    return MetricsLine(
      step: step,
      values: nonfinite.isEmpty
        ? values
        : values.map {
          ($0.key, MetricsLineParser.restore($0.value, $0.key, nonfinite))
        })
  }

  /// Puts infinities back where the line has null. A null without a flag stays NaN.
  private static func restore(
    _ value: MetricsLine.Value, _ key: String, _ flags: [String: Double]
  ) -> MetricsLine.Value {
    switch value {
    case .scalar(let value): .scalar(flags[key] ?? value)
    case .vector(let values):
      .vector(values.enumerated().map { $1.isNaN ? flags["\(key)[\($0)]"] ?? $1 : $1 })
    }
  }

  private func peek(_ character: Unicode.Scalar) -> Bool {
    position < bytes.endIndex && bytes[position] == UInt8(ascii: character)
  }

  private mutating func take(_ character: Unicode.Scalar) -> Bool {
    guard peek(character) else { return false }
    position += 1
    return true
  }

  /// A number, or NaN for `null`.
  private mutating func number() -> Double? {
    let start = position
    while position < bytes.endIndex, ![0x2C, 0x5D, 0x7D].contains(bytes[position]) {
      position += 1  // up to , ] or }
    }
    let text = String(decoding: bytes[start..<position], as: UTF8.self)
    return text == "null" ? .nan : Double(text)
  }

  private mutating func vector() -> [Double]? {
    guard take("[") else { return nil }
    if take("]") { return [] }
    var values: [Double] = []
    repeat {
      guard let value = number() else { return nil }
      values.append(value)
    } while take(",")
    return take("]") ? values : nil
  }

  private mutating func flags() -> [String: Double]? {
    guard take("{") else { return nil }
    var flags: [String: Double] = [:]
    repeat {
      guard let key = string(), take(":"), let text = string(), let value = Double(text)
      else { return nil }
      flags[key] = value
    } while take(",")
    return take("}") ? flags : nil
  }

  private mutating func string() -> String? {
    guard take("\"") else { return nil }
    var content: [UInt8] = []
    while position < bytes.endIndex {
      let byte = bytes[position]
      position += 1
      switch byte {
      case UInt8(ascii: "\""): return String(decoding: content, as: UTF8.self)
      case UInt8(ascii: "\\"):
        guard let escaped = escape() else { return nil }
        content.append(escaped)
      default: content.append(byte)
      }
    }
    return nil
  }

  /// The byte after a backslash; the writer escapes nothing beyond ASCII.
  private mutating func escape() -> UInt8? {
    guard position < bytes.endIndex else { return nil }
    let byte = bytes[position]
    position += 1
    guard byte == UInt8(ascii: "u") else { return byte }
    guard position + 4 <= bytes.endIndex else { return nil }
    defer { position += 4 }
    return UInt8(String(decoding: bytes[position..<position + 4], as: UTF8.self), radix: 16)
  }
}
