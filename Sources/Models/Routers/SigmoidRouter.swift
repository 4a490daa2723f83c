import Foundation
import MMoETensor

/// Every token takes the k experts of highest score, a sigmoid of each logit (DeepSeek-V3, arXiv 2412.19437, equations 12 to
/// 16), with the selection bias added for the choice. The experts may form groups of neighbors: only those in the groups
/// whose two best scores have the highest sums can be chosen. Weights are the scores, divided by the sum of the chosen ones
/// where `moe.renormalize` says so, times `moe.routed_scaling_factor`. The distribution over experts is the scores over
/// their sum.
final class SigmoidRouter: Router {
  static let name = "sigmoid"
  static let settings: Set<RouterSetting> = [
    .renormalization,
    .selectionBias, .expertGroups, .neighborGroups, .scale, .identityExperts, .batchPriority, .exclusion, .balance,
  ]
  /// What keeps a sum of scores that are all 0 from dividing 0 by 0, as in DeepSeek's code.
  private static let small: Float = 1e-20

  private let k: Int
  private let renormalize: Bool
  private let scale: Float
  private let groups: NeighborGroups?
  private var bias: (any BiasController)?

  init(_ store: ParameterStore, _ path: String, _ config: MoEConfig, k: Int) throws {
    (self.k, renormalize, scale) = (k, config.renormalizes(k), Float(config.routeScale))
    groups =
      config.groupCount > 1
      ? NeighborGroups(count: config.groupCount, kept: config.groupLimit, of: config.experts) : nil
    bias = try makeBiasController(store, path, config)
  }

  static func validate(_ model: ModelConfig, _ variant: MoEVariant) throws {
    let moe = model.moe
    func require(_ condition: Bool, _ message: @autoclosure () -> String) throws {
      if !condition { throw ModelError(message()) }
    }
    try require(
      moe.groupLimit <= moe.groupCount,
      "moe.topk_group is \(moe.groupLimit), but moe.n_group is \(moe.groupCount); use at most as many")
    try require(
      moe.balance != "importance_load" || moe.gateNoise == 0,
      "moe.balance is importance_load with moe.gate_noise \(moe.gateNoise), whose expected load is that of a softmax; set moe.gate_noise=0 or moe.router=\(SoftmaxRouter.name)"
    )
    guard moe.groupCount > 1 else { return }
    let size = moe.experts / moe.groupCount
    try require(
      moe.experts % moe.groupCount == 0 && size >= 2,
      "moe.n_group is \(moe.groupCount), which does not cut moe.experts \(moe.experts) into equal groups of 2 or more; choose such a divisor"
    )
    try require(
      moe.identityExperts == 0,
      "moe.n_group is \(moe.groupCount), but moe.identity_experts \(moe.identityExperts) are in no group; set one of them to its default"
    )
    try require(
      moe.groups == nil,
      "moe.n_group is \(moe.groupCount), but moe.groups \(moe.groups ?? "") already says which experts a token may take; set moe.n_group=1"
    )
    for route in variant.routes {
      let (needed, free) = (route.k + (route.avoidsPreviousRoute ? 1 : 0), moe.groupLimit * size)
      try require(
        needed <= free,
        "moe.topk_group is \(moe.groupLimit), which leaves a token \(free) experts of which it chooses \(needed); raise moe.topk_group"
      )
    }
  }

  var selectionBias: Tensor? { bias?.values }
  func observe(_ sums: RoutingSums, allowed: [[Bool]]?) { bias?.add(sums, allowed: allowed) }
  func afterStep() { bias?.update() }

  func choose(_ input: RouterInput, _ tape: Tape) -> RouterDecision {
    let (choice, entropy) = choice(input.logits, exclude: input.exclude, tape)
    return RouterDecision(choice: choice, capacityFactor: input.capacityFactor, entropy: entropy)
  }

  private func choice(_ logits: Tensor, exclude: [Int32]?, _ tape: Tape) -> (GateChoice, entropy: Double) {
    let (tokens, count, k) = (logits.rows, logits.columns, k)
    let (scores, probabilities) = (Tensor(uninitialized: [tokens, count]), Tensor(uninitialized: [tokens, count]))
    let (gates, entropies) = (Tensor(uninitialized: [tokens, k]), Tensor(uninitialized: [tokens]))
    var experts = [Int32](repeating: 0, count: tokens * k)
    let biases = bias?.values.pointer
    let (z, s, p, g) = (logits.pointer, scores.pointer, probabilities.pointer, gates.pointer)
    tape.timed("gate") {
      experts.withUnsafeMutableBufferPointer { experts in
        let chosen = experts.baseAddress!
        tape.engine.forRowTiles(tokens, target: 512) { rows, _, _ in
          var selection = [Float](repeating: 0, count: count)
          var sums = [Float](repeating: 0, count: groups?.count ?? 0)
          for t in rows {
            let own = t * count
            var sum: Float = 0
            for e in 0..<count {
              s[own + e] = 1 / (1 + exp(-z[own + e]))
              sum += s[own + e]
            }
            // One score or bias that is no number makes the choice meaningless: so are the weights then.
            var doubt = 0 * sum
            var entropy: Float = 0
            for e in 0..<count {
              let share = s[own + e] / (sum + SigmoidRouter.small)
              p[own + e] = share
              if share > 0 { entropy -= share * log(share) }
              // Not by a score of 0: a logit that overflowed still is one of an expert that the token may take.
              let isOpen = z[own + e] != Tape.foreignLogit && exclude.map { $0[t] != Int32(e) } ?? true
              selection[e] = isOpen ? s[own + e] + (biases?[e] ?? 0) : -.infinity
              if let biases { doubt += 0 * biases[e] }
            }
            entropies.pointer[t] = entropy
            groups?.limit(&selection, &sums)
            chooseBest(&selection, into: chosen + t * k)
            var chosenSum: Float = 0
            for j in 0..<k { chosenSum += s[own + Int(chosen[t * k + j])] }
            let factor = renormalize ? scale / (chosenSum + SigmoidRouter.small) : scale
            for j in 0..<k { g[t * k + j] = factor * s[own + Int(chosen[t * k + j])] + doubt }
          }
        }
      }
    }
    tape.record("gate", [gates, probabilities]) { [self, experts] in
      backward(logits, scores: scores, probabilities: probabilities, gates: gates, experts, tape)
    }
    let choice = GateChoice(
      experts: experts, gates: gates, scores: scores, probabilities: probabilities, logSumExp: Tensor.zeros([tokens]),
      tokens: tokens, expertCount: count, k: k)
    let entropy = tape.timed("entropy") { (0..<tokens).reduce(0.0) { $0 + Double(entropies.pointer[$1]) } }
    return (choice, entropy)
  }

