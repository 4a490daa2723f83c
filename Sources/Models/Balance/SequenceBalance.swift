import MMoETensor

/// The mean over sequences of `E Σ_e f_e P_e` within each: f_e the share of the sequence's choices before drops that took
/// expert e (no gradient through it), P_e its mean probability there (DeepSeek-V3, arXiv 2412.19437, equations 17 to 20).
struct SequenceBalance: BalanceLoss {
  static let name = "sequence"

  static func validate(_ model: ModelConfig) throws {
    guard model.moe.groups == nil else {
      throw ModelError(
        "moe.balance is \(name), which knows no groups of experts, but moe.groups is \(model.moe.groups ?? ""); use all_choices"
      )
    }
  }

  /// A sequence's loss depends on its own tokens; their number on the other parts.
  static func judgesWholeBatches(unevenParts: Bool) -> Bool { unevenParts }

  func measure(_ call: GatedCall, _ engine: Engine) -> [Double] { [Double(call.tags.sequences.count)] }

  func add(_ call: GatedCall, _ sums: RoutingSums, parts: Int, weight: Float, _ tape: Tape) -> Float {
    let (choice, sequences) = (call.choice, call.tags.sequences)
    let (count, k, p) = (choice.expertCount, choice.k, choice.probabilities.pointer)
    // So that all sequences of the batch count alike.
    let mean = sums.balance[0] > 0 ? sums.balance[0] / Double(parts) : 1
    var value = 0.0
    // Of a token's probabilities, `[sequences · E]`.
    var slopes = [Double](repeating: 0, count: sequences.count * count)
    for (number, rows) in sequences.enumerated() where !rows.isEmpty {
      var (load, importance) = ([Double](repeating: 0, count: count), [Double](repeating: 0, count: count))
      for t in rows {
        for e in 0..<count { importance[e] += Double(p[t * count + e]) }
        for j in 0..<k where choice.experts[t * k + j] >= 0 { load[Int(choice.experts[t * k + j])] += 1 }
      }
      let choices = max(load.reduce(0, +), 1)
      for e in 0..<count {
        let slope = Double(count) * load[e] / choices / Double(rows.count) / mean
        value += slope * importance[e]
        slopes[number * count + e] = slope
      }
    }
    tape.recordLoss("balance", value: value, weight: weight) {
      let target = tape.gradient(of: choice.probabilities).pointer
      for (number, rows) in sequences.enumerated() {
        for t in rows {
          for e in 0..<count { target[t * count + e] += weight * Float(slopes[number * count + e]) }
        }
      }
    }
    return Float(value)
  }
}
