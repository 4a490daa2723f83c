import MMoEFiles
import MMoEModels
import MMoETensor
import TestSupport
import Testing

/// What programs outside of the package can do wrong is an error of one line. What they do right is in Examples/, which
/// `scripts/examples` runs: a registration here would add to the tables that other tests go through.
@Suite struct OutsideTests {
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

  private final class TakenRouter: Router {
    static let name = "softmax"
    static let settings: Set<RouterSetting> = []
    init(_ store: ParameterStore, _ path: String, _ config: MoEConfig, k: Int) {}
    func choose(_ input: RouterInput, _ tape: Tape) throws -> RouterDecision {
      RouterDecision(try tape.checked.gate(input.logits, k: 1, renormalize: false), of: input, tape)
    }
  }

  private struct TakenBalance: BalanceLoss {
    static let name = "entropy"
    func add(_ call: GatedCall, _ sums: RoutingSums, parts: Int, weight: Float, _ tape: Tape) -> Float { 0 }
  }

  private struct TakenOptimizer: Optimizer {
    static let name = "sgd"
    static let summary = ""
    static let keys: Set<String> = []
    init(_ config: OptimizerConfig) {}
    func state(of parameter: Parameter) -> [String] { [] }
    func step(_ number: Int, _ tiles: [UpdateTile], scale: Float, engine: Engine) {}
  }

  @Test func namesAreTakenOnce() {
    expectError("the router softmax is registered already") { try RouterTable.register(TakenRouter.self) }
    expectError("the balance loss entropy is registered already") { try BalanceTable.register(TakenBalance.self) }
    expectError("the optimizer sgd is registered already") { try OptimizerKind.register(TakenOptimizer.self) }
    expectError("the variant scmoe is registered already") {
      try MoEVariant.register(
        MoEVariant(name: "scmoe", summary: "", sharedExpert: true, routes: [Route(.current, k: 1)]))
    }
  }

  @Test(arguments: [
    ([], "the routes of the variant own is 0, expected 1 to 8"),
    ([Route(.current, k: 0)], "the choices of the route from 0:attention of the variant own is 0"),
    ([Route(.current, k: 1), Route(.current, k: 2)], "the sources of the variant own"),
    ([Route(RouteSource(blocksBack: 0, site: .output), k: 1)], "a source of the variant own"),
    ([Route(.current, k: 1, avoidsPreviousRoute: true)], "route 0 of the variant own"),
    ([Route(.current, k: 1), Route(.position2, k: 1, avoidsPreviousRoute: true)], "route 1 of the variant own"),
  ]) func impossibleVariants(routes: [Route], words: String) {
    expectError(words) {
      try MoEVariant.register(MoEVariant(name: "own", summary: "", sharedExpert: true, routes: routes))
    }
    for name in ["dense", "top12", "a name", ""] {
      expectError("name") {
        try MoEVariant.register(
          MoEVariant(name: name, summary: "", sharedExpert: true, routes: [Route(.current, k: 1)]))
      }
    }
    #expect(!MoEVariant.all.contains { ["own", "top12"].contains($0.name) })
  }

  @Test func tensors() throws {
    expectError("of shape [2, 3] is made of 5 numbers, expected 6") {
      _ = try Tensor(shape: [2, 3], values: [1, 2, 3, 4, 5])
    }
    for shape in [[0], [2, -1], [Int.max, 4]] {
      expectError("a tensor's shape is \(shape)") { _ = try Tensor(shape: shape, values: []) }
    }
    let x = try Tensor(shape: [2, 2], values: [1, 2, 3, 4])
    let y = Tensor(like: x) { y in for i in y.indices { y[i] = 2 * x.values[i] } }
    y.withMutableValues { $0[0] = 7 }
    #expect(y.values == [7, 4, 6, 8] && y.shape == [2, 2])
  }

