/// One type of value: how it is described, read from what the user wrote, and written back.
package struct ConfigKind<Value: Sendable>: Sendable {
  /// Completes "expected …", such as "an integer from 1 to 8".
  var expected: String { describe() }
  /// Asked each time: a registry's names may have become more.
  private let describe: @Sendable () -> String
  let parse: @Sendable (ConfigInput) throws(ConfigMismatch) -> Value
  let render: @Sendable (Value) -> RenderedValue
}

extension ConfigKind {
  init(
    expected: @autoclosure @escaping @Sendable () -> String,
    parse: @escaping @Sendable (ConfigInput) throws(ConfigMismatch) -> Value,
    render: @escaping @Sendable (Value) -> RenderedValue
  ) {
    (describe, self.parse, self.render) = (expected, parse, render)
  }
}

/// A value as text: `plain` is what `--set key=…` takes, `yaml` what stands in a YAML file.
struct RenderedValue: Equatable, Sendable {
  let plain: String
  let yaml: String

  init(_ plain: String, yaml: String? = nil) {
    self.plain = plain
    self.yaml = yaml ?? plain
  }
}

extension ConfigKind where Value == Int {
  package static func int(in range: ClosedRange<Int>) -> Self {
    let expected =
      switch (range.lowerBound, range.upperBound) {
      case (.min, .max): "an integer"
      case (let lower, .max): "an integer of at least \(lower)"
      case (.min, let upper): "an integer of at most \(upper)"
      case (let lower, let upper): "an integer from \(lower) to \(upper)"
      }
    return ConfigKind(
      expected: expected,
      parse: { input throws(ConfigMismatch) in
        let digits = try plainNumber(input)
        guard let value = Int(digits) else {
          if let real = Double(digits), let whole = Int(exactly: real), range.contains(whole) {
            throw ConfigMismatch(remedy: "write \(whole)")
          }
          throw ConfigMismatch()
        }
        guard range.contains(value) else { throw ConfigMismatch() }
        return value
      },
      render: { RenderedValue(String($0)) })
  }
}

extension ConfigKind where Value == Double {
  package static func double(in range: ClosedRange<Double>) -> Self {
    let lower = range.lowerBound
    let upper = range.upperBound
    let unbounded = Double.greatestFiniteMagnitude
    let fromBelow =
      lower == .leastNonzeroMagnitude ? "greater than 0" : "of at least \(plainText(lower))"
    let expected =
      switch (lower <= -unbounded, upper >= unbounded) {
      case (true, true): "a finite number"
      case (false, true): "a finite number \(fromBelow)"
      case (true, false): "a finite number of at most \(plainText(upper))"
      case (false, false) where lower == .leastNonzeroMagnitude:
        "a number greater than 0 and at most \(plainText(upper))"
      case (false, false): "a number from \(plainText(lower)) to \(plainText(upper))"
      }
    return ConfigKind(
      expected: expected,
      parse: { input throws(ConfigMismatch) in
        guard let value = Double(try plainNumber(input)), value.isFinite, range.contains(value)
        else { throw ConfigMismatch() }
        return value
      },
      render: { RenderedValue(plainText($0)) })
  }
}

extension ConfigKind where Value == Bool {
  package static var bool: Self {
    ConfigKind(
      expected: "true or false",
      parse: { input throws(ConfigMismatch) in
        switch input {
        case .scalar("true", quoted: false): return true
        case .scalar("false", quoted: false): return false
        case .scalar("true", quoted: true), .scalar("false", quoted: true):
          throw ConfigMismatch(remedy: "remove the quotes")
        case .scalar(let word, _):
          switch word.lowercased() {
          case "yes", "on", "1", "true", "y": throw ConfigMismatch(remedy: "write true")
          case "no", "off", "0", "false", "n": throw ConfigMismatch(remedy: "write false")
          default: throw ConfigMismatch()
          }
        case .list, .empty, .unsupported: throw ConfigMismatch()
        }
      },
      render: { RenderedValue($0 ? "true" : "false") })
  }
}

extension ConfigKind where Value == String {
  package static var text: Self {
    ConfigKind(
      expected: "text",
      parse: { input throws(ConfigMismatch) in
        switch input {
        case .scalar(let text, _): return text
        case .empty: throw ConfigMismatch(remedy: "write \"\" for an empty text")
        case .list, .unsupported: throw ConfigMismatch()
        }
      },
      render: { RenderedValue($0, yaml: yamlText($0)) })
  }
}

extension ConfigKind where Value == String {
  /// One of these names.
  package static func name(of names: @escaping @Sendable () -> [String]) -> Self {
    ConfigKind(
      expected: alternatives(names()),
      parse: { input throws(ConfigMismatch) in try chosen(input, among: names()) },
      render: { RenderedValue($0, yaml: yamlText($0)) })
  }
}

extension ConfigKind
where Value: RawRepresentable & CaseIterable, Value.RawValue == String {
  package static var choice: Self {
    ConfigKind(
      expected: alternatives(Value.allCases.map(\.rawValue)),
      parse: { input throws(ConfigMismatch) in
        let names = Value.allCases.map(\.rawValue)
        guard let value = Value(rawValue: try chosen(input, among: names)) else { throw ConfigMismatch() }
        return value
      },
      render: { RenderedValue($0.rawValue, yaml: yamlText($0.rawValue)) })
  }
}

