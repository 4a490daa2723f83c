import MMoEConfig
import MMoETrain

extension LoadedCheckpoint {
  /// The checkpoint's configuration with a command's `--set key=value`.
  ///
  /// - Parameters:
  ///   - use: what the command does, which says what it may set: all other keys are the checkpoint's.
  ///   - what: the same in words, for the message.
  /// - Throws: `RunError` for a key that the command cannot change; `ConfigError` for one that is unknown or impossible.
  func config(applying settings: [String], for use: ConfigUse, _ what: String) throws -> RunConfig {
    var config = info.config
    try RunConfig.table.set(settings, in: &config)
    let changeable = use.keys(of: config.model.kind)
    for change in RunConfig.table.differences(info.config, config) where !changeable.contains(change.key) {
      throw RunError(
        field: "\(change.key)", found: "\(change.second), but \(change.first) in \(file)",
        remedy: "\(what) can set \(changeable.sorted().joined(separator: ", "))")
    }
    return config
  }
}
