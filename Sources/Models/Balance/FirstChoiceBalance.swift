import MMoETensor

/// `all_choices` with f over first choices alone (GShard, arXiv 2006.16668).
struct FirstChoiceBalance: BalanceLoss {
  static let name = "first_choice"

  func measure(_ call: GatedCall, _ engine: Engine) -> [Double] {
    let choice = call.choice
    var load = [Double](repeating: 0, count: choice.expertCount)
    for t in 0..<choice.tokens { load[Int(choice.experts[t * choice.k])] += 1 }
    return load
  }

  func add(_ call: GatedCall, _ sums: RoutingSums, parts: Int, weight: Float, _ tape: Tape) -> Float {
    tape.balanceLoss(call.choice, tokens: sums.tokens / Double(parts), load: sums.balance, weight: weight)
  }
}