/// The name that was written, which must be one of these.
private func chosen(_ input: ConfigInput, among names: [String]) throws(ConfigMismatch) -> String {
  guard case .scalar(let word, _) = input else { throw ConfigMismatch() }
  guard names.contains(word) else {
    throw ConfigMismatch(remedy: "the nearest is \(alternatives(nearestNames(to: word, among: names)))")
  }
  return word
}

extension ConfigKind where Value: LosslessStringConvertible {
  package static func word(_ expected: String) -> Self {
    ConfigKind(
      expected: expected,
      parse: { input throws(ConfigMismatch) in
        guard case .scalar(let word, _) = input, let value = Value(word) else { throw ConfigMismatch() }
        return value
      },
      render: { RenderedValue($0.description, yaml: yamlText($0.description)) })
  }
}

extension ConfigKind {
  /// The same values, and none.
  var optional: ConfigKind<Value?> {
    ConfigKind<Value?>(
      expected: "\(expected), or none",
      parse: { [parse] input throws(ConfigMismatch) in
        input.isNone ? nil : try parse(input)
      },
      render: { [render] value in value.map(render) ?? RenderedValue("none", yaml: "null") })
  }

  /// Lists of such values: `[1, 2]`, and on the command line also `1,2`.
  package func list(example: String) -> ConfigKind<[Value]> {
    ConfigKind<[Value]>(
      expected: "a list such as [\(example)], each \(expected)",
      parse: { [parse] input throws(ConfigMismatch) in
        var values: [Value] = []
        for item in try listItems(input) {
          do throws(ConfigMismatch) {
            values.append(try parse(item))
          } catch {
            throw ConfigMismatch(found: error.found ?? item.found, remedy: error.remedy)
          }
        }
        return values
      },
      render: { [render] values in
        let items = values.map(render)
        return RenderedValue(
          "[" + items.map(\.plain).joined(separator: ", ") + "]",
          yaml: "[" + items.map(\.yaml).joined(separator: ", ") + "]")
      })
  }
}

/// The digits of a number without YAML's underscores. Refuses what Swift would read but YAML would
/// not, or not as a number: quoted text, hexadecimal floats, `inf`, `nan`.
private func plainNumber(_ input: ConfigInput) throws(ConfigMismatch) -> String {
  switch input {
  case .scalar(let text, quoted: true):
    throw ConfigMismatch(remedy: Double(text) == nil ? nil : "remove the quotes")
  case .list, .empty, .unsupported: throw ConfigMismatch()
  case .scalar(let text, quoted: false):
    let characters = Array(text.utf8)
    let digits = UInt8(ascii: "0")...UInt8(ascii: "9")
    for (index, character) in characters.enumerated() {
      switch character {
      case digits: continue
      case UInt8(ascii: "_"):
        let between =
          index > 0 && index + 1 < characters.count && digits.contains(characters[index - 1])
          && digits.contains(characters[index + 1])
        guard between else { throw ConfigMismatch() }
      case UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "e"),
        UInt8(ascii: "E"):
        continue
      default: throw ConfigMismatch()
      }
    }
    return text.filter { $0 != "_" }
  }
}

private func listItems(_ input: ConfigInput) throws(ConfigMismatch) -> [ConfigInput] {
  switch input {
  case .list(let items): return items
  case .scalar(let text, quoted: false):
    var inner = text.filter { $0 != " " }[...]
    if inner.hasPrefix("["), inner.hasSuffix("]"), inner.count > 1 {
      inner = inner.dropFirst().dropLast()
    }
    if inner.isEmpty { return [] }
    return inner.split(separator: ",", omittingEmptySubsequences: false)
      .map { ConfigInput.commandLine(String($0)) }
  case .scalar, .empty, .unsupported: throw ConfigMismatch()
  }
}

/// The shortest text that reads back to the same number. YAML 1.1 readers such as PyYAML take
/// `1e-05` for text and `1.0e-05` for a number, so the fraction is always there.
private func plainText(_ value: Double) -> String {
  let text = "\(value)"
  guard let exponent = text.firstIndex(of: "e"), !text.contains(".") else { return text }
  return text[..<exponent] + ".0" + text[exponent...]
}

/// Text as YAML: bare where no reader could take it for anything else, else in double quotes.
private func yamlText(_ text: String) -> String {
  let letters = text.unicodeScalars
  let bare =
    letters.allSatisfy {
      $0.isASCII && ($0.properties.isAlphabetic || "0123456789_./-%+".unicodeScalars.contains($0))
    } && (letters.first.map { $0.properties.isAlphabetic || $0 == "/" || $0 == "." } ?? false)
    && letters.contains { $0.properties.isAlphabetic }
    && !["true", "false", "yes", "no", "on", "off", "null", "none", "y", "n", ".inf", ".nan"]
      .contains(text.lowercased())
    && Double(text) == nil
  if bare { return text }
  var quoted = "\""
  for scalar in letters {
    switch scalar {
    case "\"": quoted += "\\\""
    case "\\": quoted += "\\\\"
    case "\n": quoted += "\\n"
    case "\t": quoted += "\\t"
    case _
    where scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value)
      || [0x2028, 0x2029, 0xFEFF].contains(scalar.value):
      let hexadecimal = String(scalar.value, radix: 16)
      quoted += "\\u" + String(repeating: "0", count: 4 - hexadecimal.count) + hexadecimal
    default: quoted.unicodeScalars.append(scalar)
    }
  }
  return quoted + "\""
}
