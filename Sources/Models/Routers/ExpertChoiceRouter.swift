import MMoETensor

/// Every expert takes the C = ceil(cf · T · k / E) tokens of highest probability (Zhou et al., arXiv 2202.09368): experts are
/// always balanced, and a token has from 0 to E of them, k · cf on average. Weights are the probabilities, not renormalized.
///
/// The T tokens are those of the pass: one rank's part of one micro-batch. As with a capacity, what a token gets depends on
/// the tokens that it comes with.
final class ExpertChoiceRouter: Router {
  static let name = "expert_choice"
  static let settings: Set<RouterSetting> = [.zLoss]

  private let k: Int

  init(_ store: ParameterStore, _ path: String, _ config: MoEConfig, k: Int) { self.k = k }

  static func validate(_ model: ModelConfig, _ variant: MoEVariant) throws {
    guard model.kind == .vit else {
      throw ModelError(
        "moe.router is \(name), but text of model.kind \(model.kind.rawValue) is causal: experts that choose among all tokens let later ones decide about earlier ones; set moe.router=\(SoftmaxRouter.name)"
      )
    }
    let factors = [
      ("moe.capacity_factor", model.moe.capacityFactor), ("moe.eval_capacity_factor", model.moe.evalCapacityFactor),
    ]
    for (key, factor) in factors where factor == 0 {
      throw ModelError(
        "\(key) is 0, but moe.router is \(name), whose experts take ceil(cf T k / E) tokens; set \(key)=1")
    }
  }

  static func meanChoices(_ k: Int, capacityFactor: Double, experts: Int) -> Double {
    min(Double(k) * capacityFactor, Double(experts))
  }

  func choose(_ input: RouterInput, _ tape: Tape) -> RouterDecision {
    let (tokens, count) = (input.logits.rows, input.logits.columns)
    let softmax = tape.gate(input.logits, k: 1, renormalize: false)
    let wanted = ExpertCapacity.rows(factor: input.capacityFactor, pairs: tokens * k, choices: count) ?? tokens
    let rows = min(wanted, tokens)
    let experts = tape.timed("gate") { ExpertChoiceRouter.choices(softmax.probabilities, rows: rows) }
    let gates = tape.chosenProbabilities(softmax.probabilities, experts, k: count)
    let choice = GateChoice(
      experts: experts, gates: gates, probabilities: softmax.probabilities, logSumExp: softmax.logSumExp,
      tokens: tokens,
      expertCount: count, k: count)
    return RouterDecision(
      choice: choice, capacityFactor: 0, mostRows: rows * count, entropy: softmax.softmaxEntropy(input.logits, tape))
  }

  /// The experts that take each token, `[T · E]`, best first, −1 after the last.
  ///
  /// - Parameters:
  ///   - probabilities: `[T, E]`; a token whose probability is no number is taken first, so that it shows in the output.
  ///   - rows: that each expert takes; equal probabilities go to the lower token.
  private static func choices(_ probabilities: Tensor, rows: Int) -> [Int32] {
    let (tokens, count) = (probabilities.rows, probabilities.columns)
    let p = probabilities.pointer
    // A probability's bits grow with it.
    func rank(_ value: Float) -> UInt32 { value.isNaN ? .max : value.bitPattern }
    var taken = [Bool](repeating: false, count: tokens * count)
    for e in 0..<count {
      var keys = (0..<tokens).map { UInt64(rank(p[$0 * count + e])) << 32 | UInt64(UInt32.max - UInt32($0)) }
      keys.sort(by: >)
      for key in keys.prefix(rows) { taken[Int(UInt32.max - UInt32(truncatingIfNeeded: key)) * count + e] = true }
    }
    var experts = [Int32](repeating: -1, count: tokens * count)
    for t in 0..<tokens {
      var next = t * count
      for e in 0..<count where taken[t * count + e] {
        // Into its place among those found so far; the lower expert goes first where they are equal.
        var at = next
        while at > t * count, rank(p[t * count + Int(experts[at - 1])]) < rank(p[t * count + e]) {
          experts[at] = experts[at - 1]
          at -= 1
        }
        experts[at] = Int32(e)
        next += 1
      }
    }
    return experts
  }
}

extension Tape {
  /// The probabilities of each token's experts, `[T, k]`; 0 where there is none.
  ///
  /// - Parameters:
  ///   - probabilities: `[T, E]`.
  ///   - experts: `[T · k]`; −1 = none.
  fileprivate func chosenProbabilities(_ probabilities: Tensor, _ experts: [Int32], k: Int) -> Tensor {
    let (tokens, count) = (probabilities.rows, probabilities.columns)
    let gates = Tensor.zeros([tokens, k])
    for (at, expert) in experts.enumerated() where expert >= 0 {
      gates.pointer[at] = probabilities.pointer[at / k * count + Int(expert)]
    }
    record("gate", gates) { [self] dGates in
      guard let target = gradientTarget(probabilities) else { return }
      if target.beta == 0 { target.pointer.update(repeating: 0, count: tokens * count) }
      for (at, expert) in experts.enumerated() where expert >= 0 {
        target.pointer[at / k * count + Int(expert)] += dGates.pointer[at]
      }
    }
    return gates
  }
}
