/// How well things of one kind find those of another, such as texts their images: where the first right one stands when
/// all are ordered by similarity.
package struct RetrievalRanks: Sendable, Equatable {
  /// Of every query: the rank of its best right answer, from 1. A wrong answer of equal similarity stands before it, so that
  /// a model that makes no difference between answers has no luck.
  package let ranks: [Int]
  /// Answers that every query was ordered over.
  package let gallery: Int
  /// Whether every similarity was a number: without, there is no order.
  private let isOrdered: Bool

  /// - Parameters:
  ///   - similarity: of a query and an answer; NaN counts as the highest.
  ///   - isRight: whether an answer belongs to a query; each query needs one.
  package init(
    queries: Int, gallery: Int, similarity: (_ query: Int, _ answer: Int) -> Float,
    isRight: (_ query: Int, _ answer: Int) -> Bool
  ) {
    self.gallery = gallery
    var isOrdered = true
    ranks = (0..<queries).map { query in
      let scores = (0..<gallery).map { similarity(query, $0) }
      if scores.contains(where: \.isNaN) { isOrdered = false }
      let right = (0..<gallery).map { isRight(query, $0) }
      let best = (0..<gallery).filter { right[$0] }.map { scores[$0] }.max() ?? -.infinity
      return 1 + (0..<gallery).count { !right[$0] && !(scores[$0] < best) }
    }
    self.isOrdered = isOrdered
  }

  /// The share of queries whose right answer is among the first `k`; NaN where a similarity is.
  package func recall(at k: Int) -> Double {
    isOrdered ? Double(ranks.count { $0 <= k }) / Double(max(ranks.count, 1)) : .nan
  }
}
