import Foundation
import MMoEFiles

/// All keys of a configuration in one table, from which follow the parsing of `--set`, the reading
/// and writing of YAML, the error messages and the help: a key is declared once.
///
///     static let keys = ConfigTable<TrainConfig>([
///       .int("moe.experts", \.moe.experts, range: 1...65536, "routed experts per MoE layer"),
///       .choice("moe.balance", \.moe.balance, "form of the load-balancing loss"),
///     ])
public struct ConfigTable<Root>: Sendable {
  /// The keys, in the order in which they are listed and written.
  package let entries: [ConfigEntry<Root>]
  private let indices: [String: Int]
  private let groups: Set<String>
  private let retired: [String: RetiredKey]
  private let renamed: [String: RenamedKey]
  private let synonyms: [String: KeySynonym]
  private let listCommand: String?

  /// - Parameters:
  ///   - entries: the keys; each name once, and no key may be another one's group.
  ///   - retired: keys of earlier versions, which files may still hold at their defaults.
  ///   - renamed: what earlier versions wrote otherwise.
  ///   - synonyms: what other programs call the keys; none is accepted, and errors name the key.
  ///   - listCommand: the command that lists all keys, named by errors about unknown ones.
  package init(
    _ entries: [ConfigEntry<Root>], retired: [RetiredKey] = [], renamed: [RenamedKey] = [],
    synonyms: [KeySynonym] = [], listCommand: String? = nil
  ) {
    self.entries = entries
    self.listCommand = listCommand
    indices = Dictionary(
      entries.enumerated().map { ($1.key, $0) },
      uniquingKeysWith: { first, _ in
        preconditionFailure("the key \(entries[first].key) stands twice in the table")
      })
    groups = Set(entries.flatMap { groupPrefixes($0.key) })
    precondition(groups.isDisjoint(with: indices.keys), "a key is also the group of another")
    self.retired = Dictionary(retired.map { ($0.key, $0) }) { first, _ in
      preconditionFailure("the key \(first.key) is retired twice")
    }
    self.renamed = Dictionary(renamed.map { ($0.earlier, $0) }) { first, _ in
      preconditionFailure("the key \(first.earlier) is renamed twice")
    }
    let names = synonyms.flatMap { synonym in synonym.names.map { ($0, synonym) } }
    self.synonyms = Dictionary(names) { first, _ in preconditionFailure("two synonyms of \(first.key) are the same") }
    precondition(self.retired.keys.allSatisfy { indices[$0] == nil }, "a retired key is in the table")
    precondition(renamed.allSatisfy { indices[$0.key] != nil }, "a renamed key is not in the table")
  }

  // MARK: Setting values

  /// Applies one `key=value` of the command line's `--set`.
  public func set(_ assignment: String, in root: inout Root) throws(ConfigError) {
    guard let equals = assignment.firstIndex(of: "=") else {
      throw ConfigError("--set \(assignment)", expected: "key=value", found: "no =")
    }
    let key = String(assignment[..<equals])
    let value = String(assignment[assignment.index(after: equals)...])
    try set(key, to: .commandLine(value), at: "--set", in: &root)
  }

  /// Applies several `key=value`, in order. On an error the configuration stays as it was.
  public func set(_ assignments: [String], in root: inout Root) throws(ConfigError) {
    var changed = root
    for assignment in assignments { try set(assignment, in: &changed) }
    root = changed
  }

  /// Applies a YAML text of nested maps or dotted keys. On an error the configuration stays as it
  /// was.
  ///
  /// - Parameter file: the name that errors give.
  public func apply(yaml text: String, file: String, to root: inout Root) throws(ConfigError) {
    try apply(ConfigDocument(yaml: text, file: file), to: &root)
  }

  /// Applies a YAML file.
  public func apply(file: String, to root: inout Root) throws(ConfigError) {
    try apply(ConfigDocument(file: file), to: &root)
  }

  /// Applies a preset: what it extends first, then its own differences.
  package func apply(_ preset: Preset, to root: inout Root) throws(ConfigError) {
    var changed = root
    for document in preset.documents { try apply(document, to: &changed) }
    root = changed
  }

  package func apply(_ document: ConfigDocument, to root: inout Root) throws(ConfigError) {
    try apply(document.settings, of: document.file, to: &root)
  }

  /// Applies settings that stand in a file. On an error the configuration stays as it was.
  package func apply(_ settings: [ConfigDocument.Setting], of file: String, to root: inout Root) throws(ConfigError) {
    var changed = root
    var lines: [String: Int] = [:]
    for setting in settings {
      let key = presentName(of: setting.key)
      if let line = lines.updateValue(setting.line, forKey: key) {
        throw ConfigError(
          "\(file):\(setting.line)", found: "\(setting.key) and line \(line) both set \(key)", remedy: "leave one out")
      }
      // A group whose lines are all commented out is an empty map.
      if setting.value == .empty, groups.contains(setting.key) { continue }
      try set(
        setting.key, to: setting.value, at: "\(file):\(setting.line)", in: &changed)
    }
    root = changed
  }

  /// What a key that an earlier version wrote is called now.
  package func presentName(of key: String) -> String { renamed[key]?.key ?? key }