  /// The k highest values, best first; the lower index wins where they are equal.
  private func chooseBest(_ selection: inout [Float], into chosen: UnsafeMutablePointer<Int32>) {
    for j in 0..<k {
      var best = -1
      for e in selection.indices {
        // What is not open and what is taken is −∞; a NaN is chosen where nothing else is left.
        guard selection[e] != -.infinity else { continue }
        if best < 0 || selection[best].isNaN || selection[e] > selection[best] { best = e }
      }
      chosen[j] = Int32(max(best, 0))
      selection[max(best, 0)] = -.infinity
    }
  }

  /// dz = s (1 − s) ds, ds from the weights of the chosen and from the distribution.
  private func backward(
    _ logits: Tensor, scores: Tensor, probabilities: Tensor, gates: Tensor, _ experts: [Int32], _ tape: Tape
  ) {
    guard gates.gradient != nil || probabilities.gradient != nil, let target = tape.gradientTarget(logits) else {
      return
    }
    let (tokens, count, k) = (logits.rows, logits.columns, k)
    if target.beta == 0 { target.pointer.update(repeating: 0, count: tokens * count) }
    let (s, p, out) = (scores.pointer, probabilities.pointer, target.pointer)
    let (dGates, dP) = (gates.gradient?.pointer, probabilities.gradient?.pointer)
    experts.withUnsafeBufferPointer { experts in
      let chosen = experts.baseAddress!
      tape.engine.forRowTiles(tokens, target: 512) { rows, _, _ in
        var slopes = [Float](repeating: 0, count: count)
        for t in rows {
          let own = t * count
          var (sum, inner): (Float, Float) = (0, 0)
          for e in 0..<count {
            sum += s[own + e]
            if let dP { inner += dP[own + e] * p[own + e] }
          }
          for e in 0..<count { slopes[e] = dP.map { ($0[own + e] - inner) / (sum + SigmoidRouter.small) } ?? 0 }
          if let dGates {
            var (chosenSum, weighted): (Float, Float) = (0, 0)
            for j in 0..<k {
              let score = s[own + Int(chosen[t * k + j])]
              chosenSum += score
              weighted += dGates[t * k + j] * score
            }
            let divisor = chosenSum + SigmoidRouter.small
            for j in 0..<k {
              let slope = dGates[t * k + j]
              slopes[Int(chosen[t * k + j])] += scale * (renormalize ? (slope - weighted / divisor) / divisor : slope)
            }
          }
          for e in 0..<count { out[own + e] += slopes[e] * s[own + e] * (1 - s[own + e]) }
        }
      }
    }
    for output in [gates, probabilities] { _ = output.takeGradient() }
  }
}

/// Equal groups of neighboring experts, of which a token chooses in some.
package struct NeighborGroups {
  package let count: Int
  private let kept, size: Int

  package init(count: Int, kept: Int, of experts: Int) {
    (self.count, self.kept, size) = (count, kept, experts / count)
  }

  /// Sets the values of all groups to −∞ but of those whose two highest values have the highest sums; the lower index wins
  /// where they are equal.
  ///
  /// - Parameters:
  ///   - values: one an expert.
  ///   - sums: scratch; afterwards one a group, +∞ where the group stays.
  package func limit(_ values: inout [Float], _ sums: inout [Float]) {
    for group in 0..<count {
      var (first, second) = (-Float.infinity, -Float.infinity)
      for e in group * size..<(group + 1) * size {
        if values[e] > first { (first, second) = (values[e], first) } else { second = max(second, values[e]) }
      }
      // Of a group with one expert left, that one's.
      sums[group] = second == -.infinity ? first : first + second
    }
    for _ in 0..<kept {
      var best = -1
      for group in 0..<count where sums[group] != .infinity && (best < 0 || sums[group] > sums[best]) { best = group }
      sums[best] = .infinity
    }
    for group in 0..<count where sums[group] != .infinity {
      for e in group * size..<(group + 1) * size { values[e] = -.infinity }
    }
  }
}
