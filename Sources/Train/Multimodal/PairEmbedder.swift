import Foundation
import MMoEModels
import MMoEParallel
import MMoETensor

/// Samples and texts where a model compares them, as unit vectors.
package struct PairEmbedder {
  package let model: MultimodalTransformer
  package let tokens: CaptionTokens
  package let engine: Engine
  /// Sequences of a pass.
  package let batch: Int

  /// The ranks that share out the model's experts; every one embeds all. Nil = this process has all experts.
  package let team: RankTeam?

  package init(
    model: MultimodalTransformer, tokens: CaptionTokens, engine: Engine, batch: Int, team: RankTeam? = nil
  ) {
    (self.model, self.tokens, self.engine, self.batch, self.team) = (model, tokens, engine, batch, team)
  }

  /// A pass's task for gates that know one: comparing, or the next tokens of texts.
  private var tasks: [PairPass.Task] { model.config.moe.taskRouting ? [.contrastive, .language] : [.language] }

  /// `[texts, embedding]`, and the sum of the losses of their next tokens with the number of these.
  ///
  /// - Throws: what `beforeBatch` throws, such as for a signal; what a router from outside did wrong.
  package func texts(
    _ ids: [[Int32]], beforeBatch: () throws -> Void
  ) throws -> (vectors: [[Float]], loss: Double, count: Int) {
    var vectors: [[Float]] = []
    var (loss, count) = (0.0, 0)
    for start in stride(from: 0, to: ids.count, by: batch) {
      try beforeBatch()
      let part = ids[start..<min(start + batch, ids.count)]
      for task in tasks {
        try ForwardPass.evaluating(engine, team) { pass in
          let states = model(
            PackedSequences(images: nil, part.map { .init(text: [tokens.border] + $0, task: task.rawValue) }), pass)
          if task == tasks[0] {
            vectors += PairEmbedder.unitRows(model.textEmbeddings(states, of: Array(0..<part.count), pass.tape))
          }
          guard task == .language else { return }
          let result = model.nextTokenLoss(states, targets: part.map { $0 + [tokens.border] }, weight: 1, pass.tape)
          loss += result.losses.reduce(0.0) { $0 + Double($1) }
          count += result.losses.count
        }
      }
    }
    return (vectors, loss, count)
  }

  /// `[n, embedding]` of samples `[n, …]` of a modality.
  ///
  /// - Throws: what a router from outside did wrong.
  package func samples(_ values: Tensor, of modality: String) throws -> [[Float]] {
    let sequences = (0..<values.shape[0]).map { number in
      PackedSequences.Sequence([.sample(modality, number)], task: PairPass.Task.contrastive.rawValue)
    }
    return try ForwardPass.evaluating(engine, team) { pass in
      let states = model(PackedSequences([modality: values], sequences), pass)
      let pooled = model.pooledRows(states, of: modality, pass.tape)
      return PairEmbedder.unitRows(model.embeddings(pooled, of: modality, pass.tape))
    }
  }

  static func unitRows(_ x: Tensor) -> [[Float]] {
    let (values, d) = (x.values, x.columns)
    return (0..<x.rows).map { row in
      let own = values[row * d..<(row + 1) * d]
      let norm = max(own.reduce(0) { $0 + $1 * $1 }.squareRoot(), 1e-12)
      return own.map { $0 / norm }
    }
  }

  /// The cosine of two unit vectors.
  package static func similarity(_ a: [Float], _ b: [Float]) -> Float {
    var sum: Float = 0
    for i in a.indices { sum += a[i] * b[i] }
    return sum
  }
}
