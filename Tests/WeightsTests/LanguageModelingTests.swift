import Foundation
import MMoEData
import MMoEHDF5
import MMoEModels
import MMoETensor
import TestSupport
import Testing
import TinyRuns

@testable import MMoEConfig
@testable import MMoEReport
@testable import MMoETrain
@testable import MMoEWeights

/// The `lm` task through the same loop, checkpoints and evaluation as images.
@Suite struct LanguageModelingTests {
  let scratch = ScratchFolder()

  /// Interrupted after any step and resumed: the same bytes, for both orders of windows.
  @Test(arguments: ["random", "sequential"], [1, 5]) func resumedRunHasTheSameBits(order: String, step: Int) throws {
    let run = try TinyTextRun([
      "text.order=\(order)", "train.accumulation=2", "moe.gate_noise=1", "moe.bias_rate=0.01",
    ])
    try run.train(into: scratch("whole"))
    try FileManager.default.createDirectory(atPath: scratch("resumed"), withIntermediateDirectories: true)
    for name in ["step-000000\(step).h5", "metrics.jsonl"] {
      try FileManager.default.copyItem(atPath: scratch("whole") + "/" + name, toPath: scratch("resumed") + "/" + name)
    }
    try run.train(into: scratch("resumed"), resuming: scratch("resumed") + "/step-000000\(step).h5")
    #expect(
      try bytes(scratch("resumed") + "/step-0000008.h5") == bytes(scratch("whole") + "/step-0000008.h5"))
  }

  /// A signal within the only evaluation ends it; the resumed run makes up for it.
  @Test func interruptedEvaluationIsMadeUpFor() throws {
    let run = try TinyTextRun(["train.steps=1"])
    let stopped = try Interrupt.$isSimulated.withValue(true) { try run.train(into: scratch("run")) }
    #expect(stopped.isInterrupted && stopped.steps == 1 && stopped.evaluation == nil)
    let outcome = try run.train(into: scratch("run"), resuming: stopped.checkpoint)
    #expect(!outcome.isInterrupted && outcome.evaluation != nil && outcome.best?.step == 1)
  }

  @Test func threadsDoNotChangeBits() throws {
    var run = try TinyTextRun(["data.workers=1"])
    run.threads = 1
    try run.train(into: scratch("1"))
    run.threads = 3
    try run.train(into: scratch("3"))
    #expect(try TinyRun.losses(scratch("1")) == TinyRun.losses(scratch("3")))
  }

  @Test(arguments: ["dense"] + MoEVariant.all.map(\.name)) func overfits(variant: String) throws {
    let run = try TinyTextRun([
      "moe.variant=\(variant)", "data.overfit=1", "train.steps=150", "optimizer.lr=5e-3", "train.eval_every=1000",
      "checkpoint.every=1000",
    ])
    // The first tokens of a window cannot be known, so the loss stays above zero.
    let outcome = try run.train(into: scratch("run"))
    #expect(outcome.trainLoss < 0.15, "\(variant)")
  }

  /// A learned BPE: the checkpoint carries it, and loss and bits a byte fit together.
  @Test func checkpointCarriesItsTokenizer() throws {
    let run = try TinyTextRun(["tokenizer.kind=bpe", "tokenizer.vocabulary=280"])
    let outcome = try run.train(into: scratch("run"))
    let evaluation = try #require(outcome.evaluation)
    let engine = try Engine(threads: 2)
    let language = try LoadedLanguageModel(LoadedCheckpoint(outcome.checkpoint), engine: engine)
    #expect(language.tokenizer.vocabularySize == 280 && language.model.config.text.vocabulary == 280)
    let text = "the cat sees"
    #expect(try language.tokenizer.decode(language.tokenizer.encode(text)) == [UInt8](text.utf8))
    let perByte = try #require(evaluation["bits_per_byte"])
    let perToken = evaluation.loss / log(2)
    #expect(perByte < perToken && perByte > perToken / 8)
    #expect(abs(try #require(evaluation["perplexity"]) - exp(evaluation.loss)) < 1e-9)
  }

  /// Shards of another tokenizer are refused by name.
  @Test func otherTokenizersAreRefused() throws {
    let run = try TinyTextRun(["train.steps=1"])
    let outcome = try run.train(into: scratch("run"))
    let shards = scratch("shards")
    let other = try BytePairTokenizer.learned(from: TinyTextRun.data.path, vocabularySize: 270)
    try CorpusTokenizer(TinyTextRun.data.path, tokenizer: other).write(to: shards)
    let checkpoint = try LoadedCheckpoint(outcome.checkpoint)
    #expect {
      _ = try TaskKind.lm.openData(shards, run.config, checkpoint: checkpoint, TextBuffer())
    } throws: {
      "\($0)".contains(other.fingerprint) && "\($0)".contains("bytes")
    }
  }

  /// Zero-shot scores against probabilities computed the plain way: one whole sequence, a softmax over each row.
  @Test func zeroShotScores() throws {
    let run = try TinyTextRun(["train.steps=4"])
    let outcome = try run.train(into: scratch("run"))
    let engine = try Engine(threads: 2)
    let language = try LoadedLanguageModel(LoadedCheckpoint(outcome.checkpoint), engine: engine)
    func plain(_ context: String, _ continuation: String) -> Double {
      let ids = [UInt8]((context + continuation).utf8).map(Int32.init)
      let pass = ForwardPass(Tape(engine, recording: false), training: false)
      let inputs = Array(ids.dropLast())
      let logits = language.model.logits(
        language.model(inputs, sequence: inputs.count, pass), pass.tape
      ).values.map(Double.init)
      return (context.utf8.count..<ids.count).reduce(0.0) { total, at in
        let row = logits[((at - 1) * 256)..<(at * 256)]
        let top = row.max()!
        return total + row[row.startIndex + Int(ids[at])] - top - log(row.reduce(0) { $0 + exp($1 - top) })
      }
    }
    let choices = ["dog", "the cat", "a"]
    let scores = choices.map { plain("a", " " + $0) }
    let best = scores.indices.max { scores[$0] < scores[$1] }!
    let normed = zip(scores, choices).map { $0 / Double($1.count) }
    let bestNormed = normed.indices.max { normed[$0] < normed[$1] }!
    var lines = ""
    for answer in choices.indices {
      lines += "{\"context\": \"a\", \"choices\": [\"dog\", \"the cat\", \"a\"], \"answer\": \(answer)}\n"
    }
    try lines.write(toFile: scratch("q.jsonl"), atomically: true, encoding: .utf8)
    let found = try ZeroShot(language, engine: engine).multipleChoice(scratch("q.jsonl"))
    #expect(found.map(\.name) == ["acc", "acc_norm", "questions"])
    #expect(abs(found[0].value - 1.0 / 3) < 1e-9 && abs(found[1].value - 1.0 / 3) < 1e-9 && found[2].value == 3)
    for (metric, answer) in [(0, best), (1, bestNormed)] {
      try lines.split(separator: "\n")[answer].write(toFile: scratch("one.jsonl"), atomically: true, encoding: .utf8)
      #expect(try ZeroShot(language, engine: engine).multipleChoice(scratch("one.jsonl"))[metric].value == 1)
    }
    try "{\"text\": \"a cat\"}\n".write(toFile: scratch("w.jsonl"), atomically: true, encoding: .utf8)
    let last = try ZeroShot(language, engine: engine).lastWord(scratch("w.jsonl"))
    #expect(abs(last[1].value - exp(-plain("a", " cat"))) < 1e-3 * last[1].value)
    // No questions have no score.
    try "\n".write(toFile: scratch("w.jsonl"), atomically: true, encoding: .utf8)
    #expect(throws: TrainError.self) { try ZeroShot(language, engine: engine).lastWord(scratch("w.jsonl")) }
  }
}

extension BytePairTokenizer {
  fileprivate static func learned(from file: String, vocabularySize: Int) throws -> BytePairTokenizer {
    let folder = ScratchFolder()
    return try TokenizerWork.train([file], vocabularySize: vocabularySize, to: folder("tokenizer"))
  }
}
