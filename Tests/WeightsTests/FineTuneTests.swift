import Foundation
import MMoEData
import MMoEHDF5
import MMoEModels
import MMoETensor
import TestSupport
import Testing
import TinyRuns

@testable import MMoEConfig
@testable import MMoETrain
@testable import MMoEWeights

/// New runs from the weights of others: matching, resizing, upcycling, freezing.
@Suite struct FineTuneTests {
  let scratch = ScratchFolder()
  let engine = try! Engine(threads: 2)

  /// A model's weights in memory.
  struct Weights: WeightSource {
    let path = "weights.h5"
    let files: [String] = []
    let model: ModelConfig
    var classes: [String]?
    var ownTokenizer: (any Tokenizer)?
    let values: [(name: String, shape: [Int], values: [Float])]

    init(
      _ model: any TrainableModel, _ config: ModelConfig, classes: [String]? = nil, tokenizer: (any Tokenizer)? = nil
    ) {
      self.model = config
      self.classes = classes
      ownTokenizer = tokenizer
      values = model.parameters.flatMap { parameter in
        CheckpointLayout.pieces(of: parameter).map { piece in
          (piece.name, piece.shape, Array(parameter.value.values[piece.offset..<piece.offset + piece.count]))
        }
      }
    }

    var arrays: [(name: String, shape: [Int])] { values.map { ($0.name, $0.shape) } }
    func tokenizer() throws -> (any Tokenizer)? { ownTokenizer }
    func floats(_ name: String) throws -> [Float] { values.first { $0.name == name }!.values }
  }

  private func vision(_ settings: [String] = []) throws -> ModelConfig { try TinyRun(settings).config.model }

  private func model(_ config: ModelConfig, seed: UInt64) throws -> VisionTransformer {
    try VisionTransformer(config, seed: seed, engine: engine)
  }

  /// Fills a fresh model of `config` from `source`.
  private func transfer(
    _ source: any WeightSource, to config: ModelConfig, rules: [String] = [], classes: [String]? = nil,
    noise: Double = 0
  ) throws -> (model: VisionTransformer, report: TransferReport) {
    let target = WeightTransfer.Target(model: config, classes: classes, tokenizer: nil)
    let model = try model(config, seed: 99)
    let report = try WeightTransfer(source, rules: TransferRules(rules), target: target, noise: noise, seed: 1)
      .fill(model)
    return (model, report)
  }

  private func value(_ model: any TrainableModel, _ path: String) throws -> [Float] {
    try #require(model.parameters.first { $0.path == path }).value.values
  }

  /// Random images, and what a model says of them.
  private func logits(_ model: VisionTransformer, _ config: ModelConfig) -> [Float] {
    let size = config.vision.image
    let random = CounterRandom(seed: 4, purpose: .test)
    let images = Tensor((0..<2 * 3 * size * size).map { random.normal(UInt64($0)) }, shape: [2, 3, size, size])
    return model(images, ForwardPass(Tape(engine, recording: false), training: false)).values
  }

  private func largest(_ a: [Float], _ b: [Float]) -> Float {
    a.count == b.count ? zip(a, b).reduce(0) { max($0, abs($1.0 - $1.1)) } : .infinity
  }

  // MARK: Patterns and rules

  @Test func patterns() {
    let pattern = PathPattern("blocks.*.moe.experts.*.fc*")
    #expect(pattern.captures(in: "blocks.1.moe.experts.0007.fc1.weight") == ["1", "0007", "1.weight"])
    #expect(pattern.captures(in: "blocks.1.moe.gate.weight") == nil)
    #expect(PathPattern("head.*").matches("head.weight") && !PathPattern("head.*").matches("my.head.weight"))
    #expect(PathPattern("*.a.*.a").captures(in: "x.a.a.a") == ["x", "a"])
    #expect(PathPattern("ab").captures(in: "ab") == [] && PathPattern("ab").captures(in: "abc") == nil)
    #expect(PathPattern("x.*.y*").filled(with: ["1", ".z"]) == "x.1.y.z")
    #expect(PathPattern("ab*ba").captures(in: "aba") == nil)
  }

