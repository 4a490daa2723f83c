import Foundation
import MMoEFiles
import Yams

/// A named configuration: what it changes, on top of what it extends.
package struct Preset: Sendable {
  /// The file's name without `.yaml`.
  package let name: String
  package let file: String
  /// The name of the preset that this one extends.
  package let base: String?
  /// One or two sentences: what it is for.
  package let description: String
  /// What was measured with it.
  package let results: [PresetResult]
  /// The files to apply in turn: the outermost base first, the preset itself last.
  package let documents: [ConfigDocument]
}

/// A measured result of a preset, with what it takes to see it again.
package struct PresetResult: Equatable, Sendable {
  /// Free text, such as "91.3 % top-1 after 9 min".
  package let measured: String
  package let command: String
  package let machine: String
}

/// Finds presets by name in directories of `NAME.yaml` files.
///
/// Beside settings a preset may have three header keys: `extends: NAME` (the settings are
/// differences from that preset), `description: text` and
/// `results:`, a list of maps with the keys `measured`, `command` and `machine`.
package struct PresetLoader: Sendable {
  private let directories: [String]

  /// - Parameter directories: where to look, in order; the first that has a name wins. Those that
  ///   do not exist are passed over.
  package init(directories: [String]) { self.directories = directories }

  /// The preset of this name. A name that ends in `.yaml` is the path of a file, whose base is
  /// looked for beside it first.
  package func preset(_ name: String) throws(ConfigError) -> Preset {
    if name.hasSuffix(".yaml") {
      let beside = PresetLoader(directories: [FilePath.folder(of: name)] + directories)
      return try beside.load(PresetLoader.name(of: name), file: name)
    }
    return try load(name, file: try find(name, at: "preset \(name)"))
  }

  /// All presets, sorted by name.
  package func presets() throws(ConfigError) -> [Preset] {
    var presets: [Preset] = []
    for name in names { presets.append(try preset(name)) }
    return presets
  }

  /// The names of all presets, sorted.
  package var names: [String] {
    let files = directories.flatMap {
      (try? FileManager.default.contentsOfDirectory(atPath: $0)) ?? []
    }
    return Set(files.filter { $0.hasSuffix(".yaml") }.map(PresetLoader.name(of:))).sorted()
  }

  private static func name(of file: String) -> String {
    FilePath.stem(of: file)
  }

  private func load(_ name: String, file: String) throws(ConfigError) -> Preset {
    let document = try ConfigDocument(file: file, asPreset: true)
    var chain = [document]
    var visited = [name]
    while let base = chain[0].header.base {
      let place = "\(chain[0].file):\(base.line): extends"
      guard !visited.contains(base.name) else {
        throw ConfigError(
          place, found: "found the circle \((visited + [base.name]).joined(separator: " → "))",
          expected: "a chain that ends", remedy: "remove one `extends`")
      }
      visited.append(base.name)
      let baseFile = try find(base.name, at: place)
      chain.insert(try ConfigDocument(file: baseFile, asPreset: true), at: 0)
    }
    return Preset(
      name: name, file: file, base: document.header.base?.name,
      description: document.header.description, results: document.header.results, documents: chain)
  }

  private func find(_ name: String, at place: String) throws(ConfigError) -> String {
    // Only names that are listed: a name such as `../x` must not leave the directories.
    let names = self.names
    guard names.contains(name),
      let file = directories.map({ FilePath.join($0, name + ".yaml") })
        .first(where: FileManager.default.fileExists(atPath:))
    else {
      let places = directories.joined(separator: ", ")
      guard !names.isEmpty else {
        throw ConfigError(place, found: "found no presets (*.yaml) in \(places)")
      }
      let nearest = alternatives(nearestNames(to: name, among: names))
      throw ConfigError(
        "\(place): found no preset of this name in \(places); the nearest is \(nearest), expected "
          + "\(alternatives(names))")
    }
    return file
  }
}

/// The keys of a preset that are not settings.
package struct PresetHeader: Sendable {
  var base: (name: String, line: Int)?
  var description = ""
  var results: [PresetResult] = []

  /// Takes a header key in; returns false for any other key.
  mutating func read(_ key: Node, _ value: Node, file: String) throws(ConfigError) -> Bool {
    let line = key.mark?.line ?? 1
    switch key.string {
    case "extends":
      base = (try Self.text(value, "extends", "the name of a preset", file, line), line)
    case "description": description = try Self.text(value, "description", "text", file, line)
    case "results":
      guard case .sequence(let items) = value else {
        throw Self.mismatch("results", "a list", value, file, line)
      }
      for item in items { results.append(try Self.result(item, file, line)) }
    default: return false
    }
    return true
  }

  private static func result(
    _ node: Node, _ file: String, _ line: Int
  ) throws(ConfigError) -> PresetResult {
    let fields = ["measured", "command", "machine"]
    let line = node.mark?.line ?? line
    guard case .mapping(let map) = node, map.compactMap(\.key.string).sorted() == fields.sorted()
    else {
      throw mismatch(
        "results", "maps with the keys \(fields.joined(separator: ", "))", node, file, line)
    }
    var texts: [String] = []
    for field in fields {
      texts.append(try text(map[field] ?? Node(""), "results.\(field)", "text", file, line))
    }
    return PresetResult(measured: texts[0], command: texts[1], machine: texts[2])
  }

  private static func text(
    _ node: Node, _ key: String, _ expected: String, _ file: String, _ line: Int
  ) throws(ConfigError) -> String {
    guard case .scalar(let text, _) = ConfigInput(node), !text.isEmpty else {
      throw mismatch(key, expected, node, file, line)
    }
    return text.trimmingCharacters(in: .whitespacesAndNewlines)
  }

  private static func mismatch(
    _ key: String, _ expected: String, _ found: Node, _ file: String, _ line: Int
  ) -> ConfigError {
    ConfigError("\(file):\(line)", field: "\(key)", expected: "\(expected)", found: "\(ConfigInput(found).found)")
  }
}
