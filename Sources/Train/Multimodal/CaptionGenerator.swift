import MMoEModels
import MMoETensor

/// Captions, token by token: always the most probable one.
package struct CaptionGenerator {
  package let model: MultimodalTransformer
  package let tokens: CaptionTokens
  package let engine: Engine

  package init(model: MultimodalTransformer, tokens: CaptionTokens, engine: Engine) {
    self.model = model
    self.tokens = tokens
    self.engine = engine
  }

  /// What the model says about samples.
  ///
  /// - Parameter samples: modalities, and of each a sample `[1, …]`.
  /// - Throws: `DataError` when the tokenizer does not know an id of the model; `TrainError` for logits that are not finite.
  package func caption(
    _ samples: [(modality: String, values: Tensor)], coordinator: (any PassCoordinator)? = nil
  ) throws -> String {
    let cache = model.makeCache()
    func pass() -> ForwardPass {
      ForwardPass(Tape(engine, recording: false), training: false, coordinator: coordinator)
    }
    for sample in samples { model.read(sample.values, of: sample.modality, cache, pass()) }
    let sampler = TokenSampler(SamplingOptions(temperature: 0))
    var ids: [Int32] = []
    var next = tokens.border
    while ids.count < model.config.text.context - 1 {
      let logits = model.next([next], position: ids.count, cache, pass())
      next = try sampler.next(logits, history: [], position: ids.count)
      if next == tokens.border || Int(next) >= tokens.tokenizer.vocabularySize { break }
      ids.append(next)
    }
    return try tokens.decode(ids)
  }
}