  @Test func rulesAnswerInOrderAndNameWhatIsWrong() throws {
    try "# comment\n\nblocks.*.mlp.* = blocks.*.moe.shared.*\nhead.* = none\n".write(
      toFile: scratch("rules"), atomically: true, encoding: .utf8)
    let rules = try TransferRules([scratch("rules"), "*=x.*"])
    #expect(rules.answer(for: "blocks.3.mlp.fc1.weight") == .from("blocks.3.moe.shared.fc1.weight"))
    #expect(rules.answer(for: "head.bias") == .fresh && rules.answer(for: "norm.bias") == .from("x.norm.bias"))
    #expect { try TransferRules(["a.* = b.*.*"]) } throws: { "\($0)".contains("2 stars in the source") }
    #expect { try TransferRules(["a = "]) } throws: { "\($0)".contains("TARGET = SOURCE") }
    try "a b\n".write(toFile: scratch("bad"), atomically: true, encoding: .utf8)
    #expect { try TransferRules([scratch("bad")]) } throws: { "\($0)".contains("bad:1: 'a b'") }
    #expect { try TransferRules(["nowhere"]) } throws: { "\($0)".contains("nowhere: no such file") }
  }

  // MARK: Matching and resizing

  @Test func theSameModelIsLoadedWhole() throws {
    let config = try vision()
    let old = try model(config, seed: 1)
    let (new, report) = try transfer(Weights(old, config), to: config)
    #expect(report.count(.loaded) == Weights(old, config).arrays.count && report.count(.missing) == 0)
    #expect(logits(new, config) == logits(old, config))
  }

  @Test func classesKeepTheirRowsByName() throws {
    var config = try vision(["model.classes=3"])
    let old = try model(config, seed: 1)
    let source = Weights(old, config, classes: ["ant", "bee", "cat"])
    config.vision.classes = 4
    let (new, report) = try transfer(source, to: config, classes: ["bee", "dog", "cat", "eel"])
    #expect(report.names(.resized) == ["head.weight", "head.bias"])
    let (before, after, d) = (try value(old, "head.weight"), try value(new, "head.weight"), config.width)
    #expect(Array(after[..<d]) == Array(before[d..<2 * d]))
    #expect(Array(after[2 * d..<3 * d]) == Array(before[2 * d..<3 * d]))
    // As many classes with other names: nothing is kept.
    config.vision.classes = 3
    let (other, none) = try transfer(source, to: config, classes: ["x", "y", "z"])
    #expect(none.names(.missing) == ["head.weight", "head.bias"])
    #expect(try value(other, "head.weight") != before)
  }

  @Test func positionsAreInterpolated() throws {
    // A linear function of row and column stays one inside; the class token's row stays as it is.
    var (small, large) = (VisionConfig(), VisionConfig())
    (small.image, small.patch, small.classToken) = (16, 4, true)
    (large.image, large.patch, large.classToken) = (32, 4, true)
    let plane = (0..<4).flatMap { row in (0..<4).flatMap { [Float(row), Float($0)] } }
    let result = ArrayResizing.grid(
      [7, 8] + plane, from: small, to: large, width: 2, fresh: Array(repeating: 0, count: 65 * 2)
    ).values
    #expect(result.count == 65 * 2 && result[0] == 7 && result[1] == 8)
    // Cell centers: (i + ½) / 2 − ½. Away from the borders, which are repeated.
    for (row, column) in [(3, 3), (4, 3), (3, 4)] {
      let at = 2 + (row * 8 + column) * 2
      #expect(abs(result[at] - (Float(row) + 0.5) / 2 + 0.5) < 1e-5)
      #expect(abs(result[at + 1] - (Float(column) + 0.5) / 2 + 0.5) < 1e-5)
    }
    let line = ArrayResizing.positions([0, 1, 2, 3, 4, 5], from: 6, to: 3, width: 1)
    #expect(line.values == [0, 1, 2])
    let longer = ArrayResizing.positions([0, 1, 2, 3, 4, 5], from: 6, to: 12, width: 1).values
    #expect(longer.count == 12 && abs(longer[6] - 2.75) < 1e-5)
  }

  @Test func aLargerImageKeepsTheRest() throws {
    var config = try vision()
    let old = try model(config, seed: 1)
    let source = Weights(old, config)
    config.vision.image *= 2
    let (_, report) = try transfer(source, to: config)
    #expect(report.names(.resized) == ["position_embedding"] && report.count(.missing) == 0)
    #expect(report.lines().contains { $0.contains("positions interpolated to") })
  }

