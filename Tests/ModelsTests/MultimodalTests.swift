import MMoETensor
import TestSupport
import Testing

@testable import MMoEModels

/// Images and texts in one transformer: who sees whom, and which experts take whom.
@Suite struct MultimodalTests {
  let engine = try! Engine(threads: 2)

  static func config(variant: String = "top2", groups: String? = "vision:3,language:2,shared:1") -> ModelConfig {
    var config = ModelConfig()
    config.kind = .multimodal
    (config.layers, config.width, config.heads) = (4, 24, 4)
    (config.vision.image, config.vision.patch, config.vision.classes) = (8, 4, 3)
    (config.text.vocabulary, config.text.context, config.fusion.embedding) = (37, 8, 10)
    (config.moe.variant, config.moe.experts, config.moe.groups) = (variant, 6, groups)
    (config.moe.balance, config.initStd) = ("entropy", 0.2)
    return config
  }

  static let images = randomTensor([2, 3, 8, 8], seed: 9)
  static let text: [Int32] = [3, 9, 27, 7]
  static func batch(_ text: [Int32] = MultimodalTests.text, images: Tensor = MultimodalTests.images) -> PackedSequences
  {
    PackedSequences(
      images: images,
      [.init(image: 1, text: text), .init(image: 0), .init(text: [3, 5, 1]), .init(text: text)])
  }

  func pass(recording: Bool = false) -> ForwardPass { ForwardPass(Tape(engine, recording: recording), training: false) }

  private func rows(_ model: MultimodalTransformer, _ batch: PackedSequences) -> [[Float]] {
    let states = model(batch, pass())
    let (values, d) = (states.samples["vision"]!.rows.values, model.config.width)
    return (0..<values.count / d).map { Array(values[$0 * d..<($0 + 1) * d]) }
  }

  private func differing(_ a: [[Float]], _ b: [[Float]]) -> Set<Int> {
    Set(a.indices.filter { row in zip(a[row], b[row]).contains { abs($0 - $1) > 1e-4 } })
  }

  /// Rows: 4 patches and 4 tokens, 4 patches, 3 tokens, 4 tokens. A capacity in evaluation changes nothing of it.
  @Test(arguments: ["dense"] + MoEVariant.all.map(\.name), [0, 0.5])
  func whoSeesWhom(variant: String, capacity: Double) throws {
    var config = MultimodalTests.config(
      variant: variant, groups: variant == "dense" ? nil : "vision:3,language:2,shared:1")
    config.moe.evalCapacityFactor = capacity
    let model = try MultimodalTransformer(config, seed: 3, engine: engine)
    let before = rows(model, MultimodalTests.batch())
    // A token changes itself and what follows in its own sequences: no patch, nothing earlier, no other sequence.
    var text = MultimodalTests.text
    text[2] = 11
    #expect(differing(before, rows(model, MultimodalTests.batch(text))) == [6, 7, 17, 18])
    // A patch changes all patches of its image and the text after it.
    let images = MultimodalTests.images.copy()
    images.pointer[3 * 64 + 63] += 3
    #expect(differing(before, rows(model, MultimodalTests.batch(images: images))) == Set(0...7))
  }

  /// Two towers of different sizes; a class token, a norm before the blocks, the last token for the text.
  static func late(variant: String = "top2", cross: Int = 2) -> ModelConfig {
    var config = MultimodalTests.config(variant: variant, groups: "vision:3,language:3")
    (config.moe.balance, config.layers) = ("first_choice", 2)
    (config.vision.classToken, config.vision.preNorm) = (true, true)
    config.fusion.kind = .late
    (config.fusion.crossBlocks, config.fusion.textPooling) = (cross, .last)
    (config.fusion.textLayers, config.fusion.textWidth, config.fusion.textHeads) = (4, 20, 2)
    return config
  }

