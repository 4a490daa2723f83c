import Foundation
import MMoEData
import MMoEFiles
import MMoEModels
import MMoEReport
import MMoETensor
import MMoETrain

/// Zero-shot questions from JSONL files, scored as the language-model evaluation harness does.
package struct ZeroShot {
  private let language: LoadedLanguageModel
  private let engine: Engine

  package init(_ language: LoadedLanguageModel, engine: Engine) {
    self.language = language
    self.engine = engine
  }

  /// Multiple choice: `{"context": …, "choices": […], "answer": 0}` lines (HellaSwag, PIQA, ARC).
  ///
  /// `acc` picks the choice of the highest log-likelihood after the context and a space; `acc_norm` divides it by the
  /// choice's length in characters first.
  ///
  /// - Throws: `TrainError` for a file without lines, `WeightsError` naming the line that is no such object, or about
  ///   which the model says nothing finite.
  package func multipleChoice(_ file: String) throws -> [(name: String, value: Double)] {
    struct Question: Decodable {
      let context: String
      let choices: [String]
      let answer: Int
    }
    var (right, rightNormed, count) = (0, 0, 0)
    try JSONLines.forEach(file, Question.self, expected: "\"context\", \"choices\" and \"answer\"") { question, line in
      guard question.choices.indices.contains(question.answer) else {
        throw WeightsError(
          "\(file):\(line)", field: "answer", found: "\(question.answer)",
          expected: "0 to \(question.choices.count - 1)", remedy: "mend the line")
      }
      let scores = try question.choices.map {
        try score(question.context, " " + $0, at: "\(file):\(line)").logLikelihood
      }
      let normed = zip(scores, question.choices).map { $0 / Double(max($1.unicodeScalars.count, 1)) }
      right += scores.indexOfLargest() == question.answer ? 1 : 0
      rightNormed += normed.indexOfLargest() == question.answer ? 1 : 0
      count += 1
    }
    let total = Double(max(count, 1))
    return [("acc", Double(right) / total), ("acc_norm", Double(rightNormed) / total), ("questions", Double(count))]
  }

  /// Last words: `{"text": …}` lines (LAMBADA). `acc` counts texts whose last word is what the model would write,
  /// greedily; `perplexity` is exp of the mean negative log-likelihood of a last word.
  ///
  /// - Throws: `TrainError` for a file without lines, `WeightsError` naming the line that is no such object, has no two
  ///   words, or about which the model says nothing finite.
  package func lastWord(_ file: String) throws -> [(name: String, value: Double)] {
    struct Passage: Decodable { let text: String }
    var (right, count, total) = (0, 0, 0.0)
    try JSONLines.forEach(file, Passage.self, expected: "\"text\"") { passage, line in
      guard let space = passage.text.lastIndex(of: " "), space > passage.text.startIndex else {
        throw WeightsError(
          "\(file):\(line)", found: "one word", expected: "at least two divided by a space", remedy: "mend the line")
      }
      let found = try score(
        String(passage.text[..<space]), String(passage.text[space...]), at: "\(file):\(line)")
      right += found.isGreedy ? 1 : 0
      total += found.logLikelihood
      count += 1
    }
    return [
      ("acc", Double(right) / Double(max(count, 1))), ("perplexity", exp(-total / Double(max(count, 1)))),
      ("passages", Double(count)),
    ]
  }

  /// Log-likelihood of a continuation in nats, and whether each of its tokens is the most probable one. The beginning of
  /// a context that does not fit is left out.
  ///
  /// - Parameter place: for messages.
  /// - Throws: `WeightsError` when the log-likelihood is not finite.
  private func score(
    _ context: String, _ continuation: String, at place: String
  ) throws -> (logLikelihood: Double, isGreedy: Bool) {
    // Spaces at the border belong to the continuation: tokens begin with their space.
    let trimmed = context.reversed().drop { $0 == " " }.reversed()
    let moved = String(repeating: " ", count: context.count - trimmed.count)
    let before = String(trimmed)
    let start = try language.promptIDs(before)
    let whole =
      try before.isEmpty
      ? start + language.tokenizer.encode(moved + continuation)
      : language.tokenizer.encode(before + moved + continuation)
    let limit = language.model.config.text.context
    let targets = Array(whole.dropFirst(start.count))
    guard !targets.isEmpty else { return (0, true) }
    let inputs = Array(whole.dropLast().suffix(limit))
    let counted = min(targets.count, inputs.count)
    let result = try ForwardPass.evaluating(engine, language.team) { pass in
      let rows = language.model(inputs, sequence: inputs.count, pass)
      let last = Tensor(uninitialized: [counted, rows.columns])
      last.pointer.update(from: rows.pointer + (inputs.count - counted) * rows.columns, count: last.count)
      let logits = language.model.logits(last, pass.tape)
      return pass.tape.crossEntropy(logits, targets: Array(targets.suffix(counted)))
    }
    let logLikelihood = -result.losses.reduce(0.0) { $0 + Double($1) }
    guard logLikelihood.isFinite else {
      throw WeightsError(
        place, found: "the log-likelihood of a continuation is \(HumanFormat.exact(logLikelihood))",
        expected: "a finite number", remedy: "the model has diverged, use an earlier checkpoint")
    }
    return (logLikelihood, result.ranks.allSatisfy { $0 == 0 })
  }
}