  @Test func tokensKeepTheirRowsByBytes() throws {
    let text = Array("the cat sees the dog the cat the dog the the".utf8)
    var trainer = BytePairTrainer(text)
    let (old, new) = (ByteTokenizer(), try trainer.train(vocabularySize: 262))
    let values = (0..<256 * 2).map { Float($0) }
    let result = try ArrayResizing.tokens(
      values, rows: 256, from: old, to: new, fresh: Array(repeating: -1, count: new.vocabularySize * 2), width: 2
    ).values
    for id in 0..<new.vocabularySize {
      let bytes = try new.bytes(of: Int32(id))
      let mean = bytes.reduce(Float(0)) { $0 + Float(2 * Int($1)) } / Float(max(bytes.count, 1))
      #expect(abs(result[2 * id] - mean) < 1e-3, "\(bytes)")
    }
  }

  @Test func whatDoesNotFitIsNamed() throws {
    let config = try vision()
    let source = Weights(try model(config, seed: 1), config)
    var wide = config
    wide.width *= 2
    #expect { try transfer(source, to: wide) } throws: {
      "\($0)".contains("none of its arrays fits") && "\($0)".contains("patch_embedding.weight")
    }
    let text = try TinyTextRun().config.model
    let words = Weights(try GPT(text, seed: 1, engine: engine), text)
    #expect { try transfer(words, to: config) } throws: {
      "\($0)".contains("model of kind gpt, expected vit") && "\($0)".contains("--map")
    }
  }

  /// The experts of a language model in a vision model, by rules.
  @Test func rulesMoveExpertsBetweenKinds() throws {
    let config = try vision(["model.width=32", "model.heads=2", "moe.experts=4"])
    let text = try TinyTextRun(["moe.variant=top2", "moe.experts=4"]).config.model
    let words = Weights(try GPT(text, seed: 1, engine: engine), text)
    let (new, report) = try transfer(words, to: config, rules: ["blocks.*.moe.experts.* = blocks.*.moe.experts.*"])
    #expect(report.count(.loaded) == 16 && report.count(.copied) == 0)
    #expect(
      try value(new, "blocks.1.moe.experts.fc1.weight").prefix(8)
        == words.floats("blocks.1.moe.experts.0000.fc1.weight").prefix(8))
  }

  // MARK: Two models in one

  /// A vision and a language model as towers, and as groups of experts in one stack.
  @Test func towersAndGroups() throws {
    let vision = try self.vision(["moe.variant=top1", "moe.experts=2", "model.layers=2"])
    let text = try TinyTextRun([
      "moe.variant=top1", "moe.experts=3", "model.layers=2", "model.width=\(vision.width)",
      "model.heads=\(vision.heads)",
    ]).config.model
    let images = Weights(try model(vision, seed: 1), vision, classes: (0..<vision.vision.classes).map { "c\($0)" })
    let words = Weights(try GPT(text, seed: 2, engine: engine), text)
    var both = vision
    (both.kind, both.text, both.moe.experts, both.moe.groups) = (.multimodal, text.text, 6, "language:4,vision:2")
    func fill(_ kind: FusionConfig.Kind) throws -> (MultimodalTransformer, TransferReport) {
      both.fusion.kind = kind
      let towers = try TowerWeights([
        .init(modality: VisionModality(), source: images), .init(modality: LanguageModality(), source: words),
      ])
      try towers.fit(both)
      let target = WeightTransfer.Target(model: both, classes: images.classes, tokenizer: nil)
      let new = try MultimodalTransformer(both, seed: 99, engine: engine)
      return (
        new,
        try WeightTransfer(towers, rules: TransferRules([]), target: target, noise: 0, seed: 1).fill(new)
      )
    }
    func expert(_ model: MultimodalTransformer, _ block: Int, _ e: Int) throws -> [Float] {
      let all = try value(model, "blocks.\(block).moe.experts.fc1.weight")
      let share = try #require(model.parameters.first { $0.path == "blocks.\(block).moe.experts.fc1.weight" })
      let size = share.count / share.shape[0]
      return Array(all[e * size..<(e + 1) * size])
    }
    let (late, report) = try fill(.late)
    #expect(try value(late, "blocks.0.attention.qkv.weight") == images.floats("blocks.0.attention.qkv.weight"))
    #expect(try value(late, "blocks.2.attention.qkv.weight") == words.floats("blocks.0.attention.qkv.weight"))
    #expect(try value(late, "image_norm.bias") == images.floats("norm.bias"))
    #expect(try value(late, "text_norm.weight") == words.floats("norm.weight"))
    #expect(try value(late, "classifier.weight") == images.floats("head.weight"))
    #expect(try value(late, "patch_positions") == images.floats("position_embedding"))
    #expect(try expert(late, 3, 3) == words.floats("blocks.1.moe.experts.0000.fc1.weight"), "3 modulo 3")
    #expect(try expert(late, 1, 1) == images.floats("blocks.1.moe.experts.0001.fc1.weight"))
    #expect(
      report.names(.missing).contains { $0.contains(".cross.") } && report.names(.missing).contains("logit_scale"))

    let (early, mixed) = try fill(.early)
    let skipped = mixed.names(.skipped)
    #expect(skipped.filter { !$0.hasPrefix("language:") } == ["vision:blocks.1.moe.gate.weight"], "\(skipped)")
    #expect(skipped.contains("language:blocks.0.attention.qkv.weight"))
    #expect(try value(early, "blocks.0.attention.qkv.weight") == images.floats("blocks.0.attention.qkv.weight"))
    #expect(try value(early, "token_embedding") == words.floats("token_embedding"))
    #expect(try expert(early, 1, 0) == words.floats("blocks.1.moe.experts.0000.fc1.weight"))
    #expect(try expert(early, 1, 5) == images.floats("blocks.1.moe.experts.0001.fc1.weight"))

    #expect { try TowerWeights([.init(modality: VisionModality(), source: words)]) } throws: {
      "\($0)".contains("--init-from vision=weights.h5: a model of kind gpt, expected vit")
    }
    for (paths, message) in [
      (["a", "b"], "--init-from is given 2 times"),
      (["vision=a", "b"], "expected each of vision=PATH and language=PATH once"),
      (["vision=a", "vision=b"], "expected each of"),
    ] {
      #expect { try InitialWeights(paths) } throws: { "\($0)".contains(message) }
    }
  }

  // MARK: Adapters

  /// Adapters on every place of a trained model: the weights keep their bits, resuming gives the same bits, and the merged
  /// checkpoint computes what the adapted one does.
  @Test func adaptersTrainBesideTheWeights() throws {
    let places = ["moe.variant=scmoe", "train.steps=12", "checkpoint.every=6"]
    let base = try TinyRun(places)
    try base.train(into: scratch("base"))
    let weights = CheckpointWeights(checkpoint: try LoadedCheckpoint(scratch("base") + "/step-0000012.h5"))

    let run = try TinyRun(
      places + [
        "lora.rank=3", "lora.places=attention,mlp,experts", "optimizer.lr=0.01", "schedule.kind=constant",
        "finetune.train_only=head",
      ])
    let fill: (any TrainableModel) -> Void = { model in
      let target = WeightTransfer.Target(model: run.config.model, classes: nil, tokenizer: nil)
      _ = try! WeightTransfer(weights, rules: TransferRules([]), target: target, noise: 0, seed: 0).fill(model)
    }
    try run.train(into: scratch("lora"), change: fill)
    let file = scratch("lora") + "/step-0000012.h5"
    let adapted = try LoadedCheckpoint(file)
    for (name, _) in weights.arrays where !name.hasPrefix("head.") {
      #expect(try adapted.modelArray(name) == weights.floats(name), "\(name) keeps its value")
    }
    let (plain, whole) = (base.config.model, run.config.model)
    let costs = (try ModelCosts(plain), try ModelCosts(whole))
    let model = try self.model(whole, seed: 1)
    #expect(costs.1.parameters == model.parameters.reduce(0) { $0 + $1.count })
    #expect(costs.0.parameters < costs.1.parameters && costs.0.trainingFLOPs < costs.1.trainingFLOPs)
    #expect(try adapted.modelArray("blocks.1.moe.experts.0002.fc2.lora_b").contains { $0 != 0 })
    // Only adapters and head have moments.
    let trained = adapted.modelArrays().filter { $0.name.contains(".lora_") || $0.name.hasPrefix("head.") }
    #expect(adapted.trainedNumbers == trained.reduce(0) { $0 + $1.shape.reduce(1, *) })

    let half = try TinyRun.losses(scratch("lora"))
    try run.train(into: scratch("half"), change: fill)
    unlink(scratch("half") + "/step-0000012.h5")
    try run.train(into: scratch("half"), resuming: scratch("half") + "/step-0000006.h5")
    #expect(try TinyRun.losses(scratch("half")) == half)

    func loss(_ file: String) throws -> Double {
      let checkpoint = try LoadedCheckpoint(file)
      let task = try ImageClassification(
        checkpoint.info.config, ImageFolder(path: TinyRun.data.path), training: false, engine: engine)
      try checkpoint.restore(task.model)
      return try task.evaluate(progress: nil).loss
    }
    #expect(try CheckpointRewriting.mergeAdapters(file, to: scratch("merged.h5")) == 10)
    let merged = try LoadedCheckpoint(scratch("merged.h5"))
    #expect(merged.modelArrays().map(\.name) == weights.arrays.map(\.name))
    #expect(abs(try loss(file) - loss(scratch("merged.h5"))) < 1e-5)
    #expect(try abs(loss(file) - loss(weights.path)) > 1e-3)

    #expect { try CheckpointRewriting.mergeAdapters(weights.path, to: scratch("x.h5")) } throws: {
      "\($0)".contains("lora.rank is 0, expected adapters to merge")
    }
    #expect { try transfer(CheckpointWeights(checkpoint: adapted), to: plain) } throws: {
      "\($0)".contains("lora.rank 3, which this run (lora.rank 0) would lose")
    }
  }

  /// A shared expert is the mean of whole experts, not of their weights, A and B apart; experts without adapters do not take
  /// a weight that has one.
  @Test(
    arguments: [
      ("top2", "scmoe", "mlp,experts", "blocks.1.moe.shared.fc1.weight is made from the mean of 4 arrays such as "),
      ("top2", "top2", "mlp,experts", nil), ("dense", "top2", "mlp,experts", nil),
      ("dense", "top2", "mlp", "blocks.1.moe.experts.0000.fc1.weight is made from blocks.1.mlp.fc1.weight"),
    ] as [(String, String, String, String?)])
  func noAdapterIsLost(from: String, to: String, places: String, error: String?) throws {
    var config = try vision(["moe.variant=\(from)", "lora.rank=2", "lora.places=\(places)"])
    let source = Weights(try model(config, seed: 1), config)
    config.moe.variant = to
    guard let error else {
      #expect(throws: Never.self) { try transfer(source, to: config) }
      return
    }
    #expect { try transfer(source, to: config) } throws: {
      "\($0)".contains(error) && "\($0)".contains("merge them first")
    }
  }

  // MARK: Upcycling

  /// Where the weights of the chosen experts sum to one, a mixture of copies is the dense model.
  @Test(arguments: ["top1", "top2", "top4"]) func upcycledModelIsTheDenseOne(variant: String) throws {
    var config = try vision(["moe.variant=dense", "model.layers=4"])
    let old = try model(config, seed: 1)
    let source = Weights(old, config)
    config.moe.variant = variant
    config.moe.experts = 4
    let (new, report) = try transfer(source, to: config)
    #expect(report.names(.missing) == ["blocks.1.moe.gate.weight", "blocks.3.moe.gate.weight"])
    let difference = largest(logits(new, config), logits(old, config))
    // One expert's probability is below one.
    #expect(variant == "top1" ? difference > 1e-3 : difference < 1e-5)
    // With noise they differ, all of them.
    let (noisy, _) = try transfer(source, to: config, noise: 0.1)
    let experts = try value(noisy, "blocks.1.moe.experts.fc1.weight")
    let size = experts.count / 4
    #expect(Set((0..<4).map { experts[$0 * size] }).count == 4)
    let spread = zip(experts, try value(new, "blocks.1.moe.experts.fc1.weight")).map { Double($0 - $1) }
    let base = try value(new, "blocks.1.moe.experts.fc1.weight").map(Double.init)
    func length(_ x: [Double]) -> Double { x.reduce(0) { $0 + $1 * $1 }.squareRoot() }
    #expect(abs(length(spread) / length(base) - 0.1) < 0.01)
  }

  /// Twice the experts and twice the choices: every copy has half its original's weight.
  @Test func doubledExpertsAreTheSameModel() throws {
    var config = try vision(["moe.variant=top2", "moe.experts=4"])
    let old = try model(config, seed: 1)
    let source = Weights(old, config)
    (config.moe.variant, config.moe.experts) = ("top4", 8)
    let (new, report) = try transfer(source, to: config)
    #expect(report.names(.resized) == ["blocks.1.moe.gate.weight"])
    #expect(largest(logits(new, config), logits(old, config)) < 1e-5)
    // And halved again, from the doubled ones.
    (config.moe.variant, config.moe.experts) = ("top2", 4)
    let doubled = Weights(new, try vision(["moe.variant=top4", "moe.experts=8"]))
    let (halved, _) = try transfer(doubled, to: config)
    #expect(largest(logits(halved, config), logits(old, config)) < 1e-5)
  }

  @Test func variantsTurnIntoEachOther() throws {
    var config = try vision(["moe.variant=top2", "moe.experts=4"])
    let source = Weights(try model(config, seed: 1), config)
    config.moe.variant = "scmoe"
    let (shortcut, report) = try transfer(source, to: config)
    #expect(report.count(.missing) == 0)
    let shared = try value(shortcut, "blocks.1.moe.shared.fc2.weight")
    let experts = try (0..<4).map { try source.floats("blocks.1.moe.experts.000\($0).fc2.weight") }
    for i in stride(from: 0, to: shared.count, by: 97) {
      #expect(abs(shared[i] - experts.reduce(0) { $0 + $1[i] } / 4) < 1e-6)
    }
    config.moe.variant = "dgmoe"
    let (double, _) = try transfer(source, to: config)
    #expect(try value(double, "blocks.1.moe.gate2.weight") == value(double, "blocks.1.moe.gate.weight"))
    // Back to dense: the shared expert.
    config.moe.variant = "dense"
    let (dense, _) = try transfer(
      Weights(shortcut, try vision(["moe.variant=scmoe", "moe.experts=4"])), to: config)
    #expect(try value(dense, "blocks.1.mlp.fc2.weight") == shared)
  }

  // MARK: Freezing and rates

  @Test(arguments: [
    ["finetune.freeze=blocks.*.attention.*,experts"], ["finetune.train_only=head"], ["finetune.train_only=experts"],
    ["finetune.train_only=router", "moe.bias_rate=0.01"],
    ["finetune.freeze=blocks.*.moe.experts.0001.*", "finetune.lr_scale=head=10"],
  ])
  func frozenParametersStayAndResumeExactly(settings: [String]) throws {
    let more = ["train.steps=4", "checkpoint.every=1", "checkpoint.keep=9", "train.eval_every=2"]
    let run = try TinyRun(more + settings)
    var parameters: [Parameter] = []
    try run.train(into: scratch("whole")) { parameters = $0.parameters }
    let untrained = try VisionTransformer(run.config.model, seed: UInt64(run.config.seed), engine: engine)
    let plan = try UpdatePlan(run.config.finetune, parameters, stacks: run.config.model.stacks)
    for ((parameter, fresh), parts) in zip(zip(parameters, untrained.parameters), plan.parts) {
      for piece in CheckpointLayout.pieces(of: parameter) {
        let isTrained = parts.contains { $0.range.contains(piece.offset) }
        let range = piece.offset..<piece.offset + piece.count
        // The bias of K has no gradient but rounding noise, which Adam may leave at zero.
        let hasMoved = parameter.value.values[range] != fresh.value.values[range]
        #expect(hasMoved == isTrained, "\(piece.name)")
      }
      #expect(parameter.isFrozen == parts.isEmpty && (parameter.hasGradient || parts.isEmpty), "\(parameter.path)")
      #expect(!(parameter.isFrozen && parameter.hasGradient))
    }
    let names = try CheckpointFile.open(scratch("whole") + "/step-0000004.h5").datasets.map(\.path)
    let moments = names.filter { $0.hasPrefix("optimizer/first/") }.count
    #expect(moments < names.filter { $0.hasPrefix("model/") }.count || settings[0].contains("0001"))
    // Resumed after two steps: the same bytes.
    try FileManager.default.createDirectory(atPath: scratch("resumed"), withIntermediateDirectories: true)
    for file in ["step-0000002.h5", "metrics.jsonl"] {
      try FileManager.default.copyItem(atPath: scratch("whole") + "/" + file, toPath: scratch("resumed") + "/" + file)
    }
    try run.train(into: scratch("resumed"), resuming: scratch("resumed") + "/step-0000002.h5")
    #expect(try bytes(scratch("resumed") + "/step-0000004.h5") == bytes(scratch("whole") + "/step-0000004.h5"))
  }

  /// Skipping what is frozen changes no bit of what is trained.
  @Test func skippingChangesNoGradient() throws {
    let config = try vision(["moe.variant=scmoe"])
    func gradients(skipping: Bool) throws -> [[Float]] {
      let model = try model(config, seed: 1)
      for parameter in model.parameters where !parameter.path.hasPrefix("blocks.1.moe.gate") {
        parameter.isFrozen = !parameter.path.hasPrefix("head")
      }
      let images = Tensor(repeating: 0.3, shape: [2, 3, config.vision.image, config.vision.image])
      let tape = Tape(engine, recording: true, skipsFrozen: skipping)
      let pass = ForwardPass(tape, training: true)
      _ = tape.crossEntropy(model(images, pass), targets: [0, 1])
      tape.backward()
      #expect(model.parameters.allSatisfy { $0.hasGradient != $0.isFrozen })
      return model.parameters.filter { !$0.isFrozen }.map(\.gradient.values)
    }
    #expect(try gradients(skipping: true) == gradients(skipping: false))
  }

  @Test func ratesFollowLayersAndPatterns() throws {
    let config = try vision(["model.layers=2"])
    let parameters = try model(config, seed: 1).parameters
    var tuning = FineTuneConfig()
    (tuning.layerDecay, tuning.lrScale) = (0.5, ["head=10", "experts=0"])
    let plan = try UpdatePlan(tuning, parameters, stacks: [2])
    func factor(_ path: String) throws -> Double {
      let index = try #require(parameters.firstIndex { $0.path == path })
      return try #require(plan.parts[index].first).factor
    }
    #expect(try factor("position_embedding") == 0.125 && factor("blocks.0.norm1.weight") == 0.25)
    #expect(try factor("blocks.1.attention.qkv.weight") == 0.5 && factor("norm.weight") == 1)
    #expect(try factor("head.weight") == 10 && factor("blocks.1.moe.experts.fc1.weight") == 0)
    // A second tower counts from its own beginning.
    let towers = [("blocks.2.norm1.weight", 0.25), ("blocks.4.norm1.weight", 1), ("patch_positions", 0.125)].map {
      let role: ParameterRole = $0.0 == "patch_positions" ? .embeddings : .norms
      return (Parameter(path: $0.0, role: role, value: Tensor.zeros([1]), decays: false), $0.1)
    }
    (tuning.lrScale, tuning.layerDecay) = ([], 0.5)
    let both = try UpdatePlan(tuning, towers.map(\.0), stacks: [2, 3])
    #expect(both.parts.map { $0[0].factor } == [0.125, 0.5, 0.125])
    tuning.lrScale = ["heat=10"]
    #expect { try UpdatePlan(tuning, parameters, stacks: [2]) } throws: {
      "\($0)".contains("'heat' matches no parameter")
    }
    tuning.lrScale = ["head"]
    #expect { try UpdatePlan(tuning, parameters, stacks: [2]) } throws: { "\($0)".contains("expected place=factor") }
    (tuning.lrScale, tuning.freeze) = ([], ["*"])
    #expect { try UpdatePlan(tuning, parameters, stacks: [2]) } throws: { "\($0)".contains("nothing is left to train") }
  }

  /// What the optimizer keeps is exchanged and saved array by array: a rank must not lack one that another has.
  @Test func ranksTrainTheSameArrays() throws {
    let experts = ExpertShare(local: 0..<2, of: 4)
    let bank = Parameter(
      path: "blocks.1.moe.experts.fc1.weight", role: .experts, value: Tensor.zeros([2, 2, 2]), experts: experts,
      decays: true)
    func plan(_ places: [String]) throws -> UpdatePlan {
      var config = FineTuneConfig()
      config.freeze = places
      return try UpdatePlan(config, [bank], stacks: [2])
    }
    #expect(try plan(["blocks.*.moe.experts.0001.*", "blocks.*.moe.experts.0002.*"]).trained == 4)
    let error = #expect(throws: TrainError.self) {
      try plan(["blocks.*.moe.experts.0002.*", "blocks.*.moe.experts.0003.*"])
    }
    #expect(error?.description.contains("expected some trained on each rank, or none") == true)
  }
}