  @Test func operations() throws {
    let store = ParameterStore(engine: engine, seed: 1)
    let weight = try store.parameter("w", .mlp, [4, 3], .normal(scale: 1))
    let bias = try store.parameter("b", .mlp, [4], .constant(0))
    let three = try store.parameter("n", .norms, [3], .constant(1))
    let x = try Tensor(shape: [6, 3], values: (0..<18).map(Float.init))
    let operations = Tape(engine, recording: true).checked
    #expect(try operations.linear(x, weight: weight, bias: bias).shape == [6, 4])
    expectError("the input of w is of shape [6, 4], expected rows of 3 numbers") {
      _ = try operations.linear(operations.linear(x, weight: weight), weight: weight)
    }
    expectError("n is of shape [3], expected [4]") { _ = try operations.linear(x, weight: weight, bias: three) }
    expectError("n is of shape [3], expected [out, in]") { _ = try operations.linear(x, weight: three) }
    expectError("the residual of w is of shape [6, 3]") { _ = try operations.linear(x, weight: weight, residual: x) }
    expectError("the second term of a sum is of shape [6, 4], expected [6, 3]") {
      _ = try operations.add(x, operations.linear(x, weight: weight))
    }
    expectError("b is of shape [4], expected [3]") { _ = try operations.rmsNorm(x, weight: bias) }
    expectError("b is of shape [4], expected [3]") { _ = try operations.layerNorm(x, weight: three, bias: bias) }
    expectError("the input of w is of shape [6, 3], expected rows of 4 numbers") {
      _ = try operations.feedForward(x, w1: weight, w2: weight)
    }
    expectError("the input of attention is of shape [6, 3]") {
      _ = try operations.attention(x, sequence: 3, heads: 2, causal: true)
    }
    expectError("the length of sequences is 4") { _ = try operations.attention(x, sequence: 4, heads: 1, causal: true) }
    expectError("an id of w is 4, expected 0 to 3") {
      _ = try operations.embedding([0, 4], table: weight, sequence: 1)
    }
    expectError("w is of shape [4, 3], expected [5 or more, 3]") {
      _ = try operations.embedding([0, 1, 2, 3, 0], table: weight, positions: weight, sequence: 5)
    }
    expectError("the targets is 2") { _ = try operations.crossEntropy(x, targets: [0, 1]) }
    expectError("an id of the targets is 3") { _ = try operations.crossEntropy(x, targets: [0, 1, 2, 3, -1, 0]) }
    expectError("the choices of a token is 4, expected 1 to 3") {
      _ = try operations.gate(x, k: 4, renormalize: false)
    }
    expectError("exclude is 1 numbers") { _ = try operations.gate(x, k: 1, renormalize: false, exclude: [0]) }
    expectError("an expert of a choice of experts is 3, expected -1 to 2") {
      _ = try GateChoice(
        experts: [3], gates: Tensor(shape: [1, 1], values: [1]),
        probabilities: Tensor(shape: [1, 3], values: [1, 0, 0]),
        logSumExp: Tensor(shape: [1], values: [0]))
    }
  }

  @Test func parameters() throws {
    let store = ParameterStore(engine: engine, seed: 1)
    _ = try store.parameter("blocks.0.scale", .norms, [3], .constant(1))
    for path in ["blocks.0.scale", "blocks", "blocks.0.scale.more"] {
      expectError("the path '\(path)' is taken") { _ = try store.parameter(path, .norms, [3], .constant(1)) }
    }
    for path in ["", "a..b", "a/b", "a.b "] {
      expectError("the path of a parameter is '\(path)'") { _ = try store.parameter(path, .norms, [3], .constant(1)) }
    }
    expectError("the shape of other is [3, 0]") { _ = try store.parameter("other", .norms, [3, 0], .constant(1)) }
    #expect(store.parameters.count == 1)
    _ = try store.buffer("blocks.0.bias", count: 2)
    for path in ["blocks.0.bias", "blocks.0.scale", "blocks"] {
      expectError("the path '\(path)' is taken") { _ = try store.buffer(path, count: 2) }
    }
    expectError("the shape of none is [0]") { _ = try store.buffer("none", count: 0) }
    #expect(store.buffers.count == 1)
  }

