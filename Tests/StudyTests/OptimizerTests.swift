import Foundation
import MMoEHDF5
import MMoEModels
import MMoEParallel
import TestSupport
import Testing
import TinyRuns

@testable import MMoEBench
@testable import MMoEConfig
@testable import MMoEReport
@testable import MMoERuns
@testable import MMoEStudy
@testable import MMoETensor
@testable import MMoETrain

/// Optimizers are values: what holds for each of them, and what is Muon's own. Their arithmetic is compared in `ParityTests`.
@Suite struct OptimizerTests {
  private let scratch = ScratchFolder()
  private let engine = try! Engine(threads: 2)
  /// Those that no other suite trains with.
  static let others = OptimizerKind.allCases.filter { $0 != .standard }.map(\.rawValue)

  private func bytes(_ path: String) throws -> Data { try Data(contentsOf: URL(fileURLWithPath: path)) }

  private func settings(_ text: [String]) throws -> OptimizerConfig {
    var config = RunConfig()
    try RunConfig.table.set(text, in: &config)
    return config.optimizer
  }

  /// A small transformer with experts, with the gradient of one batch.
  private func trained(_ more: [String] = []) throws -> [Parameter] {
    let config = try TinyRun(["moe.variant=top2"] + more).config.model
    let model = try VisionTransformer(config, seed: 1, engine: engine)
    let images = randomTensor([4, 3, config.vision.image, config.vision.image], seed: 5)
    let pass = ForwardPass(Tape(engine, recording: true), training: true)
    _ = pass.tape.crossEntropy(model(images, pass), targets: [0, 1, 2, 3])
    pass.tape.backward()
    return model.parameters
  }

  // MARK: Every optimizer

  /// With fine-tuning factors, frozen experts and adapters: resumed after two steps, the last checkpoint has the same bytes.
  /// AdamW's are looked at in `TrainerTests` and `FineTuneTests`.
  @Test(
    arguments: others,
    [
      TinyRun.everything,
      ["finetune.freeze=blocks.*.moe.experts.0001.*", "finetune.lr_scale=experts=3,head=10", "train.eval_every=2"],
      ["lora.rank=2", "lora.places=attention,mlp,experts", "train.eval_every=2"],
    ])
  func resumesExactly(kind: String, more: [String]) throws {
    let run = try TinyRun(
      more + ["optimizer.kind=\(kind)", "train.steps=4", "checkpoint.every=1", "checkpoint.keep=9"])
    try run.train(into: scratch("whole"))
    try FileManager.default.createDirectory(atPath: scratch("resumed"), withIntermediateDirectories: true)
    for file in ["step-0000002.h5", "metrics.jsonl"] {
      try FileManager.default.copyItem(atPath: scratch("whole/" + file), toPath: scratch("resumed/" + file))
    }
    try run.train(into: scratch("resumed"), resuming: scratch("resumed/step-0000002.h5"))
    #expect(try bytes(scratch("resumed/step-0000004.h5")) == bytes(scratch("whole/step-0000004.h5")))
  }

  /// The same bits for any number of threads, nearly the same losses for any number of micro-batches, and it learns.
  @Test(arguments: others) func threadsAndMicroBatches(kind: String) throws {
    func losses(_ name: String, _ more: [String] = [], threads: Int) throws -> [Double] {
      var run = try TinyRun(
        ["optimizer.kind=\(kind)", "train.steps=8", "data.overfit=1", "moe.balance=none", "schedule.warmup=1"] + more)
      run.threads = threads
      try run.train(into: scratch(name))
      return try TinyRun.losses(scratch(name))
    }
    let one = try losses("1", threads: 1)
    #expect(one[7] < one[0] - 0.005, "\(one)")
    for threads in [2, 5] {
      #expect(try losses("\(threads)", threads: threads) == one)
      #expect(try bytes(scratch("\(threads)/step-0000008.h5")) == bytes(scratch("1/step-0000008.h5")))
    }
    for (found, expected) in zip(try losses("parts", ["train.accumulation=2"], threads: 2), one) {
      #expect(abs(found - expected) < 1e-4, "\(found), \(expected)")
    }
  }

