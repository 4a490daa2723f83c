import MMoEModels
import MMoETensor

/// A place of `finetune.*`: the parameters of a role by its word, or a pattern over paths.
enum ParameterPlace {
  case role(ParameterRole)
  case pattern(PathPattern)

  init(_ text: String) { self = ParameterRole(rawValue: text).map(ParameterPlace.role) ?? .pattern(PathPattern(text)) }

  /// - Parameter name: of a parameter's piece, as checkpoints name it.
  func contains(_ parameter: Parameter, _ name: String) -> Bool {
    switch self {
    case .role(let role): parameter.role == role
    case .pattern(let pattern): pattern.matches(name)
    }
  }
}

extension ModelConfig {
  /// A model with the same parameters by name, each as small as can be: for questions about names alone.
  var skeleton: ModelConfig {
    var small = self
    (small.width, small.heads, small.kvHeads, small.hidden, small.moe.hidden) = (2, 1, 0, 1, 1)
    (small.vision.image, small.vision.patch, small.vision.classes) = (1, 1, 1)
    (small.text.vocabulary, small.text.context, small.fusion.embedding) = (1, 1, 1)
    (small.fusion.textWidth, small.fusion.textHeads, small.fusion.textHidden) = (0, 0, 0)
    small.lora.rank = min(lora.rank, 1)
    return small
  }
}

extension RunConfig {
  /// Checks the places of `finetune.*` against the model's parameters, whose names follow from the configuration.
  ///
  /// - Throws: `TrainError` for a place that matches nothing, or where nothing is left to train; `ModelError` for an
  ///   impossible configuration.
  func requirePlaces() throws {
    guard finetune != FineTuneConfig() else { return }
    // Of the skeleton's configuration: what classes there are is known when the data is open.
    var small = self
    small.model = model.skeleton
    _ = try UpdatePlan(small, small.model.makeModel(seed: nil, engine: Engine(threads: 1)))
  }

  /// What a run trains for: the tasks whose losses have a weight, labels only where there are classes.
  var trainedTasks: Set<FusionConfig.Task> {
    Set(
      FusionConfig.Task.allCases.filter {
        objective.weight($0) > 0 && ($0 != .classification || model.vision.classes > 0)
      })
  }
}
