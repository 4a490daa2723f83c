import MMoETensor

/// What one call of a gate gave each modality, one pass's or the whole batch's; `[M]` or `[M · E]` values.
package struct ModalitySums {
  private(set) var tokens: [Double] = []
  /// Choices of each expert.
  private(set) var load: [Double] = []
  /// Summed probabilities of each expert.
  private(set) var importance: [Double] = []

  /// Without modalities: nothing.
  init() {}

  init(_ choice: GateChoice, _ modalities: TokenModalities) {
    let (count, kinds) = (choice.expertCount, modalities.names.count)
    tokens = modalities.counts.map(Double.init)
    load = Array(repeating: 0, count: kinds * count)
    importance = load
    let p = choice.probabilities.pointer
    for t in 0..<choice.tokens {
      let first = Int(modalities.of[t]) * count
      for e in 0..<count { importance[first + e] += Double(p[t * count + e]) }
      for j in 0..<choice.k where choice.experts[t * choice.k + j] >= 0 {
        load[first + Int(choice.experts[t * choice.k + j])] += 1
      }
    }
  }

  /// All values in a fixed order.
  var vector: [Double] {
    get { tokens + load + importance }
    set {
      let (a, b) = (tokens.count, tokens.count + load.count)
      (tokens, load, importance) = (Array(newValue[..<a]), Array(newValue[a..<b]), Array(newValue[b...]))
    }
  }
}