  /// An adjoint outside of the package that returns another shape.
  @Test func gradientOfAnotherShape() throws {
    let tape = Tape(engine, recording: true)
    let x = try Tensor(shape: [2, 2], values: [1, 2, 3, 4])
    tape.watch(x)
    let y = Tensor(like: x) { _ = $0.update(from: x.values) }
    tape.record("own", y) { _ in
      tape.accumulate(try! Tensor(shape: [3], values: [1, 1, 1]), into: x)
    }
    _ = try tape.checked.crossEntropy(y, targets: [0, 1])
    expectError("the gradient of a tensor of shape [2, 2] is of shape [3]") { try tape.differentiate() }
  }

  @Test func models() throws {
    var config = ModelConfig()
    config.kind = .gpt
    (config.layers, config.width, config.heads) = (2, 8, 2)
    (config.text.vocabulary, config.text.context) = (10, 4)
    let gpt = try GPT(config, seed: 1, engine: engine)
    func pass() -> ForwardPass { ForwardPass(Tape(engine, recording: false), training: false) }
    #expect(try gpt.logits(of: [1, 2, 3, 4], sequence: 4, pass: pass()).shape == [4, 10])
    for (ids, sequence) in [([1, 2, 3], 2), ([], 1), ([1, 2, 3, 4, 5], 5), ([1], 0)] as [([Int32], Int)] {
      expectError("the windows of a language model") { _ = try gpt.logits(of: ids, sequence: sequence, pass: pass()) }
    }
    expectError("a token is 10, expected 0 to 9") { _ = try gpt.logits(of: [1, 10], sequence: 2, pass: pass()) }
    expectError("the targets of 2 tokens is 1 numbers") {
      _ = try gpt.loss(of: [1, 2], targets: [1], sequence: 2, pass: pass())
    }
    expectError("the divisor of a loss is nan") {
      _ = try gpt.loss(of: [1, 2], targets: [1, 2], over: .nan, sequence: 2, pass: pass())
    }
    // The sum over a tenth of its targets is ten times the mean.
    let (mean, part) = try (
      gpt.loss(of: [1, 2], targets: [1, 2], sequence: 2, pass: pass()),
      gpt.loss(of: [1, 2], targets: [1, 2], over: 0.2, sequence: 2, pass: pass())
    )
    #expect(abs(part - 10 * mean) < 1e-5)
    config.kind = .vit
    (config.vision.image, config.vision.classes) = (8, 3)
    let vit = try VisionTransformer(config, seed: 1, engine: engine)
    let images = try Tensor(shape: [2, 3, 8, 8], values: Array(repeating: 0.5, count: 384))
    #expect(try vit.loss(of: images, labels: [0, 2], pass: pass()).losses.count == 2)
    expectError("images is of shape [384]") {
      _ = try vit.logits(of: Tensor(shape: [384], values: images.values), pass: pass())
    }
    expectError("an id of the targets is 3") { _ = try vit.loss(of: images, labels: [0, 3], pass: pass()) }
  }

  /// What a router did wrong ends an evaluation with its own words, not with the NaN that follow from it.
  @Test func failuresEndEvaluations() throws {
    let wrong = ModelError(field: "the scores", found: "of another shape", expected: "[tokens, experts]")
    expectError("the scores is of another shape") {
      _ = try ForwardPass.evaluating(engine) { pass in
        pass.tape.fail(wrong)
        return Float.nan
      }
    }
    #expect(try ForwardPass.evaluating(engine) { _ in 3 } == 3)
    var config = ModelConfig()
    config.kind = .gpt
    expectError("model.kind is gpt, expected multimodal") {
      _ = try MultimodalTransformer(config, seed: nil, engine: engine)
    }
  }

