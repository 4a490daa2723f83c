import MMoEConfig
import MMoEModels
import MMoEReport
import MMoETrain

/// What `mmoe config` prints: keys of the configuration with their values, what they take, who uses them and what they mean.
package struct ConfigListing {
  /// What the command line said.
  package struct Options: Sendable {
    /// Only keys with this in their names; with `*` for any characters the whole name.
    package var pattern: String?
    /// Only the keys that this task uses, with the values of its default preset.
    package var task: String?
    /// Show this preset's values instead of the defaults.
    package var preset: String?
    package init() {}
  }

  private let options: Options

  package init(_ options: Options) { self.options = options }

  /// - Throws: `ConfigError` for an unknown task or preset, one that is made for another task, or a pattern that no key
  ///   matches.
  package func text(for sink: any TextSink) throws -> String {
    let task = try options.task.map(TaskKind.init(named:))
    let preset = options.preset ?? task?.defaultPreset
    var config = RunConfig()
    if let preset {
      try RunConfig.table.apply(ProjectHome.presets.preset(preset), to: &config)
      try task?.requireModel(config, preset: preset)
    }
    let kind = preset.map { _ in config.model.kind }
    var entries = RunConfig.table.entries
    if let pattern = options.pattern {
      entries = RunConfig.table.entries(matching: pattern)
      guard !entries.isEmpty else {
        throw ConfigError(
          "mmoe config", found: "no key has \(pattern.isEmpty ? "\"\"" : pattern) in its name",
          remedy: RunConfig.table.suggestion(for: pattern))
      }
      if let kind {
        let unused = entries.filter { !$0.holds(for: kind) }
        entries = entries.filter { $0.holds(for: kind) }
        guard !entries.isEmpty else {
          throw ConfigError(
            "mmoe config", found: "\(alternatives(unused.map(\.key))) is of no use to model.kind \(kind.rawValue)",
            remedy: "leave --task and --preset out")
        }
      }
    } else if let kind {
      entries = entries.filter { $0.holds(for: kind) }
    }

    let defaults = RunConfig()
    var columns: [TextTable.Column] = [.left("key"), .left("default")]
    // Values beside defaults; all keys that are shown are the task's.
    columns += preset.map { [.left($0)] } ?? [.left("tasks")]
    var table = TextTable(columns: columns + [.left("takes"), .left("meaning")])
    for entry in entries {
      table.add([
        entry.key, entry.text(defaults), kind == nil ? ConfigListing.tasks(using: entry) : entry.text(config),
        entry.expected, entry.summary,
      ])
    }
    return table.render(for: sink)
  }

  /// Names of the tasks whose models have a use for a key.
  private static func tasks(using entry: ConfigEntry<RunConfig>) -> String {
    let users = TaskKind.allCases.filter { entry.holds(for: $0.model) }
    return users.count == TaskKind.allCases.count ? "all" : users.map(\.name).joined(separator: ", ")
  }
}

extension ConfigEntry<RunConfig> {
  /// Its value, for a table.
  fileprivate func text(_ config: RunConfig) -> String {
    let value = value(in: config)
    return value.isEmpty ? "\"\"" : value
  }
}
