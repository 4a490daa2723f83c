import Foundation
import MMoEFiles
import Yams

/// One YAML file of settings, flattened to dotted keys with the lines where they stand.
package struct ConfigDocument: Sendable {
  package struct Setting: Sendable {
    package let key: String
    package let value: ConfigInput
    package let line: Int

    package init(key: String, value: ConfigInput, line: Int) {
      self.key = key
      self.value = value
      self.line = line
    }
  }

  /// The name that errors give.
  package let file: String
  /// The settings in the order of the file, each key once.
  package let settings: [Setting]
  /// What the header says; empty unless the file was read as a preset.
  package let header: PresetHeader

  package init(file: String, asPreset: Bool = false) throws(ConfigError) {
    let bytes: Data
    do {
      bytes = try Data(contentsOf: URL(fileURLWithPath: file))
    } catch {
      throw ConfigError(
        file, found: "cannot be read (\(systemReason(of: error)))", remedy: "check the path and its permissions")
    }
    guard let text = String(data: bytes, encoding: .utf8) else {
      throw ConfigError(file, expected: "UTF-8 text", found: "other bytes", remedy: "save the file as UTF-8")
    }
    try self.init(yaml: text, file: file, asPreset: asPreset)
  }

  package init(yaml text: String, file: String, asPreset: Bool = false) throws(ConfigError) {
    let root: Node?
    do {
      root = try Yams.compose(yaml: text)
    } catch {
      throw ConfigDocument.malformed(error, file: file)
    }
    var flattener = Flattener(file: file)
    switch root {
    case nil: break
    case .mapping(let map):
      for (key, value) in map {
        if asPreset, try flattener.header.read(key, value, file: file) { continue }
        try flattener.add(key, value, group: "")
      }
    // A file of nothing but comments is a null scalar.
    case .scalar(let scalar) where ConfigInput(scalar) == .empty: break
    case .some(let node):
      throw ConfigError(
        "\(file):\(node.mark?.line ?? 1)", expected: "lines of `key: value`", found: "\(ConfigInput(node).found)")
    }
    self.file = file
    settings = flattener.settings
    header = flattener.header
  }

  private static func malformed(_ error: any Error, file: String) -> ConfigError {
    switch error as? YamlError {
    case .scanner(let context, let problem, let mark, _),
      .parser(let context, let problem, let mark, _),
      .composer(let context, let problem, let mark, _):
      let around = context.map { $0.text + ": " } ?? ""
      return ConfigError(
        "\(file):\(mark.line):\(mark.column)", expected: "YAML", found: "an error: \(around)\(problem)")
    case .duplicatedKeysInMapping(let keys, let context):
      return ConfigError(
        "\(file):\(context.mark.line)", found: "\(alternatives(keys.sorted())): found more than once in one map",
        expected: "each key once", remedy: "remove one")
    case .reader(let problem, let offset, _, _):
      let place = offset.map { " at byte \($0)" } ?? ""
      return ConfigError(file, expected: "YAML", found: "an error\(place): \(problem)")
    default:
      return ConfigError(file, expected: "YAML", found: "\(error)")
    }
  }
}

/// Walks nested maps and collects their leaves under dotted keys.
private struct Flattener {
  let file: String
  var header = PresetHeader()
  private(set) var settings: [ConfigDocument.Setting] = []
  private var lines: [String: Int] = [:]

  init(file: String) { self.file = file }

  mutating func add(_ name: Node, _ value: Node, group: String) throws(ConfigError) {
    let line = name.mark?.line ?? 1
    guard case .scalar(let scalar) = name, !scalar.string.isEmpty else {
      throw ConfigError("\(file):\(line)", expected: "a key of plain text", found: "another YAML value")
    }
    let key = group + scalar.string
    if case .mapping(let map) = value, !map.isEmpty {
      for (name, value) in map { try add(name, value, group: key + ".") }
      return
    }
    if let earlier = lines.updateValue(line, forKey: key) {
      throw ConfigError(
        "\(file):\(line)", found: "\(key): found again", expected: "once",
        remedy: "it stands at line \(earlier) too, remove one")
    }
    settings.append(.init(key: key, value: ConfigInput(value), line: line))
  }
}

extension ConfigInput {
  package init(_ node: Node) {
    switch node {
    case .scalar(let scalar): self.init(scalar)
    case .mapping(let map): self = map.isEmpty ? .empty : .unsupported("a map")
    case .alias: self = .unsupported("an alias")
    case .sequence(let items):
      self = .list(
        items.map {
          if case .scalar(let scalar) = $0 { return ConfigInput(scalar) }
          return .unsupported("a list of lists or maps")
        })
    }
  }

  package init(_ scalar: Node.Scalar) {
    let plain = scalar.style == .plain || scalar.style == .any
    self =
      plain && (scalar.string.isEmpty || scalar.string == "~")
      ? .empty : .scalar(scalar.string, quoted: !plain)
  }
}