  private func set(
    _ name: String, to input: ConfigInput, at place: String, in root: inout Root
  ) throws(ConfigError) {
    let (key, value) = (presentName(of: name), renamed[name]?.translate(input) ?? input)
    guard let index = indices[key] else {
      guard let retired = retired[key] else { throw unknown(key, value, at: place) }
      return try retired.accept(value, at: place)
    }
    let entry = entries[index]
    do {
      try entry.write(value, &root)
    } catch {
      throw ConfigError(
        place, field: name == key ? key : "\(name) (now \(key))", expected: entry.expected,
        found: error.found ?? value.found, remedy: error.remedy)
    }
  }

  private func unknown(_ key: String, _ value: ConfigInput, at place: String) -> ConfigError {
    let list = listCommand.map { "; `\($0)` lists all keys" } ?? ""
    if groups.contains(key) {
      let members = entries.map(\.key).filter { $0.hasPrefix(key + ".") }
      return ConfigError(
        place, found: "\(key) is a group of keys, found \(value.found)", remedy: "set one of \(alternatives(members))")
    }
    if let leaf = groupPrefixes(key).lazy.compactMap({ indices[$0] }).first {
      let entry = entries[leaf]
      return ConfigError(place, field: entry.key, expected: entry.expected, found: "a map with \(key)")
    }
    return ConfigError(
      place, found: "unknown key \(key.isEmpty ? "\"\"" : key)", remedy: suggestion(for: key) + list)
  }

  /// The key that is meant by a name that is none, as part of a message.
  package func suggestion(for name: String) -> String {
    if let synonym = synonym(of: name) {
      return "did you mean \(synonym.key)?\(synonym.remark.isEmpty ? "" : " (\(synonym.remark))")"
    }
    let nearest = nearestKeys(to: name, among: entries.map(\.key)).prefix(3)
    return "the nearest is \(alternatives(Array(nearest)))"
  }

  /// The key of this name, or that other programs call so.
  package func key(meantBy name: String) -> String? { indices[name] == nil ? synonym(of: name)?.key : name }

  /// What other programs call by this name, whatever group it is put into.
  private func synonym(of name: String) -> KeySynonym? {
    let last = name.lowercased().replacingOccurrences(of: "-", with: "_").split(separator: ".").last
    return last.flatMap { synonyms[String($0)] }
  }

  /// The keys that a pattern names: a part of their names, with `*` for any characters the whole name, or what another program
  /// calls one.
  package func entries(matching pattern: String) -> [ConfigEntry<Root>] {
    let synonym = synonym(of: pattern)?.key
    let pattern = pattern.lowercased()
    let whole = pattern.contains("*") ? PathPattern(pattern) : nil
    return entries.filter { $0.key == synonym || whole?.matches($0.key) ?? $0.key.contains(pattern) }
  }

  // MARK: Showing values

  /// Every key with its value as text, in the table's order; `--set key=value` gives it back.
  package func resolved(_ root: Root) -> [(key: String, value: String)] {
    entries.map { ($0.key, $0.value(in: root)) }
  }

  /// The keys whose values differ, with both values as text.
  package func differences(_ first: Root, _ second: Root) -> [ConfigDifference] {
    entries.compactMap { entry in
      let (left, right) = (entry.read(first), entry.read(second))
      guard left != right else { return nil }
      return ConfigDifference(key: entry.key, first: left.plain, second: right.plain)
    }
  }

  /// The whole configuration as YAML of nested maps, which `apply(yaml:file:to:)` reads back to
  /// an equal value.
  public func yaml(_ root: Root) -> String {
    var written: Set<String> = []
    var text = ""
    for entry in grouped(entries) {
      let parts = entry.key.split(separator: ".")
      for (depth, group) in groupPrefixes(entry.key).enumerated()
      where written.insert(group).inserted {
        text += String(repeating: "  ", count: depth) + parts[depth] + ":\n"
      }
      let indent = String(repeating: "  ", count: parts.count - 1)
      text += "\(indent)\(parts[parts.count - 1]): \(entry.read(root).yaml)\n"
    }
    return text
  }
}

/// A key on which two configurations differ.
package struct ConfigDifference: Equatable, Sendable {
  package let key: String
  package let first: String
  package let second: String
}

/// The groups of a dotted key, outermost first: `a.b.c` lies in `a` and `a.b`.
private func groupPrefixes(_ key: String) -> [String] {
  key.indices.filter { key[$0] == "." }.map { String(key[..<$0]) }
}

/// The entries with those of one group side by side at every depth, groups in the order of their
/// first key: YAML allows each group once.
private func grouped<Root>(_ entries: [ConfigEntry<Root>]) -> [ConfigEntry<Root>] {
  var rank: [String: Int] = [:]
  for entry in entries {
    for name in groupPrefixes(entry.key) + [entry.key] where rank[name] == nil {
      rank[name] = rank.count
    }
  }
  func place(_ key: String) -> [Int] { (groupPrefixes(key) + [key]).map { rank[$0] ?? 0 } }
  return entries.sorted { place($0.key).lexicographicallyPrecedes(place($1.key)) }
}
