import MMoEFiles
import MMoEModels
import MMoEReport
import MMoETensor

extension ConfigEntry<RunConfig> {
  /// The same key, for these kinds of model alone.
  package func only(_ kinds: ModelKind...) -> Self {
    var entry = self
    entry.holders = kinds.map(\.rawValue)
    return entry
  }

  /// Whether the key does something for the task that trains this kind of model.
  package func holds(for kind: ModelKind) -> Bool { holders?.contains(kind.rawValue) ?? true }
}

/// What a command does with a configuration, and which keys it uses.
package enum ConfigUse: String, CaseIterable, Sendable {
  case training = "mmoe train"
  case evaluation = "mmoe eval"
  case questions = "mmoe eval --choices or --last-word"
  case prediction = "mmoe predict"
  case inspection = "mmoe data inspect"
  case trainingSteps = "mmoe bench train"
  case forwardPasses = "mmoe bench forward"
  case generation = "mmoe bench generate"
  case saving = "mmoe bench checkpoint"
  case description = "mmoe model describe"

  /// Whether the command uses a key for some task.
  package func uses(_ key: String) -> Bool {
    let engine = key == "dtype" || key.hasPrefix("tensor.")
    let ranks = key.hasPrefix("parallel.") && key != "parallel.zero"
    let model =
      key == "objective.uncertainty" || ["model.", "moe.", "fusion.", "lora."].contains { key.hasPrefix($0) }
    return switch self {
    case .training: true
    case .evaluation: engine || ranks || ConfigUse.evaluated.contains(key)
    case .questions: engine || ranks
    case .prediction: engine || ranks || ConfigUse.predicted.contains(key)
    case .inspection: ConfigUse.inspected.contains(key)
    // The learning rate of a benchmark is fixed.
    case .trainingSteps:
      engine || model || key == "data.batch" || (key.hasPrefix("optimizer.") && key != "optimizer.lr")
    case .forwardPasses: engine || model || key == "data.batch"
    case .generation: engine || model
    case .saving: engine || model || key == "optimizer.kind"
    case .description:
      model || key == "data.batch" || key == "train.accumulation" || key == "optimizer.kind"
    }
  }

  private static let evaluated: Set<String> = [
    "data.batch", "data.workers", "data.on_bad_image", "data.validation_share", "moe.eval_capacity_factor",
    "text.eval_stride", "text.field",
    "text.documents",
  ]

  private static let inspected: Set<String> = ["data.validation_share", "text.field", "text.documents"]

  private static let predicted: Set<String> = ["data.batch", "data.workers", "moe.eval_capacity_factor"]

  /// The keys that the command uses for a kind of model.
  package func keys(of kind: ModelKind) -> [String] {
    RunConfig.table.entries.filter { uses($0.key) && $0.holds(for: kind) }.map(\.key)
  }
}

extension RunConfig {
  /// Refuses what was set but does nothing: a key that the command does not use for the kind of model, at another value than
  /// the default and than what the run inherits.
  ///
  /// A checkpoint's configuration holds every key, and an older version may have let it hold more than its model uses;
  /// nobody sets that again. A preset of defaults does no harm either.
  ///
  /// - Parameters:
  ///   - inherited: what the user has not set: the defaults, or a checkpoint's configuration.
  ///   - place: where a key was set, for the message.
  /// - Throws: `ConfigError` naming the key, the kind and where the key holds.
  package func requireUsed(
    by use: ConfigUse = .training, beyond inherited: RunConfig = RunConfig(),
    place: (_ key: String) -> String = { _ in "--set" }
  ) throws {
    let defaults = Dictionary(uniqueKeysWithValues: RunConfig.table.resolved(RunConfig()).map { ($0.key, $0.value) })
    for change in RunConfig.table.differences(inherited, self) where change.second != defaults[change.key] {
      guard let entry = RunConfig.table.entries.first(where: { $0.key == change.key }) else { continue }
      guard entry.holds(for: model.kind) else {
        let others = ModelKind.allCases.filter(entry.holds).map(\.rawValue).joined(separator: " and ")
        throw ConfigError(
          "\(place(change.key))", field: "\(change.key)",
          found: "\(change.second), but model.kind \(model.kind.rawValue) does not use it",
          remedy: "it holds for \(others), leave it out")
      }
      guard optimizer.kind.uses(change.key) else {
        let others = OptimizerKind.allCases.filter { $0.uses(change.key) }.map(\.rawValue).joined(separator: " and ")
        throw ConfigError(
          "\(place(change.key))", field: "\(change.key)",
          found: "\(change.second), but optimizer.kind \(optimizer.kind.rawValue) does not use it",
          remedy: "it holds for \(others), leave it out")
      }
      guard use.uses(change.key) else {
        let others = ConfigUse.allCases.filter { $0.uses(change.key) }.map(\.rawValue).joined(separator: ", ")
        throw ConfigError(
          "\(place(change.key))", field: "\(change.key)",
          found: "\(change.second), but `\(use.rawValue)` does not use it",
          remedy: "it holds for \(others), leave it out")
      }
    }
  }

  /// Gives settings that were made for another optimizer their defaults again, where the one that is chosen now does not use
  /// them: what a preset says of its own optimizer is nobody's wish for this one.
  ///
  /// - Parameter before: the settings that another choice was made on top of.
  package mutating func forgetSettings(of before: OptimizerConfig) throws(ConfigError) {
    guard before.kind != optimizer.kind else { return }
    var old = self
    old.optimizer = before
    let kept = Set(RunConfig.table.differences(old, self).map(\.key))
    for (key, value) in RunConfig.table.resolved(RunConfig()) where !optimizer.kind.uses(key) && !kept.contains(key) {
      try RunConfig.table.set("\(key)=\(value)", in: &self)
    }
  }

  /// The configuration with a command's `--set key=value`.
  ///
  /// - Throws: `ConfigError` for an impossible one or a key that the command does not use, or `ModelError`.
  package func applying(_ settings: [String], for use: ConfigUse) throws -> RunConfig {
    var config = self
    try RunConfig.table.set(settings, in: &config)
    try config.validate()
    try config.requireUsed(by: use, beyond: self)
    return config
  }
}