  /// ZeRO: slices at the borders of what moves together cover everything, and the slices' owners make the whole step, bit by
  /// bit, with frozen numbers and factors.
  @Test(arguments: OptimizerKind.allCases, [2, 3]) func slicesMakeTheWholeStep(kind: OptimizerKind, holders: Int) throws
  {
    let config = try settings(["optimizer.kind=\(kind.rawValue)"])
    let optimizer = kind.make(config)
    var finetune = FineTuneConfig()
    (finetune.freeze, finetune.lrScale) = (["blocks.*.moe.experts.0001.*"], ["experts=3"])
    let whole = try trained()
    let plan = try UpdatePlan(finetune, whole, stacks: [2])
    let alone = Updater(whole, config: config, engine: engine, plan: plan)
    for _ in 0..<2 { alone.step(lr: 0.01, gradientNorm: 3) }
    var loads = Array(repeating: 0, count: holders)
    let cut = whole.map { RankTeam.slices(of: $0.count, unit: optimizer.unit(of: $0), loads: &loads) }
    for (parameter, slices) in zip(whole, cut) {
      let (ordered, unit) = (
        slices.sorted { ($0.lowerBound, $0.upperBound) < ($1.lowerBound, $1.upperBound) }, optimizer.unit(of: parameter)
      )
      #expect(ordered.first?.lowerBound == 0 && ordered.last?.upperBound == parameter.count)
      #expect(zip(ordered, ordered.dropFirst()).allSatisfy { $0.upperBound == $1.lowerBound })
      #expect(slices.allSatisfy { $0.lowerBound % unit == 0 && $0.count % unit == 0 }, "\(parameter.path)")
    }
    // Whole matrices go to whom has the least: nobody has all of them.
    if let most = loads.max(), most > 0 { #expect(loads.min()! > most / 4, "\(loads)") }
    for holder in 0..<holders {
      let own = try trained()
      let updater = Updater(own, config: config, engine: engine, plan: plan, slices: cut.map { $0[holder] })
      for _ in 0..<2 { updater.step(lr: 0.01, gradientNorm: 3) }
      for (index, parameter) in own.enumerated() {
        let slice = cut[index][holder]
        #expect(parameter.value.values[slice] == whole[index].value.values[slice], "\(parameter.path)")
        for (kept, all) in zip(updater.state[index], alone.state[index]) {
          #expect(kept.name == all.name && kept.values.values[...] == all.values.values[slice], "\(parameter.path)")
        }
      }
    }
  }

  /// What bounds a parameter, clips and scales rates is around the optimizer: a factor of a rate is one of the step, and
  /// frozen experts and their neighbors' steps stay as they were.
  @Test(arguments: OptimizerKind.allCases) func factorsScaleSteps(kind: OptimizerKind) throws {
    let config = try settings(["optimizer.kind=\(kind.rawValue)", "optimizer.weight_decay=0"])
    func steps(_ finetune: FineTuneConfig) throws -> [String: [Float]] {
      let (before, parameters) = (try trained(), try trained())
      let plan = try UpdatePlan(finetune, parameters, stacks: [2])
      Updater(parameters, config: config, engine: engine, plan: plan).step(lr: 0.01, gradientNorm: 3)
      var found: [String: [Float]] = [:]
      for (old, new) in zip(before, parameters) {
        for piece in CheckpointLayout.pieces(of: new) {
          let range = piece.offset..<piece.offset + piece.count
          found[piece.name] = zip(new.value.values[range], old.value.values[range]).map { $0 - $1 }
        }
      }
      return found
    }
    let plain = try steps(FineTuneConfig())
    var finetune = FineTuneConfig()
    (finetune.freeze, finetune.lrScale) = (["*.experts.0001.*"], ["*.experts.0002.*=2"])
    for (name, found) in try steps(finetune) {
      let factor: Float = name.contains(".0001.") ? 0 : name.contains(".0002.") ? 2 : 1
      let expected = plain[name]!
      let largest = max(expected.map(abs).max()!, 1e-6)
      #expect(
        zip(found, expected).allSatisfy { factor == 1 ? $0 == $1 : abs($0 - factor * $1) < 1e-3 * largest + 1e-7 },
        "\(name)")
      if name.hasSuffix("weight") { #expect(expected.contains { $0 != 0 }, "\(name)") }
    }
  }

  /// Memory and costs are what the optimizer says: arrays of state, and products where it has some.
  @Test(arguments: [("adamw", 2.0), ("sgd", 1.0), ("muon", 1.0)]) func reportsFollowFromTheState(
    kind: String, kept: Double
  )
    throws
  {
    let config = try TinyRun(["optimizer.kind=\(kind)", "moe.variant=top2"]).config
    let model = try config.model.makeModel(seed: nil, engine: engine)
    let all = Double(model.parameters.reduce(0) { $0 + $1.count })
    let updater = Updater(model.parameters, config: config.optimizer, engine: engine)
    let numbers = Double(updater.state(of: model.parameters).reduce(0) { $0 + $1.values.count })
    #expect(try RankMemory(config, RunDivision(), costs: ModelCosts(config.model)).moments == 4 * numbers)
    #expect(kind == "muon" ? numbers > all && numbers < 2 * all : numbers == kept * all)
    let work = try #require(try OperationCosts(config.model, config.optimizer, batch: 2, training: true).work[kind])
    #expect(work.bytes == 4 * (3 * all + 2 * numbers))
    #expect((work.flops > 0) == (kind == "muon"))
    let profile = try #require(
      try StepBenchmark(
        config: config.model, optimizer: config.optimizer, preset: "debug", mode: .train, batch: 2, steps: 1
      ).run(engine: engine, profiled: true).profile)
    #expect(profile.operations.contains { $0.name == kind })
  }

