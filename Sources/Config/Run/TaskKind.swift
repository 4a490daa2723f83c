import MMoEData
import MMoEFiles
import MMoEModels
import MMoEParallel
import MMoEReport
import MMoETensor

/// The tasks by their names on the command line.
public enum TaskKind: String, CaseIterable, Sendable {
  case imagenetSubset = "imagenet-subset"
  case lm
  case multimodal

  /// - Throws: `ConfigError` naming the valid ones.
  public init(named name: String) throws {
    guard let kind = TaskKind(rawValue: name) else {
      throw ConfigError("--task \(name)", found: "no such task", remedy: "valid are \(TaskKind.names)")
    }
    self = kind
  }

  /// The task that trains a kind of model.
  package init(training kind: ModelKind) { self = TaskKind.allCases.first { $0.modelKind == kind } ?? .lm }

  /// All names, for messages.
  package static var names: String { allCases.map(\.rawValue).joined(separator: ", ") }

  /// What `mmoe train --task …` uses without `--preset`.
  public var defaultPreset: String {
    switch self {
    case .imagenetSubset: "vit-shapes"
    case .lm: "gpt-wordnet"
    case .multimodal: "pairs-emoji"
    }
  }

  /// The kind of model that it trains.
  package var modelKind: ModelKind {
    switch self {
    case .imagenetSubset: .vit
    case .lm: .gpt
    case .multimodal: .multimodal
    }
  }

  /// - Throws: `ConfigError` when a preset is made for another task.
  package func requireModel(_ config: RunConfig, preset: String) throws {
    guard config.model.kind != modelKind else { return }
    throw ConfigError(
      "preset \(preset): model.kind is \(config.model.kind.rawValue), expected \(modelKind.rawValue) for --task \(rawValue); `mmoe presets` lists them"
    )
  }
}
