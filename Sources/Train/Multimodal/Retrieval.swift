import MMoEData
import MMoEModels

/// Samples of one modality that find those of another.
enum Retrieval {
  struct Direction {
    let query, answer: any Modality

    var words: String { "\(query.sample) to \(answer.sample)" }
    func metric(at k: Int) -> String { "\(query.sample)_to_\(answer.sample)_recall_at_\(k)" }
  }

  /// Both directions of every two modalities of a model, one after the other.
  static func directions(_ model: ModelConfig) -> [Direction] {
    let modalities = model.towerModalities
    return modalities.indices.flatMap { a in
      modalities[(a + 1)...].flatMap { other in
        [Direction(query: modalities[a], answer: other), Direction(query: other, answer: modalities[a])]
      }
    }
  }

  /// Where queries find their answers.
  ///
  /// - Parameters:
  ///   - queries, answers: items and vectors; queries without any right answer are left out.
  ///   - belong: whether a query's item is that of an answer.
  static func ranks(
    of queries: [(item: Int, vector: [Float])], in answers: [(item: Int, vector: [Float])],
    belong: (_ query: Int, _ answer: Int) -> Bool
  ) -> RetrievalRanks {
    let asked = queries.filter { query in answers.contains { belong(query.item, $0.item) } }
    return RetrievalRanks(
      queries: asked.count, gallery: answers.count,
      similarity: { PairEmbedder.similarity(asked[$0].vector, answers[$1].vector) },
      isRight: { belong(asked[$0].item, answers[$1].item) })
  }
}
