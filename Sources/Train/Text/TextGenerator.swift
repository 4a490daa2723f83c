import MMoEData
import MMoEFiles
import MMoEModels
import MMoEParallel
import MMoEReport
import MMoETensor

/// Continues texts with a language model, token by token, over cached keys and values.
package struct TextGenerator {
  /// How a continuation ended, and how fast it was.
  package struct Outcome: Sendable {
    package enum Reason: String, Sendable {
      case tokens
      case endOfText = "end_of_text"
      case stop
    }
    package let ids: [Int32]
    package let reason: Reason
    /// For the prompt, and for all tokens after it.
    package let promptSeconds: Double
    package let seconds: Double
    package var tokensPerSecond: Double { Double(ids.count) / max(seconds, 1e-9) }
  }

  private let model: GPT
  private let tokenizer: any Tokenizer
  private let engine: Engine
  private let sampling: SamplingOptions
  private let stops: [String]
  private let team: RankTeam?
  private var sequence: UInt64 = 0

  /// - Parameter team: the ranks that share out the model's experts, all of which must make the same text; nil = this process
  ///   has all experts.
  package init(
    _ model: GPT, _ tokenizer: any Tokenizer, engine: Engine, sampling: SamplingOptions = .init(),
    stops: [String] = [], team: RankTeam? = nil
  ) {
    self.model = model
    self.tokenizer = tokenizer
    self.engine = engine
    self.sampling = sampling
    self.stops = stops
    self.team = team
  }

  /// Continues one prompt.
  ///
  /// Where the context is full, the later half of it is read again and generation goes on from there.
  ///
  /// - Parameters:
  ///   - prompt: at least one token, at most the context.
  ///   - tokens: how many to make at most.
  ///   - emit: receives whole characters as they come.
  /// - Throws: `TrainError` for a prompt of no token or longer than the context, and for a step whose logits are not finite;
  ///   what `emit` throws.
  package mutating func run(
    _ prompt: [Int32], tokens: Int, emit: (String) throws -> Void
  ) throws -> Outcome {
    let context = model.config.text.context
    guard 1...context ~= prompt.count else {
      throw TrainError(
        "the prompt has \(prompt.count) tokens, expected 1 to \(context), the model's context; shorten it")
    }
    let sampler = TokenSampler(sampling, sequence: sequence)
    sequence += 1
    var history = prompt
    var (stream, stopper) = (UTF8Stream(), StopStrings(stops))
    var caches = model.makeCaches()
    func advance(_ ids: [Int32]) throws -> Tensor {
      try ForwardPass.evaluating(engine, team) { model.next(ids, caches: caches, $0) }
    }
    let began = monotonicSeconds()
    var logits = try advance(prompt)
    let ready = monotonicSeconds()
    var reason = Outcome.Reason.tokens
    for position in 0..<tokens {
      let own = try sampler.next(logits, history: history, position: position)
      // One rank draws for all: ranks that went on with different tokens would wait for each other.
      let id = team?.agreed(own) ?? own
      if id == tokenizer.endOfText {
        reason = .endOfText
        break
      }
      history.append(id)
      // A model may know more ids than its tokenizer; they stand for no text.
      let bytes = Int(id) < tokenizer.vocabularySize ? try tokenizer.bytes(of: id) : []
      let (shown, isStopped) = stopper.add(stream.add(bytes))
      if !shown.isEmpty { try emit(shown) }
      if isStopped {
        reason = .stop
        break
      }
      guard position + 1 < tokens else { break }
      if caches[0].count == context {
        caches = model.makeCaches()
        logits = try advance(Array(history.suffix(max(context / 2, 1))))
      } else {
        logits = try advance([id])
      }
    }
    if reason != .stop {
      let rest = stopper.add(stream.finish())
      try emit(rest.isStopped ? rest.shown : rest.shown + stopper.finish())
    }
    return Outcome(
      ids: Array(history.dropFirst(prompt.count)), reason: reason, promptSeconds: ready - began,
      seconds: monotonicSeconds() - ready)
  }
}
