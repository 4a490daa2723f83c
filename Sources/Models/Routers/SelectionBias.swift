import MMoETensor

/// The bias on a gate's choices that balances its experts without a loss (Wang et al., arXiv 2408.15664, algorithm 1).
///
/// An expert is overloaded where it has more choices than if every token spread its own evenly over the experts that it may
/// take. With `moe.groups` these differ between modalities: compared with the mean over all experts, those of a modality with
/// few tokens would look underloaded forever, and their biases would grow without end.
struct SelectionBias: BiasController {
  /// `[choices]`, added to the probabilities for the choice only.
  let values: Tensor
  /// Change of a bias by one update.
  private let rate: Float
  /// Choices of each expert since the last update.
  private var load: [Double]
  /// Choices since the last update of all tokens that may take the same experts.
  private var shares: [(allowed: [Bool], choices: Double)] = []

  init(_ values: Tensor, rate: Double) {
    self.values = values
    self.rate = Float(rate)
    load = Array(repeating: 0, count: values.count)
  }

  /// Counts one call of the gate.
  ///
  /// - Parameters:
  ///   - sums: of the whole batch.
  ///   - allowed: which experts tokens of each modality may take; nil = all tokens take all.
  mutating func add(_ sums: RoutingSums, allowed: [[Bool]]?) {
    for e in load.indices { load[e] += sums.load[e] }
    guard let allowed else {
      return add(sums.load.reduce(0, +), over: Array(repeating: true, count: load.count))
    }
    for (modality, experts) in allowed.enumerated() {
      let own = modality * load.count..<(modality + 1) * load.count
      add(sums.modalities.load[own].reduce(0, +), over: experts)
    }
  }

  private mutating func add(_ choices: Double, over allowed: [Bool]) {
    if let known = shares.firstIndex(where: { $0.allowed == allowed }) {
      shares[known].choices += choices
    } else {
      shares.append((allowed, choices))
    }
  }

  /// Moves every bias one step towards balance and begins to count anew.
  mutating func update() {
    // In units of 1 / `unit` choices, so that a perfectly balanced expert has an error of exactly zero.
    let unit = shares.reduce(1) { leastCommonMultiple($0, $1.allowed.count { $0 }) }
    for e in load.indices {
      let fair = shares.reduce(0.0) { sum, share in
        share.allowed[e] ? sum + share.choices * Double(unit / share.allowed.count { $0 }) : sum
      }
      let error = fair - load[e] * Double(unit)
      values.pointer[e] += rate * (error > 0 ? 1 : error < 0 ? -1 : 0)
      load[e] = 0
    }
    shares = []
  }
}

private func leastCommonMultiple(_ a: Int, _ b: Int) -> Int {
  var (divisor, rest) = (a, b)
  while rest > 0 { (divisor, rest) = (rest, divisor % rest) }
  return divisor > 0 ? a / divisor * b : 0
}