  /// Patches never depend on a text, a text depends on its image only through cross-attention, on no other image, and on
  /// no later token.
  @Test(arguments: ["dense", "top2", "scmoe", "dgmoe", "hierarchical"], [0, 2])
  func whoSeesWhomInTowers(variant: String, cross: Int) throws {
    var config = MultimodalTests.late(variant: variant, cross: cross)
    if variant == "dense" { config.moe.groups = nil }
    let model = try MultimodalTransformer(config, seed: 3, engine: engine)
    func rows(_ batch: PackedSequences) -> (images: [[Float]], texts: [[Float]]) {
      let states = model(batch, pass())
      func cut(_ rows: Tensor) -> [[Float]] {
        let (values, d) = (rows.values, rows.columns)
        return (0..<values.count / d).map { Array(values[$0 * d..<($0 + 1) * d]) }
      }
      return (cut(states.samples["vision"]!.rows), cut(states.textRows!))
    }
    let before = rows(MultimodalTests.batch())
    #expect(before.images.count == 10 && before.texts.count == 11)
    var text = MultimodalTests.text
    text[2] = 11
    let other = rows(MultimodalTests.batch(text))
    #expect(other.images == before.images && differing(before.texts, other.texts) == [2, 3, 9, 10])
    // Image 1, whose text is the first sequence.
    let images = MultimodalTests.images.copy()
    images.pointer[3 * 64 + 63] += 3
    let changed = rows(MultimodalTests.batch(images: images))
    #expect(differing(before.images, changed.images) == Set(5..<10))
    #expect(differing(before.texts, changed.texts) == (cross > 0 ? [0, 1, 2, 3] : []))
  }

  /// Pairs and texts alone under every objective.
  ///
  /// - Returns: every route's load.
  private func allObjectives(_ model: MultimodalTransformer, _ tape: Tape) -> [[Int]] {
    let pass = ForwardPass(tape, training: true)
    let states = model(
      PackedSequences(
        images: MultimodalTests.images,
        [.init(image: 0, text: [3, 4]), .init(image: 1, text: [3]), .init(text: [3, 4]), .init(text: [3, 8, 9])]),
      pass)
    _ = model.nextTokenLoss(states, targets: [[4, 3], [-1], [-1, 3], [8, 9, -1]], weight: 0.8, tape)
    let rows = model.pooledRows(states, of: "vision", tape)
    _ = model.contrastiveLoss(
      model.embeddings(rows, of: "vision", tape), model.textEmbeddings(states, of: [2, 3], tape), weight: 0.7, tape)
    _ = tape.crossEntropy(model.classLogits(rows, of: "vision", tape)!, targets: [2, 0])
    return pass.routings.map(\.load)
  }