  /// The layer alone computes what it computes in a backbone's block, and takes routes and shapes that are its own.
  @Test func layer() throws {
    var moe = MoEConfig()
    (moe.variant, moe.experts) = ("scmoe", 4)
    let store = ParameterStore(engine: engine, seed: 1)
    let layer = try MoELayer(store, "moe", width: 8, hidden: 16, moe: moe)
    expectError("the path 'moe' is taken") { _ = try MoELayer(store, "moe", width: 8, hidden: 16, moe: moe) }
    let x = try Tensor(shape: [5, 8], values: (0..<40).map { Float($0 % 7) / 7 })
    func pass() -> ForwardPass { ForwardPass(Tape(engine, recording: false), training: false) }
    let one = pass()
    let y = try layer(x, normed: x, layer.start(from: x, pass: one), pass: one)
    #expect(y.shape == [5, 8] && y.firstNotFinite() == nil && one.routings.count == 1)
    #expect(y.values != x.values)
    expectError("called with 0 routes that were started, expected 1") { _ = try layer(x, normed: x, pass: pass()) }
    let narrow = try Tensor(shape: [5, 4], values: Array(repeating: 1, count: 20))
    expectError("the state of an MoE layer is of shape [5, 4]") { _ = try layer(narrow, normed: narrow, pass: pass()) }
    let short = try Tensor(shape: [2, 8], values: Array(repeating: 1, count: 16))
    let two = pass()
    let started = try layer.start(from: short, pass: two)
    expectError("the earlier state is of 2 rows, expected 5") { _ = try layer(x, normed: x, started, pass: two) }
    for (change, words) in [
      ({ $0.variant = "dense" }, "dense"), ({ $0.variant = "best" }, "moe.variant is 'best'"),
      ({ $0.experts = 0 }, "moe.experts is 0"), ({ $0.router = "none" }, "moe.router is 'none'"),
      ({ $0.shortcutNorm = .preceding }, "moe.shortcut_norm"),
    ] as [((inout MoEConfig) -> Void, String)] {
      var other = moe
      change(&other)
      expectError(words) { _ = try MoELayer(store, "other", width: 8, hidden: 16, moe: other) }
    }
  }

  @Test func severalModalities() throws {
    typealias Sequence = PackedSequences.Sequence
    var config = ModelConfig()
    config.kind = .multimodal
    (config.layers, config.width, config.heads) = (2, 16, 2)
    (config.vision.image, config.vision.patch, config.vision.classes) = (8, 4, 3)
    (config.text.vocabulary, config.text.context) = (10, 4)
    let model = try MultimodalTransformer(config, seed: 1, engine: engine)
    func images(_ shape: [Int]) throws -> Tensor {
      try Tensor(shape: shape, values: Array(repeating: 0.5, count: shape.reduce(1, *)))
    }
    func pass() -> ForwardPass { ForwardPass(Tape(engine, recording: false), training: false) }
    for segments in [[], [.text([])], [.text([1]), .text([])]] as [[PackedSequences.Segment]] {
      expectError("a sequence is") { _ = try Sequence(of: segments) }
    }
    let two = try [images([2, 3, 8, 8])]
    func packed(_ names: [String], _ sequences: [[PackedSequences.Segment]]) throws -> PackedSequences {
      try PackedSequences(
        samples: Dictionary(uniqueKeysWithValues: names.map { ($0, two[0]) }),
        sequences: sequences.map { try Sequence(of: $0) })
    }
    expectError("the number of sequences is 0") { _ = try packed([], []) }
    for numbers in [[0], [0, 0], [0, 2], [-1, 0], [0, 1, 1]] {
      expectError("the samples of vision in sequences is \(numbers)") {
        _ = try packed(["vision"], [numbers.map { .sample("vision", $0) }])
      }
    }
    expectError("the samples of sound in sequences is [0]") { _ = try packed([], [[.sample("sound", 0)]]) }
    expectError("the samples of vision in sequences is none") { _ = try packed(["vision"], [[.text([1])]]) }
    let both: [[PackedSequences.Segment]] = [[.sample("vision", 1), .text([1, 2])], [.sample("vision", 0)]]
    let states = try model.states(of: packed(["vision"], both), pass: pass())
    #expect(try model.embeddings(of: "vision", in: states, pass: pass()).shape == [2, config.fusion.embedding])
    #expect(try model.embeddings(of: "language", in: states, pass: pass()).shape == [1, config.fusion.embedding])
    #expect(try model.classLogits(of: "vision", in: states, pass: pass())?.shape == [2, 3])
    #expect(try model.nextTokenLoss(of: states, targets: [[2, -1], []], pass: pass()) > 0)
    expectError("a modality of samples is sound, expected vision") {
      _ = try model.states(of: packed(["sound"], [[.sample("sound", 0), .sample("sound", 1)]]), pass: pass())
    }
    expectError("samples of vision is of shape [1, 3, 4, 16]") {
      _ = try model.states(
        of: PackedSequences(
          samples: ["vision": images([1, 3, 4, 16])], sequences: [Sequence(of: [.sample("vision", 0)])]), pass: pass())
    }
    expectError("the texts of a sequence is 5 tokens") {
      _ = try model.states(of: packed([], [[.text([1, 2, 3]), .text([4, 5])]]), pass: pass())
    }
    expectError("a token is 10, expected 0 to 9") {
      _ = try model.states(of: packed([], [[.text([10])]]), pass: pass())
    }
    for targets in [[[2]], [[2, 3], [1]], [[2, 10], []]] as [[[Int32]]] {
      expectError("the targets of sequences") {
        _ = try model.nextTokenLoss(of: states, targets: targets, pass: pass())
      }
    }
    let texts = try model.states(of: packed([], [[.text([1]), .text([2])]]), pass: pass())
    expectError("the texts of sequences is [2]") { _ = try model.embeddings(of: "language", in: texts, pass: pass()) }
    expectError("a modality of the pass is vision") { _ = try model.embeddings(of: "vision", in: texts, pass: pass()) }
    expectError("a modality of the pass is sound") { _ = try model.classLogits(of: "sound", in: states, pass: pass()) }
    expectError("what is compared is of shapes [2, 3, 8, 8]") {
      _ = try model.contrastiveLoss(between: two[0], two[0], pass: pass())
    }
  }

