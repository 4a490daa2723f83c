import Foundation
import MMoEData
import MMoEHDF5
import MMoEModels
import MMoETensor
import TestSupport
import Testing
import TinyRuns

@testable import MMoEReport
@testable import MMoERuns
@testable import MMoEStudy
@testable import MMoETrain
@testable import MMoEWeights

/// What becomes of NaN and infinity outside the kernels: no metric, no best or good checkpoint, no text, no weights.
@Suite struct NotFiniteTests {
  let scratch = ScratchFolder()
  let engine = try! Engine(threads: 2)

  /// A run of two steps, and a copy of its last checkpoint whose weights are finite and whose activations are not.
  static let images: (folder: ScratchFolder, run: String, overflowing: String) = {
    let folder = ScratchFolder()
    try! TinyRun(["train.steps=2", "checkpoint.every=1"]).train(into: folder("run"))
    try! rewrite(folder("run/step-0000002.h5"), to: folder("overflowing.h5")) { name, values in
      name == "blocks.0.mlp.fc2.weight" ? values.map { _ in 3e38 } : values
    }
    return (folder, folder("run"), folder("overflowing.h5"))
  }()

  static let text: (folder: ScratchFolder, run: String, overflowing: String) = {
    let folder = ScratchFolder()
    try! TinyTextRun(["train.steps=1", "moe.variant=dense"]).train(into: folder("run"))
    try! rewrite(folder("run/step-0000001.h5"), to: folder("overflowing.h5")) { name, values in
      name == "blocks.0.mlp.fc2.weight" ? values.map { _ in 3e38 } : values
    }
    return (folder, folder("run"), folder("overflowing.h5"))
  }()

  /// Writes a checkpoint again with other weights, without the optimizer's state.
  static func rewrite(_ file: String, to out: String, _ change: (String, [Float]) -> [Float]) throws {
    let checkpoint = try LoadedCheckpoint(file)
    try TrainingCheckpoint.write(checkpoint.info, arrays: checkpoint.modelArrays(), to: out) {
      change($0, try checkpoint.modelArray($0))
    }
  }

  private func message(_ body: () throws -> Void) -> String {
    do {
      try body()
      return "nothing was thrown"
    } catch { return "\(error)" }
  }

  // MARK: Training

