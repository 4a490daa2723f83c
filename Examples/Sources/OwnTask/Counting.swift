// A task of one's own: a language model learns to count on in steps of 1 to 4.
import MMoEConfig
import MMoEData
import MMoEModels
import MMoEParallel
import MMoEReport
import MMoETensor
import MMoETrain

struct Numbers: TaskData {
  let path = "numbers"
  let vocabulary = ["numbers": ["modulo 16"]]
  func parts(training: Bool) -> [DatasetSplit: DataPart] {
    let part = DataPart(digest: FileContent.digest(text: "modulo 16"), counts: [:])
    return [.train: part, .val: part]
  }
  func adapt(_ config: inout RunConfig, _ sink: any TextSink) { config.model.text.vocabulary = 16 }
  func makeJob(
    _ config: RunConfig, training: Bool, loadsWeights: Bool, engine: Engine, team: RankTeam?
  ) throws -> any TrainingTask {
    let (dispatcher, seed) = (team?.dispatcher ?? LocalDispatcher(), loadsWeights ? nil : UInt64(config.seed))
    let gpt = try GPT(config.model, seed: seed, engine: engine, dispatcher: dispatcher)
    return Counting(gpt, batch: config.data.batch, flops: try ModelCosts(gpt.config).trainingFLOPs, engine, team)
  }
}

final class Counting: TrainingTask {
  static let shown = TaskMetrics(unit: "rows", best: ("loss", higherIsBetter: false, isShare: false), headlines: [])
  let (name, metrics, vocabulary) = ("counting", Counting.shown, Numbers().vocabulary)
  let (stepsPerEpoch, targetsVary) = (10, false)
  let (unitsPerStep, flopsPerStep): (Int, Double)
  private let gpt: GPT
  private let (engine, team): (Engine, RankTeam?)
  private let (rank, ranks): (Int, Int)
  private var index = 0
  var model: any TrainableModel { gpt }

  init(_ gpt: GPT, batch: Int, flops: Double, _ engine: Engine, _ team: RankTeam?) {
    (self.gpt, unitsPerStep, flopsPerStep) = (gpt, batch, flops * Double(batch))
    (self.engine, self.team, rank, ranks) = (engine, team, team?.world.rank ?? 0, team?.world.size ?? 1)
  }
  private func loss(from first: Int, _ rows: Int, over divisor: Double? = nil, _ pass: ForwardPass) throws -> Double {
    let starts = (first..<first + rows).flatMap { row in (0..<16).map { (row * 7 + $0 * (1 + row % 4), 1 + row % 4) } }
    let (ids, next) = (starts.map { Int32($0.0 % 16) }, starts.map { Int32(($0.0 + $0.1) % 16) })
    return try gpt.loss(of: ids, targets: next, over: divisor, sequence: 16, pass: pass)
  }
  func startTraining(atMicroBatch index: Int) { self.index = index }
  func nextMicroBatch(kept: Bool) -> MicroBatch {
    let (rows, first) = (unitsPerStep / ranks, (index * ranks + rank) * (unitsPerStep / ranks))
    index += 1
    return MicroBatch(
      targets: [Double(rows * 16)],
      forward: { [self] pass, divisors in [("train_loss", try loss(from: first, rows, over: divisors[0], pass))] },
      route: { [self] pass in _ = try loss(from: first, rows, pass) })
  }
  func evaluate(progress: ((Int, Int) -> Void)?) throws -> Evaluation {
    let pass = ForwardPass(Tape(engine, recording: false), training: false, coordinator: team)
    return Evaluation(loss: try loss(from: 100_000, 32, pass), metrics: [], count: 32)
  }
}
