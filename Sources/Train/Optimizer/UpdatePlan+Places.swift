import MMoEConfig
import MMoEModels
import MMoETensor

extension ModelConfig {
  /// A model with the same parameters by name, each as small as can be: for questions about names alone.
  package var skeleton: ModelConfig {
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
  package func requirePlaces() throws {
    guard finetune != FineTuneConfig() else { return }
    // Of the skeleton's configuration: what classes there are is known when the data is open.
    var small = self
    small.model = model.skeleton
    _ = try UpdatePlan(small, small.model.makeModel(seed: nil, engine: Engine(threads: 1)))
  }
}
