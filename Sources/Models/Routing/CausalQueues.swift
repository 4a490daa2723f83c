import MMoETensor

/// The experts' queues where a token may not depend on later ones: a causal model in evaluation, with a capacity.
///
/// Every sequence has queues of its own. Its tokens enter them in their order, each with all of its choices before the next
/// token, and the capacity follows from the longest sequence that the model takes, not from the present one. So what is
/// dropped at a position depends on the positions before it alone: it is the same for any batch, for a longer text, and
/// token by token with a cache.
package struct CausalQueues {
  /// Rows of the sequences, side by side from row 0.
  let sequences: [Range<Int>]
  /// T of the capacity.
  let longest: Int
  /// What the only sequence has put into the queues before, in generation.
  let earlier: ExpertQueues?

  /// - Returns: `[T · k]`, every pair's place in its queue, counted from the beginning of its sequence; −1 where there is no choice.
  func places(_ experts: [Int32], k: Int, choices: Int) -> [Int32] {
    var places = [Int32](repeating: 0, count: experts.count)
    var lengths = [Int32]()
    for rows in sequences {
      lengths = earlier?.lengths ?? []
      if lengths.isEmpty { lengths = Array(repeating: 0, count: choices) }
      for pair in rows.lowerBound * k..<rows.upperBound * k {
        guard experts[pair] >= 0 else {
          places[pair] = -1
          continue
        }
        places[pair] = lengths[Int(experts[pair])]
        lengths[Int(experts[pair])] += 1
      }
    }
    earlier?.lengths = lengths
    return places
  }
}

/// Lengths of the queues of one route that a sequence has filled so far; empty before its first token.
package final class ExpertQueues {
  var lengths: [Int32] = []
}

/// What generation keeps of the positions that one sequence has passed, for one block.
public final class BlockCache {
  let keyValues: KeyValueCache
  /// By the number of the block's route.
  private var queues: [Int: ExpertQueues] = [:]

  init(capacity: Int, columns: Int) {
    keyValues = KeyValueCache(capacity: capacity, columns: columns)
  }

  /// Positions passed.
  public var count: Int { keyValues.count }

  func queues(of route: Int) -> ExpertQueues {
    if let known = queues[route] { return known }
    let fresh = ExpertQueues()
    queues[route] = fresh
    return fresh
  }
}
