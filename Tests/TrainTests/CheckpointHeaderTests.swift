import MMoEHDF5
import MMoEModels
import MMoETensor
import TestSupport
import Testing
import TinyRuns

@testable import MMoEConfig
@testable import MMoEReport
@testable import MMoETrain

/// Whole checkpoints that no program of ours made: their names and numbers are refused in one line.
@Suite struct CheckpointHeaderTests {
  private static let good: [(name: String, value: Int)] = [("format_version", 1), ("step", 3), ("best_step", 2)]

  /// A sealed file with these numbers, and further datasets of these names.
  private func refusal(_ numbers: [String: Int] = [:], _ names: [String] = []) throws -> String {
    let scratch = ScratchFolder()
    let writer = try CheckpointWriter(path: scratch("a.h5"))
    for name in ["model/norm/weight"] + names { try writer.writeBytes(name, [1]) }
    for (name, value) in Self.good { try writer.setAttribute(name, numbers[name] ?? value) }
    for (name, value) in [("task", "lm"), ("preset", "gpt-toy"), ("config", "seed: 3\n"), ("backend", "x")] {
      try writer.setAttribute(name, value)
    }
    try writer.setAttribute("best_value", 0.5)
    try writer.finish()
    do {
      let loaded = try LoadedCheckpoint(scratch("a.h5"))
      #expect(loaded.modelArrays().map(\.name).contains("norm.weight"))
      return "taken, step \(loaded.info.step)"
    } catch let error as TrainError {
      #expect(error.description.hasPrefix(scratch("a.h5")) && !error.description.contains("\n"))
      return error.description
    }
  }

  @Test func goodOnesAreTaken() throws {
    #expect(try refusal() == "taken, step 3")
    #expect(try refusal([:], ["attachments/tokenizer/vocab.json", "vocabulary/classes"]) == "taken, step 3")
  }

  @Test(arguments: [
    ("step", Int.max, "attribute step is 9223372036854775807, expected 0 to 1000000000"),
    ("step", -1, "attribute step is -1"), ("step", 1_000_000_001, "attribute step is 1000000001"),
    ("best_step", .min, "attribute best_step is -9223372036854775808"),
    ("format_version", -1, "format_version is -1, expected 1;"),
    ("format_version", 0, "format_version is 0"),
    ("format_version", 2, "format_version is 2, expected 1 or a newer mmoe"),
  ]) func numbers(name: String, value: Int, words: String) throws {
    let found = try refusal([name: value])
    #expect(found.contains(words), "\(found)")
  }

  @Test(arguments: [
    "model/norm.weight", "model/n\u{E9}", "model/ne\u{301}", "optimizer/first/a b", "vocabulary/a\nb", "attachments/.x",
    "attachments/tokenizer/.hidden", "attachments/a/b/c", "attachments/a\u{2028}b", "model/~",
  ]) func names(name: String) throws {
    let found = try refusal([:], [name])
    #expect(found.contains("has a name that no checkpoint has, expected letters, digits, _ and -"), "\(found)")
  }

  /// Training goes up to the last step, and its checkpoint can be read.
  @Test func trainsToTheLastStep() throws {
    let scratch = ScratchFolder()
    try TinyRun(["train.steps=1"]).train(into: scratch("run"))
    let loaded = try LoadedCheckpoint(scratch("run") + "/step-0000001.h5")
    let engine = try Engine(threads: 1)
    let model = try loaded.info.config.model.makeModel(seed: nil, engine: engine)
    try loaded.restore(model)
    let plan = try UpdatePlan(loaded.info.config, model)
    let optimizer = Updater(model.parameters, config: loaded.info.config.optimizer, engine: engine, plan: plan)
    try loaded.restore(optimizer, of: model)
    var info = loaded.info
    info.step = StepLimit.largest - 1
    let late = scratch("run") + "/step-\(info.step).h5"
    try TrainingCheckpoint.save(info, TrainingState(model, optimizer), to: late)
    try TinyRun(["train.steps=\(StepLimit.largest)"]).train(into: scratch("run"), resuming: late)
    let last = try LoadedCheckpoint(scratch("run") + "/step-\(StepLimit.largest).h5")
    #expect(last.info.step == StepLimit.largest)
  }

  /// Products of a step and what a configuration multiplies it by stay within 63 bits.
  @Test func theLastStep() {
    #expect(!StepLimit.largest.multipliedReportingOverflow(by: 65_536 * 65_536).overflow)
    #expect(throws: ConfigError.self) {
      var config = RunConfig()
      try RunConfig.table.apply(yaml: "train:\n  steps: 1000000001\n", file: "a.yaml", to: &config)
    }
  }
}
