import MMoEModels
import MMoEParallel
import MMoETensor

/// Captions, token by token: always the most probable one.
package struct CaptionGenerator {
  package let model: MultimodalTransformer
  package let tokens: CaptionTokens
  package let engine: Engine

  /// The ranks that share out the model's experts, all of which say the same; nil = this process has all experts.
  package let team: RankTeam?

  package init(model: MultimodalTransformer, tokens: CaptionTokens, engine: Engine, team: RankTeam? = nil) {
    (self.model, self.tokens, self.engine, self.team) = (model, tokens, engine, team)
  }

  /// What the model says about samples.
  ///
  /// - Parameter samples: modalities, and of each a sample `[1, …]`.
  /// - Throws: `DataError` when the tokenizer does not know an id of the model; `TrainError` for logits that are not finite.
  package func caption(_ samples: [(modality: String, values: Tensor)]) throws -> String {
    let cache = model.makeCache()
    for sample in samples {
      try ForwardPass.evaluating(engine, team) { model.read(sample.values, of: sample.modality, cache, $0) }
    }
    let sampler = TokenSampler(SamplingOptions(temperature: 0))
    var ids: [Int32] = []
    var next = tokens.border
    while ids.count < model.config.text.context - 1 {
      let logits = try ForwardPass.evaluating(engine, team) { model.next([next], position: ids.count, cache, $0) }
      let own = try sampler.next(logits, history: [], position: ids.count)
      // One rank decides for all: ranks that went on with different tokens would wait for each other.
      next = team?.agreed(own) ?? own
      if next == tokens.border || Int(next) >= tokens.tokenizer.vocabularySize { break }
      ids.append(next)
    }
    return try tokens.decode(ids)
  }
}