  /// Rows that a dispatcher outside of the package loses.
  private struct Narrow: Dispatcher {
    var local: Range<Int>?
    var brings = true

    final class Flight: RouteFlight {
      let plan: DispatchPlan
      let (rows, brings): (Tensor, Bool)
      init(_ plan: DispatchPlan, _ rows: Tensor, _ brings: Bool) {
        (self.plan, self.rows, self.brings) = (plan, rows, brings)
      }
      func endDispatch(_ partIndex: Int, _ tape: Tape) -> ExpertRows {
        ExpertRows(rows: rows, offsets: brings ? plan.offsets[0] : [0, 1])
      }
      func beginCombine(_ outputs: ExpertRows, _ partIndex: Int, _ tape: Tape) {}
      func endCombine(_ tape: Tape) -> Tensor { try! Tensor(shape: [2, 3], values: Array(repeating: 0, count: 6)) }
    }

    func localExperts(of count: Int) -> Range<Int> { local ?? 0..<count }
    func beginDispatch(_ x: Tensor, _ plan: DispatchPlan, _ tape: Tape) -> any RouteFlight {
      Flight(plan, tape.permuteRows(x, plan), brings)
    }
  }

  /// Ranks that cut routes into parts.
  private final class Parts: PassCoordinator {
    let shard = (index: 0, count: 1)
    func schedule(block: Int, route: Int) -> RouteSchedule { RouteSchedule(parts: 2, slot: 0, awaitsAtOnce: true) }
    func startSum(_ values: [Double]) {}
    func finishSums() -> [[Double]] { [] }
    func leftBlock(_ index: Int) {}
  }

  @Test func dispatchers() throws {
    var config = ModelConfig()
    config.kind = .gpt
    (config.layers, config.width, config.heads) = (2, 8, 2)
    (config.text.vocabulary, config.text.context, config.moe.experts) = (10, 4, 4)
    func logits(_ dispatcher: any Dispatcher, _ coordinator: (any PassCoordinator)? = nil) throws {
      let gpt = try GPT(config, seed: 1, engine: engine, dispatcher: dispatcher)
      let pass = ForwardPass(Tape(engine, recording: false), training: false, coordinator: coordinator)
      _ = try gpt.logits(of: [1, 2, 3, 4], sequence: 4, pass: pass)
    }
    try logits(LocalDispatcher())
    expectError("one that brought back rows of shape [2, 3]") { try logits(Narrow()) }
    expectError("one that gave experts rows of shape [8, 8]") { try logits(Narrow(brings: false)) }
    for local in [0..<0, 2..<5] {
      expectError("the dispatcher's share of 4 experts") { try logits(Narrow(local: local)) }
    }
    expectError("the dispatcher of a model on ranks is that of one process") { try logits(LocalDispatcher(), Parts()) }
  }
}
