import MMoETensor

/// How tokens and experts find each other: scores from the gate's logits, and a choice by them.
///
/// A router is one file with one conformer, and a line in `RouterTable`. What a choice becomes — queues, rows, exchanges,
/// experts read from a file, losses, reports — is the same for all of them.
package protocol Router: AnyObject {
  /// What `moe.router` calls it.
  static var name: String { get }
  /// The settings that may be other than at their defaults with it; others are refused. A router that only serves timing takes
  /// them and has no use for them.
  static var settings: Set<RouterSetting> { get }
  /// Whether its choices depend on the logits. Without, the gate is not trained and no auxiliary loss applies.
  static var learns: Bool { get }
  /// Checks what it needs beyond `settings`.
  /// - Throws: `ModelError` naming the first impossible field.
  static func validate(_ model: ModelConfig, _ variant: MoEVariant) throws
  /// Rows of experts that a token has on average where nothing is dropped, such as k.
  ///
  /// - Parameters:
  ///   - capacityFactor: of training or of evaluation.
  ///   - experts: of the bank.
  static func meanChoices(_ k: Int, capacityFactor: Double, experts: Int) -> Double

  /// - Parameters:
  ///   - store: takes the buffers that it saves.
  ///   - path: of the gate.
  ///   - k: choices of a token.
  init(_ store: ParameterStore, _ path: String, _ config: MoEConfig, k: Int)
  /// Chooses; differentiable in the logits.
  func choose(_ input: RouterInput, _ tape: Tape) -> RouterDecision
  /// `[choices]`, added to the scores for the choice alone; nil where there is none.
  var selectionBias: Tensor? { get }
  /// Notes what one training call chose.
  ///
  /// - Parameters:
  ///   - sums: over all ranks.
  ///   - allowed: which experts tokens of each modality may take; nil = all tokens take all.
  func observe(_ sums: RoutingSums, allowed: [[Bool]]?)
  /// Moves its state; called once after each optimizer step in which the gate was trained.
  func afterStep()
}

extension Router {
  package static var learns: Bool { true }
  package static func validate(_ model: ModelConfig, _ variant: MoEVariant) throws {}
  package static func meanChoices(_ k: Int, capacityFactor: Double, experts: Int) -> Double { Double(k) }
  package var selectionBias: Tensor? { nil }
  package func observe(_ sums: RoutingSums, allowed: [[Bool]]?) {}
  package func afterStep() {}
}

/// What a router decides from.
package struct RouterInput {
  /// `[T, choices]`, with noise in training; `Tape.foreignLogit` where a token may not take an expert.
  let logits: Tensor
  /// `[T]`, one expert that each token may not take.
  let exclude: [Int32]?
  /// Of this pass, training or evaluation; 0 = none.
  let capacityFactor: Double
}

/// What a router decided for one batch.
package struct RouterDecision {
  let choice: GateChoice
  /// Of the experts' queues that the choices go through; 0 = all choices are kept.
  let capacityFactor: Double
  /// Rows that there can be; nil = a row for each token and choice.
  var mostRows: Int? = nil
  /// Entropy of the tokens' distributions over experts, summed, in nats.
  let entropy: Double
}

extension GateChoice {
  /// The entropies of the tokens' distributions where these are a softmax of logits, summed: log-sum-exp − Σ p z, no
  /// logarithm of a probability.
  func softmaxEntropy(_ logits: Tensor, _ tape: Tape) -> Double {
    tape.timed("entropy") {
      let expected = tape.engine.dot(probabilities, logits)
      var total = 0.0
      for t in 0..<tokens { total += Double(logSumExp.pointer[t]) }
      // As a mean and back: the digits of metrics that were written before.
      return (total - expected) / Double(max(tokens, 1)) * Double(tokens)
    }
  }
}