  /// All gradients of both towers and what joins them.
  @Test(arguments: ["dense", "scmoe"]) func gradientsOfTowers(variant: String) throws {
    var config = MultimodalTests.late(variant: variant)
    if variant == "dense" { config.moe.groups = nil }
    var checks: [GradientCheck]?
    for seed in UInt64(5)...16 where checks == nil {
      let model = try MultimodalTransformer(config, seed: seed, engine: engine)
      // The image reaches the text by more than rounding, and no norm bends within a step.
      for parameter in model.parameters {
        let isTable = ["token_embedding", "position_embedding", "class_token"].contains(parameter.path)
        let factor: Float = isTable ? 20 : parameter.path.contains(".cross.") ? 3 : 1
        for i in 0..<parameter.count { parameter.value.pointer[i] *= factor }
      }
      checks = checkRoutedGradients(engine: engine, parameters: model.parameters) { allObjectives(model, $0) }
    }
    // A bias of queries moves all scores nearly alike: what is left is near rounding.
    for check in try #require(checks) where !"\(check)".contains(".cross.query.bias") {
      #expect(check.error < 5e-2, "\(check)")
    }
  }

  @Test(arguments: ["dense"] + MoEVariant.all.map(\.name), [0, 3])
  func costsCountParametersOfTowers(variant: String, rank: Int) throws {
    var config = MultimodalTests.late(variant: variant)
    if variant == "dense" { config.moe.groups = nil }
    (config.lora.rank, config.lora.places) = (rank, LoRAConfig.Place.allCases)
    let model = try MultimodalTransformer(config, seed: 1, engine: engine)
    #expect(try ModelCosts(config).parameters == model.parameters.reduce(0) { $0 + $1.count })
  }

  /// Keys of cross-attention are made before the text tower, of the image tower's output: ranks may send their gradient
  /// only after the whole text tower.
  @Test func gradientsOfTowersAreCompleteInTime() throws {
    var config = MultimodalTests.late(variant: "scmoe")
    config.fusion.crossBlocks = 1
    let model = try MultimodalTransformer(config, seed: 1, engine: engine)
    let last = config.layers + config.textTower.layers - 1
    let own = ["cross.query.weight", "attention.proj.weight"].map { "blocks.\(last).\($0)" }
    let keys = "blocks.\(last).cross.key_value.weight"
    #expect(Set(own + [keys, "token_embedding"]).isSubset(of: model.parameters.map(\.path)))
    #expect(own.map(config.completingBlock) == [last, last] && config.completingBlock(of: keys) == config.layers - 1)
    #expect(
      config.completingBlock(of: "token_embedding") == -1 && config.completingBlock(of: "blocks.0.norm1.weight") == 0)
  }

  /// Gradients of an image's patches would be written by both of its sequences.
  @Test(arguments: [[0, 0, 1], [0], [0, 1, 2]]) func everyImageStandsInOneSequence(images: [Int]) async {
    await #expect(processExitsWith: .failure) { [images] in
      _ = PackedSequences(
        images: Tensor.zeros([2, 3, 4, 4]), images.map { PackedSequences.Sequence(image: $0, text: [1]) })
    }
  }

  @Test func refusesTowers() {
    let changes: [((inout ModelConfig) -> Void, String)] = [
      ({ $0.fusion.crossBlocks = 5 }, "fusion.cross_blocks is 5, but the text tower has 4"),
      ({ $0.moe.groups = "vision:3,language:2,shared:1" }, "no expert stands in both towers"),
      ({ $0.moe.balance = "entropy" }, "moe.balance is entropy"),
      ({ $0.fusion.textHeads = 3 }, "the text tower of fusion.kind=late: model.heads is 3"),
      ({ $0.moe.groups = "vision:5,language:1" }, "the text tower of fusion.kind=late: moe.variant top2 chooses 2"),
      ({ $0.fusion.kind = .early }, "or fusion.kind=late"),
    ]
    for (change, words) in changes {
      var config = MultimodalTests.late()
      change(&config)
      #expect { try config.validate() } throws: { "\($0)".contains(words) }
    }
  }

  /// With the image and alone: through the cache token by token as in one piece.
  @Test(
    arguments: ["dense"] + MoEVariant.all.map(\.name),
    [(FusionConfig.Kind.early, 0), (.late, 0), (.early, 0.5), (.late, 0.5)])
  func cachedLogitsAgree(variant: String, form: (kind: FusionConfig.Kind, capacity: Double)) throws {
    var config =
      form.kind == .early ? MultimodalTests.config(variant: variant) : MultimodalTests.late(variant: variant)
    config.moe.evalCapacityFactor = form.capacity
    if variant == "dense" { config.moe.groups = nil }
    let model = try MultimodalTransformer(config, seed: 3, engine: engine)
    let cache = model.makeCache()
    let image = Tensor(Array(MultimodalTests.images.values[192...]), shape: [1, 3, 8, 8])
    model.read(image, of: "vision", cache, pass())
    let whole = pass()
    let states = model(PackedSequences(images: image, [.init(image: 0, text: MultimodalTests.text)]), whole)
    for (position, id) in MultimodalTests.text.enumerated() {
      let logits = model.next([id], position: position, cache, pass()).values
      // The loss of each target is log-sum-exp less its logit: differences of logits are compared.
      var target = [Int32](repeating: -1, count: MultimodalTests.text.count)
      target[position] = 5
      let tape = whole.tape
      let five = Double(model.nextTokenLoss(states, targets: [target], weight: 1, tape).mean)
      target[position] = 20
      let twenty = Double(model.nextTokenLoss(states, targets: [target], weight: 1, tape).mean)
      #expect(abs(Double(logits[5] - logits[20]) - (twenty - five)) < 1e-3, "position \(position)")
    }
  }

  /// No token reaches a foreign group, in any variant.
  @Test(arguments: MoEVariant.all.map(\.name)) func tokensStayInTheirGroups(variant: String) throws {
    var config = MultimodalTests.config(variant: variant, groups: "vision:3,language:3,shared:0")
    config.moe.gateNoise = 5
    config.moe.biasRate = 0.5
    let model = try MultimodalTransformer(config, seed: 3, engine: engine)
    for step in 0..<3 {
      let pass = ForwardPass(Tape(engine, recording: false), training: true, seed: 1, step: step)
      _ = model(MultimodalTests.batch(), pass)
      model.afterStep()
      #expect(!pass.routings.isEmpty)
      for routing in pass.routings {
        #expect(
          routing.modalityLoad[0][3...].allSatisfy { $0 == 0 } && routing.modalityLoad[1][..<3].allSatisfy { $0 == 0 })
        #expect(routing.load.reduce(0, +) == routing.modalityLoad.joined().reduce(0, +))
      }
    }
  }

  /// A third modality is a third name: the router is not touched.
  @Test func thirdModality() throws {
    var config = MoEConfig()
    (config.experts, config.groups, config.balance) = (7, "vision:2,language:2,audio:2,shared:1", "entropy")
    let store = ParameterStore(engine: engine, seed: 1, initStd: 0.5)
    let router = try Gate(store, "gate", width: 8, config: config, k: 2)
    let pass = ForwardPass(Tape(engine, recording: false), training: true)
    let modalities = TokenModalities(names: ["vision", "language", "audio"], of: [0, 1, 2, 2, 1, 0, 2, 2])
    _ = router(
      randomTensor([8, 8], seed: 2), exclude: nil, block: 0, route: 0, tags: TokenTags(modalities: modalities), pass)
    pass.finishRouting()
    let load = pass.routings[0].modalityLoad
    #expect(load.map { $0.reduce(0, +) } == [4, 4, 8])
    for (m, own) in [[0, 1, 6], [2, 3, 6], [4, 5, 6]].enumerated() {
      for e in 0..<7 where !own.contains(e) { #expect(load[m][e] == 0) }
    }
  }

  /// Two tokens of one modality over its two experts, one of another with a single one; by hand.
  @Test func balanceByHand() {
    let p = Tensor([0.9, 0.1, 0, 0.3, 0.7, 0, 0, 0, 1], shape: [3, 3])
    let choice = GateChoice(
      experts: [0, 1, 2], gates: Tensor.zeros([3, 1]), probabilities: p, logSumExp: Tensor.zeros([3]), tokens: 3,
      expertCount: 3, k: 1)
    let modalities = TokenModalities(names: ["vision", "language"], of: [0, 0, 1])
    let call = GatedCall(
      choice: choice, logits: p, noisyLogits: p, noise: 0, tags: TokenTags(modalities: modalities),
      allowed: [[true, true, false], [false, false, true]])
    var sums = RoutingSums(DispatchPlan(experts: choice.experts, tokens: 3, k: 1, expertCount: 3), experts: 3)
    sums.modalities = ModalitySums(choice, modalities)
    func loss(_ balance: any BalanceLoss) -> Float {
      balance.add(call, sums, parts: 1, weight: 1, Tape(engine, recording: false))
    }
    // Means 0.6 and 0.4: H = 0.673012; tokens 0.325083 and 0.610864; log 2 = 0.693147.
    #expect(abs(loss(EntropyBalance()) - (0.467974 + 0.693147 - 0.673012)) < 1e-5)
    // 2/3 · 2 (0.5 · 0.6 + 0.5 · 0.4) + 1/3 · 1.
    #expect(abs(loss(AllChoicesBalance()) - 1) < 1e-6)
  }

  /// All gradients of all objectives through the whole model.
  @Test(arguments: ["top2", "scmoe", "dgmoe"], ["entropy", "all_choices"])
  func gradients(variant: String, balance: String) throws {
    var config = MultimodalTests.config(variant: variant)
    (config.moe.balance, config.moe.balanceWeight) = (balance, 0.3)
    var checks: [GradientCheck]?
    for seed in UInt64(5)...16 where checks == nil {
      let model = try MultimodalTransformer(config, seed: seed, engine: engine)
      checks = checkRoutedGradients(engine: engine, parameters: model.parameters) { allObjectives(model, $0) }
    }
    for check in try #require(checks) { #expect(check.error < 3e-2, "\(check)") }
  }

  /// A gate that knows its task sends the same tokens elsewhere, and learns from all of them.
  @Test(arguments: [FusionConfig.Kind.early, .late]) func tasksReachTheGates(kind: FusionConfig.Kind) throws {
    var config = kind == .early ? MultimodalTests.config() : MultimodalTests.late()
    (config.moe.taskRouting, config.fusion.uncertainty, config.moe.balance) = (true, true, "none")
    let model = try MultimodalTransformer(config, seed: 3, engine: engine)
    #expect(try ModelCosts(config).parameters == model.parameters.reduce(0) { $0 + $1.count })
    let tables = model.parameters.filter { $0.path.hasSuffix(".task") }
    #expect(tables.count == (kind == .early ? 2 : 3) && tables.allSatisfy { $0.shape == [4, $0.shape[1]] })
    func loads(_ task: Int32) -> [[Int]] {
      let pass = pass()
      _ = model(PackedSequences(images: nil, [.init(text: [3, 5, 1], task: task), .init(text: [3, 5, 1])]), pass)
      return pass.routings.map(\.load)
    }
    #expect(loads(0) == loads(3), "tables start at zero")
    for table in tables {
      for e in 0..<table.shape[1] { table.value.pointer[3 * table.shape[1] + e] = e % 2 == 0 ? 9 : -9 }
    }
    #expect(loads(0) != loads(3))

    let tape = Tape(engine, recording: true)
    let states = model(
      PackedSequences(
        images: MultimodalTests.images,
        [.init(image: 0, text: [3, 4]), .init(image: 1, task: 2), .init(text: [3, 4], task: 3)]),
      ForwardPass(tape, training: true))
    _ = model.nextTokenLoss(states, targets: [[4, 3], [], [4, 3]], weight: 1, tape)
    _ = tape.crossEntropy(
      model.classLogits(model.pooledRows(states, of: "vision", tape), of: "vision", tape)!, targets: [2, 0])
    tape.uncertaintyTerm(model.logVariances!, weighted: [(0, 0.25), (3, 3)])
    tape.backward()
    #expect(model.logVariances!.gradient.values == [0.75, 0, 0, -2])
    for table in tables {
      let rows = (0..<4).map { row in
        table.gradient.values[row * table.shape[1]..<(row + 1) * table.shape[1]].contains { $0 != 0 }
      }
      // Of late fusion's towers each sees the tasks of its own sequences.
      let isImages = kind == .late && table.path.hasPrefix("blocks.1.")
      #expect(rows == [true, false, isImages || kind == .early, !isImages], "\(table.path)")
    }
  }

  /// The count from the configuration is that of the model.
  @Test(arguments: ["dense"] + MoEVariant.all.map(\.name)) func costsCountParameters(variant: String) throws {
    var config = MultimodalTests.config(variant: variant)
    if variant == "dense" { (config.moe.groups, config.moe.balance) = (nil, "none") }
    let model = try MultimodalTransformer(config, seed: 1, engine: engine)
    #expect(try ModelCosts(config).parameters == model.parameters.reduce(0) { $0 + $1.count })
  }

  /// What cannot be is said in one line that names the field.
  @Test(arguments: [
    ("vision:3,language:2,shared:2", "moe.experts is 6"), ("vision:6,language:0,shared:0", "language 0 experts"),
    ("vision:3,langage:2,shared:1", "langage"), ("vision:3,vision:3", "twice"), ("vision", "'vision'"),
    ("vision:-1,shared:7", "-1"), ("vision:5,language:0,shared:1", "language 1 experts"),
  ])
  func impossibleGroups(groups: String, words: String) {
    let error = #expect(throws: ModelError.self) { try MultimodalTests.config(groups: groups).validate() }
    #expect(error?.description.contains(words) == true, "\(error?.description ?? "")")
  }
}