  // MARK: Muon

  /// By role and axes: matrices of attention, MLPs and experts are Muon's, everything else AdamW's.
  @Test func muonTakesMatrices() throws {
    let muon = Muon(OptimizerConfig())
    for settings in [["model.class_token=true"], ["lora.rank=2", "lora.places=attention,mlp,experts"]] {
      let config = try TinyRun(["moe.variant=scmoe", "moe.combine=cg1"] + settings).config.model
      let parameters = try VisionTransformer(config, seed: 1, engine: engine).parameters
      for parameter in parameters {
        let place = [".attention.", ".mlp.", ".moe.shared.", ".moe.experts."].contains { parameter.path.contains($0) }
        let isMatrix = place && (parameter.path.hasSuffix("weight") || parameter.path.contains(".lora_"))
        #expect(muon.state(of: parameter) == (isMatrix ? ["momentum"] : ["first", "second"]), "\(parameter.path)")
        #expect(muon.unit(of: parameter) == (isMatrix ? parameter.shape.suffix(2).reduce(1, *) : 1))
      }
      #expect(Set(parameters.map { muon.state(of: $0)[0] }).count == 2)
    }
    // By hand: two tall experts, five iterations of X Xᵀ, A² and B X.
    let stack = Parameter(
      path: "x", role: .experts, value: Tensor.zeros([2, 8, 3]), experts: ExpertShare(local: 0..<2, of: 2), decays: true
    )
    let products = [3 * 3 * 8, 3 * 3 * 3, 3 * 3 * 8].reduce(0, +)
    #expect(muon.flops(of: stack) == Double(2 * 5 * 2 * products))
  }

  /// Singular values come near 1, and an expert without a gradient, whose direction would be 0 / 0, stays where it is.
  @Test func muonOrthogonalizesEachExpert() throws {
    let muon = Muon(OptimizerConfig())
    let u = randomTensor([3, 6, 10], seed: 4)
    for i in 60..<120 { u.pointer[i] = 0 }
    let o = muon.orthogonalized(u, engine: engine)
    #expect(o.values[60..<120].allSatisfy { $0 == 0 })
    for expert in [0, 2] {
      let rows = (0..<6).map { row in Array(o.values[expert * 60 + row * 10..<expert * 60 + row * 10 + 10]) }
      for (i, a) in rows.enumerated() {
        for (j, b) in rows.enumerated() {
          let product = zip(a, b).reduce(0) { $0 + $1.0 * $1.1 }
          #expect(i == j ? abs(product - 1) < 0.6 : abs(product) < 0.4, "\(expert) \(i) \(j): \(product)")
        }
      }
      // Alone it is the same, bit by bit.
      let alone = Tensor(Array(u.values[expert * 60..<expert * 60 + 60]), shape: [6, 10])
      #expect(muon.orthogonalized(alone, engine: engine).values == Array(o.values[expert * 60..<expert * 60 + 60]))
    }
  }

  /// Momentum in the pool's memory, and the matrices of an iteration where activations stood.
  @Test func muonTakesNoNewStorage() throws {
    let result = try ProgramRunner.run([
      "bench", "train", "--preset", "debug", "--set", "optimizer.kind=muon", "--steps", "5", "--json",
    ])
    #expect(result.output.contains("\"system_allocations_after_step3\":0"), "\(result.output)\(result.errors)")
  }

  // MARK: Choosing one

