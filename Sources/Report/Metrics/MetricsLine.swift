/// One step's metrics: a line of `metrics.jsonl`.
///
/// The line is a flat JSON object. `step` comes first; values of layers have keys such as
/// `load_entropy/layer3`; vectors are arrays. JSON has no NaN or infinity: such a value is written as
/// `null`, and a last key `nonfinite` tells which it was, as in `"nonfinite":{"grad_norm":"inf"}`.
package struct MetricsLine: Equatable {
  enum Value: Equatable {
    case scalar(Double)
    case vector([Double])
  }

  var step: Int
  /// In the order in which they are written.
  var values: [(key: String, value: Value)]

  package static func == (first: Self, second: Self) -> Bool {
    first.step == second.step
      && first.values.elementsEqual(second.values) { $0.key == $1.key && $0.value == $1.value }
  }

  /// The key under which a metric, of one layer or of the whole model, is written.
  static func key(_ name: String, layer: Int?) -> String {
    layer.map { "\(name)/layer\($0)" } ?? name
  }

  /// Splits a key into the metric's name and its layer.
  static func nameAndLayer(_ key: String) -> (name: String, layer: Int?) {
    guard let slash = key.lastIndex(of: "/") else { return (key, nil) }
    let tail = key[key.index(after: slash)...]
    guard tail.hasPrefix("layer"), let layer = Int(tail.dropFirst(5)) else { return (key, nil) }
    return (String(key[..<slash]), layer)
  }

  // MARK: Writing

  /// The line with its newline.
  var json: String {
    var text = "{\"step\":\(step)"
    var nonfinite: [String] = []
    func number(_ value: Double, _ place: @autoclosure () -> String) -> String {
      guard value.isFinite else {
        nonfinite.append("\(Self.quoted(place())):\"\(Self.number(value))\"")
        return "null"
      }
      return Self.number(value)
    }
    for (key, value) in values {
      text += ",\(Self.quoted(key)):"
      switch value {
      case .scalar(let value): text += number(value, key)
      case .vector(let values):
        let items = values.enumerated().map { number($1, "\(key)[\($0)]") }
        text += "[" + items.joined(separator: ",") + "]"
      }
    }
    if !nonfinite.isEmpty { text += ",\"nonfinite\":{" + nonfinite.joined(separator: ",") + "}" }
    return text + "}\n"
  }

  /// The shortest text that reads back to the same number; whole numbers without `.0`, NaN without its sign.
  static func number(_ value: Double) -> String {
    if value.isNaN { return "nan" }
    if let whole = Int(exactly: value), abs(whole) < 1 << 53, !(whole == 0 && value.sign == .minus) {
      return String(whole)
    }
    return "\(value)"
  }

  private static func quoted(_ key: String) -> String {
    var text = "\""
    for scalar in key.unicodeScalars {
      switch scalar {
      case "\"": text += "\\\""
      case "\\": text += "\\\\"
      case _ where scalar.value < 0x20:
        let hexadecimal = String(scalar.value, radix: 16)
        text += "\\u" + String(repeating: "0", count: 4 - hexadecimal.count) + hexadecimal
      default: text.unicodeScalars.append(scalar)
      }
    }
    return text + "\""
  }
}
