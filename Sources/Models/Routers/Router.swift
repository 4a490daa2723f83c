import MMoETensor

/// How tokens and experts find each other: scores from the gate's logits, and a choice by them.
///
/// A router is one file with one conformer, and a line in `RouterTable`, or a registration from outside of the package. What a choice becomes — queues, rows, exchanges,
/// experts read from a file, losses, reports — is the same for all of them.
public protocol Router: AnyObject, SendableMetatype {
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
  /// - Throws: `ModelError` for a buffer that the store refuses.
  init(_ store: ParameterStore, _ path: String, _ config: MoEConfig, k: Int) throws
  /// Chooses; differentiable in the logits. Throws where it cannot; the pass is then void.
  func choose(_ input: RouterInput, _ tape: Tape) throws -> RouterDecision
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
  public static var learns: Bool { true }
  public static func validate(_ model: ModelConfig, _ variant: MoEVariant) throws {}
  public static func meanChoices(_ k: Int, capacityFactor: Double, experts: Int) -> Double { Double(k) }
  public var selectionBias: Tensor? { nil }
  public func observe(_ sums: RoutingSums, allowed: [[Bool]]?) {}
  public func afterStep() {}
}

/// What a router decides from.
public struct RouterInput {
  /// `[T, choices]`, with noise in training; `Tape.foreignLogit` where a token may not take an expert.
  public let logits: Tensor
  /// `[T]`, one expert that each token may not take.
  public let exclude: [Int32]?
  /// Of this pass, training or evaluation; 0 = none.
  public let capacityFactor: Double
}

/// What a router decided for one batch.
public struct RouterDecision {
  let choice: GateChoice
  /// Of the experts' queues that the choices go through; 0 = all choices are kept.
  let capacityFactor: Double
  /// Rows that there can be; nil = a row for each token and choice.
  var mostRows: Int? = nil
  /// Entropy of the tokens' distributions over experts, summed, in nats.
  let entropy: Double
}

extension RouterDecision {
  /// A choice whose probabilities are a softmax of logits, through queues of the pass's capacity.
  ///
  /// - Parameter logits: those of the softmax; nil = the input's.
  public init(_ choice: GateChoice, of input: RouterInput, logits: Tensor? = nil, _ tape: Tape) {
    self.init(
      choice: choice, capacityFactor: input.capacityFactor,
      entropy: choice.softmaxEntropy(logits ?? input.logits, tape))
  }

  /// - Throws: `ModelError` unless it is one for these logits.
  func require(_ logits: Tensor, router: String) throws {
    guard choice.tokens == logits.rows, choice.expertCount == logits.columns else {
      throw ModelError(
        field: "the choice of the router \(router)",
        found: "one of \(choice.expertCount) experts for \(choice.tokens) tokens",
        expected: "\(logits.columns) experts and \(logits.rows) tokens")
    }
  }

  /// What stands for the decision of a router that failed: no weight is a number, so that no figure can come of it.
  static func void(_ logits: Tensor, k: Int) -> RouterDecision {
    let (tokens, count) = (logits.rows, logits.columns)
    let choice = GateChoice(
      experts: (0..<tokens * k).map { Int32($0 % k) }, gates: Tensor(repeating: .nan, shape: [tokens, k]),
      probabilities: Tensor(repeating: .nan, shape: [tokens, count]),
      logSumExp: Tensor(repeating: .nan, shape: [tokens]), tokens: tokens, expertCount: count, k: k)
    return RouterDecision(choice: choice, capacityFactor: 0, entropy: .nan)
  }
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
