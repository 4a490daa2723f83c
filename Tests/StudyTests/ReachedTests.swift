import Foundation
import MMoEData
import MMoEModels
import MMoETensor
import TestSupport
import Testing
import TinyRuns

@testable import MMoEConfig
@testable import MMoEReport
@testable import MMoETrain

/// What is to be trained is trained: a step reaches every parameter that is not frozen, and what no loss reaches is frozen
/// and said.
@Suite struct ReachedTests {
  let scratch = ScratchFolder()
  let engine = try! Engine(threads: 2)

  // MARK: No false alarms

  /// Forms of a model that a step must reach wholly.
  static let forms: [[String]] =
    (["dense"] + MoEVariant.all.map(\.name)).map { ["moe.variant=\($0)"] } + [
      ["moe.router=uniform"], ["moe.variant=dgmoe", "moe.one_gate=true"], ["moe.variant=scmoe", "moe.combine=cg1"],
      ["moe.variant=scmoe2", "moe.combine=cg2", "moe.post_norm=true", "moe.coefficient_input=current"],
      ["moe.variant=scmoe", "moe.shortcut_norm=preceding", "moe.position=1"],
      ["moe.variant=dgmoe", "moe.every=1", "moe.first=1", "moe.bank_layers=2", "model.layers=3"],
      ["moe.identity_experts=2", "moe.capacity_factor=0.5"], ["model.norm=rms", "model.activation=swiglu"],
      ["lora.rank=2", "lora.places=attention,mlp,experts"], ["model.stochastic_depth=0.9", "moe.balance=none"],
    ]

  /// Parameters of a pass that are to be trained and have no gradient, all of them where nothing is frozen.
  private func missed(
    _ config: RunConfig, _ model: any TrainableModel, _ forward: (ForwardPass) throws -> Void
  ) rethrows -> Set<String> {
    let tape = Tape(engine, recording: true)
    try forward(ForwardPass(tape, training: true))
    tape.backward()
    defer { for parameter in model.parameters { parameter.clearGradient() } }
    return Set(model.parameters.filter { !$0.isFrozen && !$0.hasGradient }.map(\.path))
  }

  private func expectWhole(
    _ config: RunConfig, _ model: any TrainableModel, _ forward: (ForwardPass) throws -> Void
  ) throws {
    let unreached = model.unreached(by: config.trainedTasks).flatMap(\.parameters)
    #expect(try missed(config, model, forward) == Set(unreached.map(\.path)))
    let plan = try UpdatePlan(config, model)
    for (parameter, parts) in zip(model.parameters, plan.parts) { parameter.isFrozen = parts.isEmpty }
    #expect(try missed(config, model, forward) == [])
  }

  @Test(arguments: forms) func imagesReachAll(form: [String]) throws {
    for more in [[], ["model.class_token=true"]] {
      let config = try TinyRun(form + more).config
      let model = try VisionTransformer(config.model, seed: 1, engine: engine)
      let images = randomTensor([2, 3, 16, 16], seed: 1)
      try expectWhole(config, model) { _ = $0.tape.crossEntropy(model(images, $0), targets: [0, 1]) }
    }
  }

  @Test(arguments: forms) func textReachesAll(form: [String]) throws {
    for more in [[], ["model.tied_head=false"], ["model.positions=rotary"]] {
      let config = try TinyTextRun(form + more).config
      let model = try GPT(config.model, seed: 1, engine: engine)
      let ids = (0..<32).map { Int32($0) }
      try expectWhole(config, model) { _ = model.loss(ids, targets: ids, sequence: 16, $0) }
    }
  }

  /// Every choice of objectives, for one transformer and for two towers, with heads of their own or tied, with and without
  /// blocks in which captions read images.
  @Test(
    arguments: [
      [], ["model.tied_head=false"], ["moe.task_routing=true", "objective.uncertainty=true"],
      PairLearningTests.towers,
      PairLearningTests.towers + ["fusion.cross_blocks=0", "model.class_token=true", "moe.balance=none"],
      PairLearningTests.towers + ["moe.task_routing=true", "model.pre_norm=true"],
      ["moe.router=uniform", "moe.groups=none"],
    ]) func pairsReachAll(form: [String]) throws
  {
    for chosen in 1..<16 {
      let weights = FusionConfig.Task.allCases.enumerated().map { "objective.\($1)=\(chosen >> $0 & 1)" }
      let (task, config) = try PairLearningTests.task(form + weights, engine: engine)
      try task.startTraining(atMicroBatch: 0)
      let batch = try task.nextMicroBatch(kept: true)
      try expectWhole(config, task.model) { _ = try batch.forward($0, batch.targets) }
    }
  }

  // MARK: Alarms

