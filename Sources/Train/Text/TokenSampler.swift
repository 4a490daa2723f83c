import Foundation
import MMoEFiles
import MMoEReport
import MMoETensor

/// How the next token is chosen.
package struct SamplingOptions: Sendable, Equatable {
  /// Divides the logits; 0 = always the most probable token.
  package var temperature: Double
  /// Only the k most probable tokens; 0 = all.
  package var topK: Int
  /// Only the smallest set of tokens whose probabilities reach this sum (Holtzman et al., arXiv 1904.09751).
  package var topP: Double
  /// Logits of tokens seen before are divided by it when positive, multiplied when negative (Keskar et al.,
  /// arXiv 1909.05858); 1 = off.
  package var repetitionPenalty: Double
  package var seed: UInt64

  package init(
    temperature: Double = 1, topK: Int = 0, topP: Double = 1, repetitionPenalty: Double = 1, seed: UInt64 = 0
  ) {
    self.temperature = temperature
    self.topK = topK
    self.topP = topP
    self.repetitionPenalty = repetitionPenalty
    self.seed = seed
  }

  /// - Throws: `TrainError` naming the first impossible value.
  package func validate() throws {
    func require(_ condition: Bool, _ name: String, _ value: Any, _ expected: String) throws {
      if !condition { throw TrainError("--\(name) is \(value), expected \(expected)") }
    }
    try require(temperature >= 0 && temperature.isFinite, "temperature", temperature, "at least 0")
    try require(topK >= 0, "top-k", topK, "at least 0")
    try require(topP > 0 && topP <= 1, "top-p", topP, "more than 0 and at most 1")
    try require(repetitionPenalty > 0, "repetition-penalty", repetitionPenalty, "more than 0")
  }
}

/// Draws tokens from logits: penalty, temperature, top-k, top-p, in this order.
struct TokenSampler {
  let options: SamplingOptions
  private let random: CounterRandom

  /// - Parameter sequence: number of the sequence; each has draws of its own.
  init(_ options: SamplingOptions, sequence: UInt64 = 0) {
    self.options = options
    random = CounterRandom(seed: options.seed, purpose: .sampling, a: sequence)
  }

  /// - Parameters:
  ///   - logits: `[V]`, changed.
  ///   - history: the tokens before, prompt included.
  ///   - position: which draw of the sequence this is.
  /// - Throws: `TrainError` naming the step where a logit is not finite: among those there is no most probable token.
  func next(_ logits: Tensor, history: [Int32], position: Int) throws -> Int32 {
    let values = UnsafeMutableBufferPointer(start: logits.pointer, count: logits.count)
    func requireFinite(_ remedy: String) throws {
      guard let token = firstNotFinite(UnsafeBufferPointer(values)) else { return }
      throw TrainError(
        "step \(position + 1) of the generation: the logit of token \(token) is \(HumanFormat.exact(values[token])), expected a finite number; \(remedy)"
      )
    }
    try requireFinite("the model has diverged, use an earlier checkpoint")
    if options.repetitionPenalty != 1 {
      let penalty = Float(options.repetitionPenalty)
      for id in Set(history) where values.indices.contains(Int(id)) {
        values[Int(id)] = values[Int(id)] > 0 ? values[Int(id)] / penalty : values[Int(id)] * penalty
      }
    }
    if options.repetitionPenalty != 1 {
      try requireFinite("--repetition-penalty \(options.repetitionPenalty) is too far from 1")
    }
    guard let best = values.indexOfLargest() else { preconditionFailure("no logits") }
    if options.temperature == 0 || options.topK == 1 { return Int32(best) }

    let top = Double(values[best])
    var weights = [Double](repeating: 0, count: values.count)
    var total = 0.0
    for i in values.indices {
      weights[i] = exp((Double(values[i]) - top) / options.temperature)
      total += weights[i]
    }
    let candidates = self.candidates(weights, total: total)
    guard let candidates else { return draw(weights.indices, weights, total, position) }
    return draw(candidates, weights, candidates.reduce(0) { $0 + weights[$1] }, position)
  }

  /// Indices that top-k and top-p leave, the most probable first; nil for all.
  private func candidates(_ weights: [Double], total: Double) -> [Int]? {
    let isLimited = options.topK > 0 && options.topK < weights.count
    guard isLimited || options.topP < 1 else { return nil }
    // All tokens below (1 − p) / V together weigh less than 1 − p, so the smallest set has none of them: few are sorted.
    let threshold = isLimited ? 0 : (1 - options.topP) * total / Double(weights.count)
    var chosen = weights.indices.filter { weights[$0] >= threshold }
    chosen.sort { weights[$0] != weights[$1] ? weights[$0] > weights[$1] : $0 < $1 }
    if isLimited { chosen.removeLast(chosen.count - options.topK) }
    guard options.topP < 1 else { return chosen }
    let sum = isLimited ? chosen.reduce(0) { $0 + weights[$1] } : total
    var reached = 0.0
    var count = 0
    while count < chosen.count, reached < options.topP * sum {
      reached += weights[chosen[count]]
      count += 1
    }
    return Array(chosen.prefix(max(count, 1)))
  }

  private func draw(_ indices: some Sequence<Int>, _ weights: [Double], _ total: Double, _ position: Int) -> Int32 {
    var rest = Double(random.uniform(UInt64(position))) * total
    var last = 0
    for index in indices where weights[index] > 0 {
      last = index
      rest -= weights[index]
      if rest < 0 { break }
    }
    return Int32(last)
  }
}