  /// The key's help and errors come from the registry, and every key that an optimizer says it uses exists.
  @Test func keysFollowFromTheRegistry() throws {
    let entry = try #require(RunConfig.table.entries.first { $0.key == "optimizer.kind" })
    #expect(entry.expected == "adamw, muon or sgd")
    for kind in OptimizerKind.allCases { #expect(entry.summary.contains("\(kind.rawValue) = ")) }
    #expect { try settings(["optimizer.kind=adam"]) } throws: {
      "\($0)".contains("optimizer.kind: expected adamw, muon or sgd, found") && "\($0)".contains("adamw")
    }
    let keys = RunConfig.table.entries.map(\.key).filter { $0.hasPrefix("optimizer.") }
    for key in keys { #expect(OptimizerKind.allCases.contains { $0.uses(key) }, "\(key)") }
    let uses = OptimizerKind.allCases.map { kind in
      keys.filter(kind.uses).map { $0.dropFirst(10) }.joined(separator: " ")
    }
    #expect(
      uses == [
        "kind lr beta1 beta2 epsilon weight_decay clip",
        "kind lr beta1 beta2 epsilon momentum ns_steps weight_decay clip", "kind lr momentum weight_decay clip",
      ])
  }

  /// A key that the optimizer does not use is refused, but not what a preset says for its own optimizer.
  @Test func refusesWhatItDoesNotUse() throws {
    func refusal(_ text: [String], preset: String) throws -> String? {
      var config = RunConfig()
      try RunConfig.table.apply(ProjectHome.presets.preset(preset), to: &config)
      let before = config.optimizer
      try RunConfig.table.set(text, in: &config)
      try config.forgetSettings(of: before)
      do { try config.requireUsed() } catch { return "\(error)" }
      return nil
    }
    #expect(
      try refusal(["optimizer.momentum=0.9"], preset: "debug")
        == "--set: optimizer.momentum is 0.9, but optimizer.kind adamw does not use it; it holds for muon and sgd, leave it out"
    )
    #expect(
      try refusal(["optimizer.kind=sgd", "optimizer.ns_steps=3"], preset: "debug")?.contains("holds for muon,") == true)
    #expect(try refusal(["optimizer.kind=sgd", "optimizer.beta2=0.9"], preset: "gpt-toy")?.contains("is 0.9,") == true)
    // gpt-toy sets beta2 for AdamW.
    for kind in OptimizerKind.allCases {
      #expect(try refusal(["optimizer.kind=\(kind.rawValue)"], preset: "gpt-toy") == nil)
    }
    let plan = try StudyPlan(
      ConfigDocument(
        yaml: "task: lm\npreset: gpt-toy\nvariants:\n  a: {}\n  b:\n    optimizer.kind: sgd\n", file: "s.yaml"))
    #expect(plan.variants.map(\.config.optimizer.beta2) == [0.98, 0.999])
    #expect {
      try StudyPlan(
        ConfigDocument(yaml: "task: lm\npreset: gpt-toy\nvariants:\n  a:\n    optimizer.ns_steps: 3\n", file: "s.yaml"))
    } throws: { "\($0)".contains("s.yaml:5: optimizer.ns_steps is 3, but optimizer.kind adamw does not use it") }
  }

  /// A checkpoint of another optimizer cannot be resumed, but started from.
  @Test func anotherOptimizersCheckpoint() throws {
    try TinyRun(["train.steps=1"]).train(into: scratch("adamw"))
    let file = scratch("adamw/step-0000001.h5")
    let muon = try TinyRun(["train.steps=2", "optimizer.kind=muon"])
    #expect { try muon.train(into: scratch("adamw"), resuming: file) } throws: {
      "\($0)"
        == "\(file): optimizer.kind is adamw, whose state muon cannot go on with; begin a new run with --init-from \(file)"
    }
    func run(_ change: (inout TrainSession.Options) -> Void) throws -> Int32 {
      var options = TrainSession.Options()
      options.data = TinyRun.data.path
      options.settings = ["optimizer.kind=muon", "train.steps=2", "tensor.threads=1"]
      change(&options)
      return try TrainSession(options, CommandSinks(output: TextBuffer(), errors: TextBuffer())).run()
    }
    #expect { try run { $0.resume = scratch("adamw") } } throws: {
      "\($0)" == "optimizer.kind is muon, but adamw in \(file); a resumed run cannot change it, start a new one"
    }
    #expect(try run { ($0.initFrom, $0.out) = ([file], scratch("started")) } == 0)
    let started = try LoadedCheckpoint(scratch("started/step-0000002.h5"))
    #expect(started.info.config.optimizer.kind.rawValue == "muon")
    let names = try CheckpointFile.open(started.file).datasets.map(\.path)
    #expect(names.contains("optimizer/momentum/blocks/1/moe/experts/0003/fc2/weight"))
    #expect(
      names.contains("optimizer/second/head/weight") && !names.contains("optimizer/first/blocks/0/mlp/fc1/weight"))
    // All numbers are trained, each counted once.
    #expect(started.trainedNumbers == started.modelArrays().reduce(0) { $0 + $1.shape.reduce(1, *) })
  }
}