  /// A run that diverges ends with the evaluation that shows it; its metrics say null, and what is called good and best is.
  @Test func aDivergedRunCallsNothingGoodThatIsNot() throws {
    let run = try TinyRun([
      "model.activation=swiglu", "optimizer.lr=1000", "schedule.warmup=0", "optimizer.clip=0", "train.eval_every=1",
      "checkpoint.every=1", "checkpoint.keep=100", "train.steps=40",
    ])
    let error = message { try run.train(into: scratch("run")) }
    let words = try #require(
      error.firstMatch(of: /step (\d+): the (.+) is not finite; .*the checkpoint of step (\d+) is/))
    let (failed, good) = (try #require(Int(words.1)), try #require(Int(words.3)))
    #expect(good < failed)
    let losses = try MetricsHistory(file: scratch("run/metrics.jsonl")).points(MetricName.validationLoss)
    #expect(losses.allSatisfy { $0.value.isFinite == ($0.step < failed) }, "\(losses)")
    if words.2 == "validation loss" {
      let last = try #require(
        String(contentsOfFile: scratch("run/metrics.jsonl"), encoding: .utf8).split(separator: "\n").last)
      #expect(last.contains("\"val_loss\":null") && last.contains("\"val_top1\":null"), "\(last)")
    }
    let best = try #require(LoadedCheckpoint(scratch("run/best.h5")).info.best)
    #expect(best.step < failed && losses.contains { $0.step == best.step && $0.value.isFinite })
    #expect(RunFolder.steps(in: scratch("run")).last == good)
    try CheckpointInspection.verify([scratch("run")]) { _ in }
  }

  /// Of checkpoints with NaN in a weight, in a moment, or with a validation loss that was none, none is good.
  @Test func theLastGoodCheckpoint() throws {
    let folder = try RunFolder(creating: scratch("run"))
    #expect(folder.lastGoodCheckpoint(nil) == "no checkpoint was saved yet")
    func write(_ step: Int, _ change: (String, [Float]) -> [Float] = { $1 }) throws {
      try NotFiniteTests.rewrite(
        Self.images.run + "/step-0000002.h5", to: folder.checkpointFile(step: step), change)
    }
    try write(1) { name, values in name == "head.bias" ? values.map { _ in .nan } : values }
    #expect(folder.lastGoodCheckpoint(nil) == "no checkpoint is good")
    try write(2)
    try write(3)
    try write(4) { name, values in name == "head.weight" ? [-.infinity] + values.dropFirst() : values }
    try """
    {"step":2,"val_loss":1.5}
    {"step":3,"val_loss":null,"nonfinite":{"val_loss":"nan"}}

    """.write(toFile: scratch("run/metrics.jsonl"), atomically: true, encoding: .utf8)
    let history = try MetricsHistory(file: scratch("run/metrics.jsonl"))
    #expect(folder.lastGoodCheckpoint(history) == "the checkpoint of step 2 is good")
    #expect(folder.lastGoodCheckpoint(nil) == "the checkpoint of step 3 is good")
  }

  /// Weights that no token of the batch meets: the loss does not show them, and still they are not saved.
  @Test func aModelThatIsNotFiniteIsNotSaved() throws {
    let run = try TinyRun([
      "train.steps=3", "checkpoint.every=1", "train.eval_every=100", "moe.bias_rate=0.01", "moe.balance=none",
    ])
    let error = message {
      try run.train(into: scratch("run")) { model in
        model.parameters.first { $0.path == "blocks.1.moe.experts.fc1.weight" }!.value.pointer[0] = .nan
        // Nobody chooses the first expert.
        for (path, bias) in model.buffers where path.hasSuffix("selection_bias") { bias.pointer[0] = -10 }
      }
    }
    #expect(
      error.hasPrefix("step 1: the model is not finite; first bad tensor: parameter blocks.1.moe.experts.fc1.weight"))
    #expect(error.contains("no checkpoint was saved yet") && RunFolder.steps(in: scratch("run")).isEmpty)
  }

  // MARK: Evaluation and what else reads a model

  /// Weights are finite and activations overflow: the metrics are null, and the command fails.
  @Test func evaluationOfAModelThatOverflows() throws {
    let result = try ProgramRunner.run([
      "eval", "--task", "imagenet-subset", "--checkpoint", Self.images.overflowing, "--data", TinyRun.data.path,
      "--json",
    ])
    #expect(result.status == 1)
    #expect(
      result.output.contains("\"val_loss\":null") && result.output.contains("\"top1\":null")
        && result.output.contains("\"top5\":null") && result.output.contains("\"calibration_error\":null"),
      "\(result.output)")
    #expect(
      result.errors.contains(
        "Error: \(Self.images.overflowing): loss is nan, top1 is nan, top5 is nan, calibration_error is nan, expected finite"
      ),
      "\(result.errors)")
  }

  @Test func predictionOfAModelThatOverflows() throws {
    var options = PredictSession.Options()
    (options.checkpoint, options.csv) = (Self.images.overflowing, scratch("p.csv"))
    options.files = [TinyRun.data.path + "/val/star/00000.png"]
    let error = message {
      _ = try PredictSession(options, CommandSinks(output: TextBuffer(), errors: TextBuffer())).run()
    }
    #expect(error.hasPrefix("\(Self.images.overflowing): a logit of \(options.files[0]) is not finite"), "\(error)")
    #expect(!FileManager.default.fileExists(atPath: scratch("p.csv")))
  }

  @Test func generationOfAModelThatOverflows() throws {
    let result = try ProgramRunner.run([
      "generate", "--checkpoint", Self.text.overflowing, "--prompt", "red", "--tokens", "8",
    ])
    #expect(result.status == 1)
    #expect(
      result.errors.hasPrefix("Error: step 1 of the generation: the logit of token 0 is nan, expected a finite number"),
      "\(result.errors)")
  }

  /// A choice among NaN would be the first one.
  @Test func questionsToAModelThatOverflows() throws {
    try #"{"context": "red", "choices": ["cat", "dog"], "answer": 0}"#.write(
      toFile: scratch("choices.jsonl"), atomically: true, encoding: .utf8)
    try #"{"text": "red cat sees dog"}"#.write(toFile: scratch("last.jsonl"), atomically: true, encoding: .utf8)
    let output = TextBuffer()
    for (choices, lastWord) in [(scratch("choices.jsonl"), nil), (nil, scratch("last.jsonl"))] {
      var options = EvalSession.Options()
      (options.task, options.checkpoint, options.printsJSON) = ("lm", Self.text.overflowing, true)
      (options.choices, options.lastWord) = (choices, lastWord)
      let error = message { try EvalSession(options, CommandSinks(output: output, errors: TextBuffer())).run() }
      #expect(error.hasPrefix("\(choices ?? lastWord!):1: the log-likelihood of a continuation is nan"), "\(error)")
    }
    #expect(output.text == "")
  }

  @Test func analysisOfAModelThatOverflows() {
    var options = AnalysisSession.Options()
    (options.models, options.data, options.samples) = ([Self.images.overflowing], [TinyRun.data.path], 4)
    options.out = scratch("analysis")
    for kind in AnalysisSession.Kind.allCases where kind != .sharing {
      options.kind = kind
      let error = message {
        try AnalysisSession(options, CommandSinks(output: TextBuffer(), errors: TextBuffer())).run()
      }
      #expect(error.hasPrefix("the loss of the samples is nan"), "\(kind): \(error)")
    }
  }

  /// The logit that is not finite may stand anywhere, and a penalty may make one.
  @Test(arguments: [Float.nan, .infinity, -.infinity], [0, 1, 3]) func samplingFromLogits(bad: Float, place: Int) {
    var logits: [Float] = [1, 3, 2, 0.5]
    logits[place] = bad
    for options in [SamplingOptions(temperature: 0), SamplingOptions(), SamplingOptions(topK: 2, topP: 0.5)] {
      let error = message {
        _ = try TokenSampler(options).next(Tensor(logits, shape: [1, 4]), history: [], position: 6)
      }
      #expect(error.hasPrefix("step 7 of the generation: the logit of token \(place) is \(bad)"), "\(error)")
    }
  }

  @Test func aPenaltyThatOverflows() {
    let sampler = TokenSampler(SamplingOptions(repetitionPenalty: 1e-39))
    let error = message { _ = try sampler.next(Tensor([1, 3], shape: [1, 2]), history: [1], position: 0) }
    #expect(
      error.contains("the logit of token 1 is inf") && error.hasSuffix("--repetition-penalty 1e-39 is too far from 1"))
  }

  // MARK: Weights of others

  /// One number of one array: everything that reads weights names it.
  @Test(arguments: [Float.nan, -.infinity]) func weightsThatAreNotFinite(value: Float) throws {
    let file = scratch("bad.h5")
    try NotFiniteTests.rewrite(Self.images.run + "/step-0000002.h5", to: file) { name, values in
      name == "blocks.1.moe.experts.0003.fc1.weight" ? Array(values.dropLast()) + [value] : values
    }
    let words =
      "\(file): dataset 'model/blocks/1/moe/experts/0003/fc1/weight': element 4095 is \(value), expected finite"
    let uses: [(name: String, run: () throws -> Void)] = [
      ("eval", { try evaluate(file) }),
      ("init-from", { try startFrom(file) }),
      ("convert", { _ = try CheckpointConversion.convert(file, to: scratch("other.safetensors")) }),
      ("convert", { _ = try CheckpointConversion.convert(file, to: scratch("other.h5")) }),
      ("average", { try CheckpointRewriting.average([file, file], to: scratch("mean.h5")) }),
      ("split", { _ = try CheckpointRewriting.reshard(file, parts: 2, to: scratch("split.h5")) }),
    ]
    for (name, run) in uses {
      let error = message(run)
      #expect(error.hasPrefix(words), "\(name): \(error)")
    }
    var lines: [String] = []
    let error = message { try CheckpointInspection.verify([file]) { lines.append($0) } }
    #expect(lines.count == 1 && lines[0].hasPrefix(words) && error.hasPrefix("1 of 1 files cannot be used"), "\(lines)")
    let left = ["other.safetensors", "other.h5", "mean.h5", "split.h5"].filter {
      FileManager.default.fileExists(atPath: scratch($0))
    }
    #expect(left == [])
  }

  private func evaluate(_ file: String) throws {
    var options = EvalSession.Options()
    (options.checkpoint, options.data) = (file, TinyRun.data.path)
    try EvalSession(options, CommandSinks(output: TextBuffer(), errors: TextBuffer())).run()
  }

  private func startFrom(_ file: String) throws {
    var options = TrainSession.Options()
    (options.data, options.initFrom, options.out) = (TinyRun.data.path, [file], scratch("started"))
    options.settings = ["train.steps=1"]
    _ = try TrainSession(options, CommandSinks(output: TextBuffer(), errors: TextBuffer())).run()
  }

  /// A folder of Hugging Face's layout with one NaN: file and tensor are named.
  @Test func importedWeightsThatAreNotFinite() throws {
    let folder = scratch("hub")
    _ = try CheckpointConversion.convert(Self.text.run, to: folder)
    let file = folder + "/model.safetensors"
    let whole = try SafetensorsFile(file)
    let name = try #require(whole.names.first { $0.contains("mlp") && $0.hasSuffix("weight") })
    let tensors = try whole.names.map { tensor in
      var values = try whole.floats(tensor)
      if tensor == name { values[7] = .nan }
      let buffer = UnsafeMutableBufferPointer<Float>.allocate(capacity: values.count)
      _ = buffer.initialize(from: values)
      return SafetensorsTensor(
        name: tensor, shape: try #require(whole.shape(tensor)), values: UnsafeBufferPointer(buffer))
    }
    defer { for tensor in tensors { tensor.values.deallocate() } }
    unlink(file)
    try SafetensorsFile.write(tensors, metadata: [:], to: file)
    let words = "\(file): tensor '\(name)': element 7 is nan, expected finite weights"
    let uses: [(name: String, run: () throws -> Void)] = [
      (
        "generate",
        {
          let hub = try HubModel(folder)
          try hub.fill(GPT(hub.model, seed: nil, engine: engine).parameters)
        }
      ),
      ("convert", { _ = try CheckpointConversion.convert(folder, to: scratch("imported.h5")) }),
      (
        "init-from",
        {
          var options = TrainSession.Options()
          (options.task, options.data, options.initFrom) = ("lm", TinyTextRun.data.path, [folder])
          (options.out, options.settings) = (scratch("started"), ["train.steps=1", "data.batch=2"])
          _ = try TrainSession(options, CommandSinks(output: TextBuffer(), errors: TextBuffer())).run()
        }
      ),
    ]
    for (name, run) in uses {
      let error = message(run)
      #expect(error.hasPrefix(words), "\(name): \(error)")
    }
  }
}
