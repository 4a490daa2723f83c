import MMoEConfig
import MMoEModels
import MMoEParallel
import MMoEReport
import MMoETensor
import TestSupport
import Testing

@testable import MMoETrain

/// What programs outside of the package can do wrong in training is an error of one line.
@Suite struct OutsideTrainTests {
  private let engine = try! Engine(threads: 1)

  private func expectError(_ words: String, _ body: () throws -> Void, line: Int = #line) {
    do {
      try body()
      Issue.record("no error where '\(words)' was expected, line \(line)")
    } catch {
      let text = "\(error)"
      #expect(text.contains(words) && !text.contains("\n"), "line \(line): \(text)")
    }
  }

  private func config() -> ModelConfig {
    var config = ModelConfig()
    config.kind = .gpt
    (config.layers, config.width, config.heads) = (2, 8, 2)
    (config.text.vocabulary, config.text.context, config.moe.experts) = (10, 4, 4)
    return config
  }

  /// An optimizer's arrays belong to the parameters that it was made with.
  @Test func optimizersOfOthers() throws {
    let scratch = ScratchFolder()
    let models = try (0..<2).map { _ in try GPT(config(), seed: 1, engine: engine) }
    let own = Updater(models[0].parameters, config: OptimizerConfig(), engine: engine)
    let words = "the optimizer is made with"
    for other in [
      Updater(models[1].parameters, config: OptimizerConfig(), engine: engine),
      Updater(Array(models[0].parameters.dropLast()), config: OptimizerConfig(), engine: engine),
      Updater(models[0].parameters.reversed(), config: OptimizerConfig(), engine: engine),
    ] {
      expectError(words) { try TrainingCheckpoint.save(models[0], other, name: "own", to: scratch("none.h5")) }
    }
    try TrainingCheckpoint.save(models[0], own, name: "own", to: scratch("own.h5"))
    let checkpoint = try LoadedCheckpoint(scratch("own.h5"))
    try checkpoint.restore(models[1])
    expectError(words) { try checkpoint.restore(own, of: models[1]) }
    try checkpoint.restore(own, of: models[0])
  }

  /// A task without an epoch.
  private final class Endless: TrainingTask {
    let (name, vocabulary, targetsVary, flopsPerStep) = ("endless", [String: [String]](), false, 0.0)
    let metrics = TaskMetrics(unit: "numbers", best: ("loss", higherIsBetter: false, isShare: false), headlines: [])
    let (stepsPerEpoch, unitsPerStep): (Int, Int)
    let model: any TrainableModel
    init(_ model: any TrainableModel, _ epoch: Int, _ units: Int) {
      (self.model, stepsPerEpoch, unitsPerStep) = (model, epoch, units)
    }
    func startTraining(atMicroBatch index: Int) {}
    func nextMicroBatch(kept: Bool) -> MicroBatch { MicroBatch(targets: [], forward: { _, _ in [] }, route: { _ in }) }
    func evaluate(progress: ((Int, Int) -> Void)?) -> Evaluation { Evaluation(loss: 0, metrics: [], count: 0) }
  }

  @Test func tasksWithoutAnEpoch() throws {
    var run = RunConfig()
    run.model = config()
    let model = try GPT(run.model, seed: 1, engine: engine)
    for (epoch, units, words) in [(0, 1, "the steps of an epoch"), (1, 0, "the units of a step")] {
      expectError("\(words) of the task endless is 0, expected at least 1") {
        _ = try Trainer(
          Endless(model, epoch, units), preset: "own", config: run, engine: engine, folder: nil, sink: DiscardedText())
      }
    }
  }

  @Test func ranks() throws {
    let world = Communicator.single()
    func team(_ change: (inout ParallelOptions, inout ModelConfig) -> Void) throws {
      var (options, model) = (ParallelOptions(), config())
      change(&options, &model)
      _ = try RankTeam(world, options, model: model, engine: engine)
    }
    try team { _, _ in }
    for overlap in [OverlapStrategy.pipelined(0), .pipelined(1), .shortcutPipelined(-2), .pipelined(65)] {
      expectError("the overlap of ranks is \(overlap), expected sequential") {
        try team { options, _ in options.overlap = overlap }
      }
    }
    expectError("parallel.expert is -1, expected 0 or more") { try team { options, _ in options.expert = -1 } }
    expectError("moe.experts") { try team { _, model in model.moe.experts = 0 } }
    expectError("moe.variant is 'best'") { try team { _, model in model.moe.variant = "best" } }
    expectError("the number of ranks is 0") {
      _ = try RankLauncher.launch(ranks: 0, arguments: [], environment: [:]) { _ in }
    }
  }
}