  /// A task whose model has a parameter that no operation reads.
  final class Forgetful: TrainingTask, TrainableModel {
    let task: ImageClassification
    let extra = Parameter(path: "blocks.0.forgotten.weight", role: .mlp, value: Tensor.zeros([2]), decays: true)
    init(_ task: ImageClassification) { self.task = task }
    var parameters: [Parameter] { task.model.parameters + [extra] }
    var buffers: [(path: String, value: Tensor)] { task.model.buffers }
    func unreached(by tasks: Set<FusionConfig.Task>) -> [UnreachedParameters] { [] }
    func afterStep() {}
    var name: String { task.name }
    var metrics: TaskMetrics { task.metrics }
    var model: any TrainableModel { self }
    var unitsPerStep: Int { task.unitsPerStep }
    var stepsPerEpoch: Int { task.stepsPerEpoch }
    var flopsPerStep: Double { task.flopsPerStep }
    var vocabulary: [String: [String]] { task.vocabulary }
    var waitSeconds: Double { 0 }
    var notes: [String] { [] }
    var targetsVary: Bool { task.targetsVary }
    func startTraining(atMicroBatch index: Int) throws { try task.startTraining(atMicroBatch: index) }
    func nextMicroBatch(kept: Bool) throws -> MicroBatch { try task.nextMicroBatch(kept: kept) }
    func evaluate(progress: ((_ done: Int, _ total: Int) -> Void)?) throws -> Evaluation {
      try task.evaluate(progress: progress)
    }
  }

  @Test func aForgottenParameterIsAnError() throws {
    func train(_ settings: [String]) throws {
      let config = try TinyRun(["train.steps=1"] + settings).config
      let task = Forgetful(try ImageClassification(config, ImageFolder(path: TinyRun.data.path), engine: engine))
      let folder = try RunFolder(creating: scratch("run\(settings.count)"))
      _ = try Trainer(task, preset: "debug", config: config, engine: engine, folder: folder, sink: TextBuffer()).run()
    }
    #expect { try train([]) } throws: {
      "\($0)" == """
        step 1: blocks.0.forgotten.weight is to be trained, but the loss depends on no operation that reads it; freeze it \
        (finetune.freeze=blocks.0.forgotten.weight), or raise the weight of the objective that it serves
        """
    }
    #expect(RunFolder.steps(in: scratch("run0")).isEmpty)
    try train(["finetune.freeze=*.forgotten.*"])
  }

  // MARK: Adapters

  /// With half of an adapter frozen the other half is trained, or the run is refused.
  @Test func halfAnAdapterIsTrained() throws {
    let settings = ["lora.rank=2", "lora.places=attention,mlp,experts", "train.steps=2", "checkpoint.every=2"]
    let run = try TinyRun(settings + ["finetune.freeze=*.lora_a"])
    var parameters: [Parameter] = []
    try run.train(into: scratch("b")) { parameters = $0.parameters }
    let trained = parameters.filter { !$0.isFrozen }
    #expect(trained.allSatisfy { $0.path.hasSuffix(".lora_b") && $0.value.values.contains { $0 != 0 } })
    #expect(trained.count == parameters.count { $0.path.hasSuffix(".lora_b") })
    let norms = try MetricsHistory(file: scratch("b") + "/metrics.jsonl").points("grad_norm").map(\.value)
    #expect(norms.count == 2 && norms.allSatisfy { $0 > 0.01 }, "\(norms)")
    #expect { try TinyRun(settings + ["finetune.freeze=*.lora_b"]).train(into: scratch("a")) } throws: {
      "\($0)".contains("lora_a is to be trained, but its gradient is 0 as long as blocks.0.attention.qkv.lora_b is")
    }
  }

  /// What has no loss is frozen, and the terminal says why.
  @Test func headsWithoutLossAreSaid() throws {
    let (task, config) = try PairLearningTests.task(
      ["objective.contrastive=0", "objective.classification=0", "train.steps=1"], engine: engine)
    let sink = TextBuffer()
    let folder = try RunFolder(creating: scratch("run"))
    let trainer = try Trainer(task, preset: "pairs", config: config, engine: engine, folder: folder, sink: sink)
    let expected = """
      frozen: image_projection.weight, text_projection.weight, logit_scale, since objective.contrastive is 0
      frozen: classifier.weight, classifier.bias, since objective.classification is 0
      """
    #expect(sink.text.contains(expected), "\(sink.text)")
    #expect(try trainer.run().steps == 1)
    #expect(task.model.parameters.filter(\.isFrozen).count == 5)
    #expect {
      try UpdatePlan(
        try PairLearningTests.task(["objective.contrastive=0", "finetune.train_only=*_projection.*"], engine: engine)
          .config, task.model)
    } throws: { "\($0)".contains("nothing is left to train") && "\($0)".contains("objective.contrastive is 0") }
  }
}
