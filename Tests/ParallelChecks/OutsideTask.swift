import Foundation
import MMoEConfig
import MMoEData
import MMoEFiles
import MMoEModels
import MMoEParallel
import MMoEReport
import MMoERuns
import MMoETensor
import MMoETrain

// A task of one's own, as a program outside registers it: a model of the kind `gpt` learns to count on in steps of 1 to 4. The
// loop, checkpoints, ranks and `mmoe eval`'s session know it by its name alone.

extension TaskKind {
  static let counting = TaskKind(
    name: "counting", summary: "numbers that go on", dataForm: "nothing", model: .gpt, defaultPreset: "gpt-toy",
    metrics: { _ in TaskMetrics(unit: "numbers", best: ("loss", higherIsBetter: false, isShare: false), headlines: [])
    },
    open: { _ in Numbers() }, survey: { path, _ in DataSurvey(path) })
}

struct Numbers: TaskData {
  let path = "numbers"
  let vocabulary = ["numbers": ["modulo 16"]]

  func parts(training: Bool) -> [DatasetSplit: DataPart] {
    [.train: DataPart(digest: "16", counts: [:]), .val: DataPart(digest: "16", counts: [:])]
  }

  func adapt(_ config: inout RunConfig, _ sink: any TextSink) { config.model.text.vocabulary = 16 }

  func makeJob(
    _ config: RunConfig, training: Bool, loadsWeights: Bool, engine: Engine, team: RankTeam?
  ) throws -> any TrainingTask {
    try Counting(config, seed: loadsWeights ? nil : UInt64(config.seed), engine: engine, team: team)
  }
}

final class Counting: TrainingTask {
  let name = TaskKind.counting.name
  let metrics: TaskMetrics
  let vocabulary = Numbers().vocabulary
  let (stepsPerEpoch, unitsPerStep): (Int, Int)
  let flopsPerStep: Double
  let targetsVary = false
  private let (gpt, batch, length): (GPT, Int, Int)
  private let (engine, team): (Engine, RankTeam?)
  private var index = 0

  init(_ config: RunConfig, seed: UInt64?, engine: Engine, team: RankTeam?) throws {
    (self.engine, self.team) = (engine, team)
    metrics = TaskKind.counting.metrics(config.model)
    (batch, length) = (config.data.batch / (team?.world.size ?? 1), config.model.text.context)
    (stepsPerEpoch, unitsPerStep) = (10, config.data.batch * length)
    flopsPerStep = try ModelCosts(config.model).trainingFLOPs * Double(config.data.batch)
    gpt = try GPT(config.model, seed: seed, engine: engine, dispatcher: team?.dispatcher ?? LocalDispatcher())
  }

  var model: any TrainableModel { gpt }

  private func sequences(from first: Int, _ count: Int) -> (ids: [Int32], next: [Int32]) {
    func numbers(_ sample: Int, _ places: Range<Int>) -> [Int32] {
      places.map { Int32((sample * 7 + $0 * (1 + sample % 4)) % 16) }
    }
    let samples = first..<first + count
    return (samples.flatMap { numbers($0, 0..<length) }, samples.flatMap { numbers($0, 1..<length + 1) })
  }

  func startTraining(atMicroBatch index: Int) { self.index = index }

  func nextMicroBatch(kept: Bool) -> MicroBatch {
    let rank = team.map { ($0.world.rank, $0.world.size) } ?? (0, 1)
    let (ids, next) = sequences(from: (index * rank.1 + rank.0) * batch, batch)
    index += 1
    return MicroBatch(
      targets: [Double(next.count)],
      forward: { [gpt, length] pass, divisors in
        [("train_loss", gpt.loss(ids, targets: next, over: divisors[0], sequence: length, pass).mean)]
      },
      route: { [gpt, length] pass in _ = gpt(ids, sequence: length, pass) })
  }

  func evaluate(progress: ((Int, Int) -> Void)?) -> Evaluation {
    let (ids, next) = sequences(from: 100_000, 32)
    let pass = ForwardPass(Tape(engine, recording: false), training: false, coordinator: team)
    return Evaluation(loss: gpt.loss(ids, targets: next, sequence: length, pass).mean, metrics: [], count: next.count)
  }
}

/// Trains it into a folder, or evaluates what is there; alone, or as the ranks that a launcher started.
///
/// - Returns: the validation loss; nil on ranks that have nothing to say.
func runOutsideTask(_ verb: String, _ folder: String) throws -> Double? {
  try TaskKind.register(.counting)
  do {
    try TaskKind.register(.counting)
    throw TrainError("a task was registered twice")
  } catch let error as RegistryError {
    guard error.description.hasPrefix("the task counting is registered already") else { throw error }
  }
  let (said, errors) = (TextBuffer(), TextBuffer())
  if verb == "train" {
    var options = TrainSession.Options()
    (options.task, options.out, options.printsJSON) = ("counting", folder, true)
    options.settings = [
      "model.layers=2", "model.width=32", "model.heads=2", "model.context=16", "data.batch=16", "train.steps=60",
      "schedule.warmup=5", "moe.experts=4", "train.sample_every=0", "train.eval_every=30", "tensor.threads=1",
    ]
    _ = try TrainSession(options, CommandSinks(output: said, errors: errors)).run()
  } else {
    var options = EvalSession.Options()
    (options.checkpoint, options.printsJSON) = (folder, true)
    try EvalSession(options, CommandSinks(output: said, errors: errors)).run()
  }
  guard let line = said.text.split(separator: "\n").last else { return nil }
  return (try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])?["val_loss"] as? Double
}
