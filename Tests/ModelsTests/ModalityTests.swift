import MMoETensor
import TestSupport
import Testing

@testable import MMoEModels

/// Three modalities in sequences of any order: what sees what, and what a further modality adds to a model.
@Suite struct ModalityTests {
  let engine = try! Engine(threads: 2)

  /// With recordings of 4 × 6 numbers in 2 × 3 patches: four rows, as a picture has.
  static func config(_ kind: FusionConfig.Kind, variant: String = "top2") -> ModelConfig {
    var config = kind == .early ? MultimodalTests.config(variant: variant) : MultimodalTests.late(variant: variant)
    config.fusion.modalities = ["vision", "language", "audio"]
    config.moe.groups = kind == .early ? "vision:2,language:2,audio:2,shared:1" : "audio:2,vision:3,language:3"
    config.moe.experts = kind == .early ? 7 : 8
    for (setting, value) in [
      (AudioModality.mels, 4), (AudioModality.frames, 6), (AudioModality.patchMels, 2), (AudioModality.patchFrames, 3),
    ] { config.modalitySettings[setting] = value }
    return config
  }

  static let samples = ["vision": randomTensor([3, 3, 8, 8], seed: 9), "audio": randomTensor([2, 1, 4, 6], seed: 8)]

  typealias Segment = PackedSequences.Segment
  /// Samples before, between and after texts; two of one kind; alone.
  static let orders: [[Segment]] = [
    [.sample("audio", 1), .text([3, 9]), .sample("vision", 2), .text([27, 7])],
    [.text([3]), .sample("vision", 0), .sample("vision", 1), .text([5, 1, 4]), .sample("audio", 0)],
    [.text([3, 5, 1])],
  ]

  private func pass(recording: Bool = false) -> ForwardPass {
    ForwardPass(Tape(engine, recording: recording), training: false)
  }

  /// The values of every segment after the last norm, sequence by sequence.
  private func states(
    _ model: MultimodalTransformer, _ samples: [String: Tensor], _ orders: [[Segment]]
  ) -> [[[Float]]] {
    let states = model(PackedSequences(samples, orders.map { .init($0) }), pass())
    func cut(_ rows: Tensor, _ range: Range<Int>) -> [Float] {
      Array(rows.values[range.lowerBound * rows.columns..<range.upperBound * rows.columns])
    }
    return orders.enumerated().map { number, segments in
      var text = 0
      return segments.map { segment in
        switch segment {
        case .sample(let name, let index):
          return cut(states.samples[name]!.rows, states.samples[name]!.ranges[index])
        case .text:
          defer { text += 1 }
          return cut(states.textRows!, states.texts[number][text])
        }
      }
    }
  }

  /// Segments that are no longer what they were.
  private func changed(_ a: [[[Float]]], _ b: [[[Float]]]) -> [[Int]] {
    zip(a, b).map { a, b in
      a.indices.filter { segment in zip(a[segment], b[segment]).contains { abs($0 - $1) > 1e-4 } }
    }
  }

  /// A sample changes itself and the texts after it in its sequence: no other sample, no text before, no other sequence. A text
  /// changes itself and later texts.
  @Test(arguments: [FusionConfig.Kind.early, .late], ["dense", "top2", "scmoe", "dgmoe"])
  func whoSeesWhom(kind: FusionConfig.Kind, variant: String) throws {
    var config = ModalityTests.config(kind, variant: variant)
    if variant == "dense" { config.moe.groups = nil }
    let model = try MultimodalTransformer(config, seed: 3, engine: engine)
    let (samples, orders) = (ModalityTests.samples, ModalityTests.orders)
    let before = states(model, samples, orders)
    for (number, sequence) in orders.enumerated() {
      for (place, segment) in sequence.enumerated() {
        var (other, shown) = (samples, orders)
        switch segment {
        case .sample(let name, let index):
          let values = samples[name]!.copy()
          let size = values.count / values.shape[0]
          values.pointer[index * size + size - 1] += 3
          other[name] = values
        case .text(let ids): shown[number][place] = .text(ids.dropLast() + [11])
        }
        var expected = orders.map { _ in [Int]() }
        expected[number] = sequence.indices.filter { later in
          if later == place { return true }
          guard later > place, case .text = sequence[later] else { return false }
          return true
        }
        #expect(changed(before, states(model, other, shown)) == expected, "\(number) \(place)")
      }
    }
  }

  /// A sample is read the same in any sequence, and texts after samples in one piece as token by token with a cache.
  @Test(arguments: [FusionConfig.Kind.early, .late]) func cacheReadsEverySample(kind: FusionConfig.Kind) throws {
    let model = try MultimodalTransformer(ModalityTests.config(kind), seed: 3, engine: engine)
    let samples = ModalityTests.samples
    let text: [Int32] = [3, 9, 27]
    let cache = model.makeCache()
    let order: [Segment] = [.sample("audio", 0), .sample("vision", 0), .text(text)]
    for (name, index) in [("audio", 1), ("vision", 2)] {
      model.read(samples[name]!.sample(index), of: name, cache, pass())
    }
    let own = ["audio": samples["audio"]!.sample(1), "vision": samples["vision"]!.sample(2)]
    let states = model(PackedSequences(own, [.init(order)]), pass())
    for (position, id) in text.enumerated() {
      let logits = model.next([id], position: position, cache, pass()).values
      var target = [Int32](repeating: -1, count: text.count)
      let tape = Tape(engine, recording: false)
      target[position] = 5
      let five = model.nextTokenLoss(states, targets: [target], weight: 1, tape).mean
      target[position] = 20
      let twenty = model.nextTokenLoss(states, targets: [target], weight: 1, tape).mean
      #expect(abs(Double(logits[5] - logits[20]) - (twenty - five)) < 1e-3, "position \(position)")
    }
  }

  /// Every objective over sequences of all orders; the class token's modality and the other.
  private func allObjectives(_ model: MultimodalTransformer, _ tape: Tape) -> [[Int]] {
    let pass = ForwardPass(tape, training: true)
    let orders = ModalityTests.orders + [[.text([3, 8])]]
    let states = model(PackedSequences(ModalityTests.samples, orders.map { .init($0) }), pass)
    _ = model.nextTokenLoss(
      states, targets: [[9, 3, 7, 1], [5, 1, -1, 2], [-1, -1, -1], [8, 2]], weight: 0.8, tape)
    let images = model.pooledRows(states, of: "vision", tape)
    let recordings = model.embeddings(model.pooledRows(states, of: "audio", tape), of: "audio", tape)
    let pictures = tape.selectRows(model.embeddings(images, of: "vision", tape), [0, 2])
    let texts = model.textEmbeddings(states, of: [2, 3], tape)
    for (a, b) in [(pictures, recordings), (pictures, texts), (recordings, texts)] {
      _ = model.contrastiveLoss(a, b, weight: 0.5, tape)
    }
    _ = tape.crossEntropy(model.classLogits(images, of: "vision", tape)!, targets: [2, 0, 1])
    return pass.routings.map(\.load)
  }

  /// All gradients: through the encoder of recordings, samples before and after texts, and what joins the towers.
  @Test(arguments: [FusionConfig.Kind.early, .late], ["dense", "scmoe"])
  func gradients(kind: FusionConfig.Kind, variant: String) throws {
    var config = ModalityTests.config(kind, variant: variant)
    (config.moe.balance, config.moe.balanceWeight) = (kind == .early ? "entropy" : "first_choice", 0.3)
    if variant == "dense" { (config.moe.groups, config.moe.balance) = (nil, "none") }
    var checks: [GradientCheck]?
    for seed in UInt64(5)...24 where checks == nil {
      let model = try MultimodalTransformer(config, seed: seed, engine: engine)
      for parameter in model.parameters {
        let isTable = ["token_embedding", "position_embedding", "class_token"].contains(parameter.path)
        let factor: Float =
          kind == .early ? 1 : isTable ? 20 : parameter.path.contains(".cross.") ? 3 : 1
        for i in 0..<parameter.count { parameter.value.pointer[i] *= factor }
      }
      checks = checkRoutedGradients(engine: engine, parameters: model.parameters) { allObjectives(model, $0) }
    }
    let found = try #require(checks)
    #expect(found.contains { $0.name.hasPrefix("audio_embedding") && $0.norm > 1e-3 })
    // A bias of queries moves all scores nearly alike: what is left is near rounding.
    for check in found where !"\(check)".contains(".cross.query.bias") {
      #expect(check.error < 5e-2, "\(check)")
    }
  }

  /// A model of images and texts has what it had; recordings bring an encoder and a projection, and in late fusion a tower
  /// before that of texts.
  @Test(arguments: [FusionConfig.Kind.early, .late], [0, 3])
  func audioAddsItsOwnParameters(kind: FusionConfig.Kind, rank: Int) throws {
    var config = ModalityTests.config(kind)
    (config.lora.rank, config.lora.places) = (rank, LoRAConfig.Place.allCases)
    let model = try MultimodalTransformer(config, seed: 1, engine: engine)
    #expect(try ModelCosts(config).parameters == model.parameters.reduce(0) { $0 + $1.count })
    var two = config.reduced(to: VisionModality())
    if kind == .early { (two.moe.groups, two.moe.experts) = ("vision:2,language:4,shared:1", 7) }
    let pair = try MultimodalTransformer(two, seed: 1, engine: engine)
    let ends = { (model: MultimodalTransformer) in
      Set(model.parameters.map(\.path).filter { !$0.hasPrefix("blocks.") })
    }
    let audio: Set = [
      "audio_embedding.weight", "audio_embedding.bias", "audio_positions", "audio_projection.weight",
    ]
    let added = ends(model).subtracting(ends(pair))
    #expect(added == audio.union(kind == .late ? ["audio_norm.weight", "audio_norm.bias"] : []))
    #expect(config.stacks == (kind == .late ? [2, 2, 4] : [4]) && two.stacks == (kind == .late ? [2, 4] : [4]))
    // The same weights from the same seed: a path's start does not depend on what else there is.
    let known = Dictionary(uniqueKeysWithValues: pair.parameters.map { ($0.path, $0) })
    for parameter in model.parameters where known[parameter.path]?.shape == parameter.shape {
      guard kind == .early || !parameter.path.hasPrefix("blocks.") else { continue }
      #expect(parameter.value.values == known[parameter.path]!.value.values, "\(parameter.path)")
    }
    if kind == .late {
      #expect(config.completingBlock(of: "blocks.7.cross.key_value.weight") == 3)
      #expect(config.towers.map(\.tokens) == [5, 4, 8] && config.towers.map(\.moe.experts) == [3, 2, 3])
    }
  }

  /// Tokens and rows of each modality reach their own experts and the shared one.
  @Test func everyModalityHasItsGroup() throws {
    let model = try MultimodalTransformer(ModalityTests.config(.early), seed: 3, engine: engine)
    let pass = ForwardPass(Tape(engine, recording: false), training: true)
    _ = model(PackedSequences(ModalityTests.samples, ModalityTests.orders.map { .init($0) }), pass)
    for routing in pass.routings {
      for (m, own) in [[0, 1, 6], [2, 3, 6], [4, 5, 6]].enumerated() {
        #expect(routing.modalityLoad[m].reduce(0, +) > 0)
        for e in 0..<7 where !own.contains(e) { #expect(routing.modalityLoad[m][e] == 0) }
      }
    }
  }

  @Test func refuses() {
    let changes: [((inout ModelConfig) -> Void, String)] = [
      ({ $0.fusion.modalities = ["vision", "language", "odor"] }, "fusion.modalities has 'odor'; valid are vision, "),
      ({ $0.fusion.modalities = ["audio", "audio", "language"] }, "which names one twice"),
      ({ $0.fusion.modalities = ["vision", "audio"] }, "language and at least one other are needed"),
      ({ $0.fusion.modalities = ["language"] }, "language and at least one other are needed"),
      ({ $0.fusion.modalities = ["vision", "language"] }, "model.audio_mels is 4, but fusion.modalities"),
      ({ $0.modalitySettings[AudioModality.patchFrames] = 4 }, "does not divide model.audio_frames 6"),
      ({ $0.moe.groups = "vision:2,language:2,odor:2,shared:1" }, "valid are vision, language, audio, shared"),
    ]
    for (change, words) in changes {
      var config = ModalityTests.config(.early)
      change(&config)
      #expect { try config.validate() } throws: { "\($0)".contains(words) }
    }
    var late = ModalityTests.config(.late)
    (late.moe.groups, late.moe.experts) = ("vision:3,language:3", 6)
    #expect { try late.validate() } throws: {
      "\($0)".contains("the audio tower of fusion.kind=late: moe.experts is 0")
    }
  }

  private struct Sized: SampledModality {
    let name = "sized"
    let sample = "sized"
    let shape: [Int]
    let rows: Int
    func shape(_ config: ModelConfig) -> [Int] { shape }
    func rows(_ config: ModelConfig) -> Int { rows }
    func makeEncoder(_ store: ParameterStore, _ config: ModelConfig) throws -> any SampleEncoder { Lost() }
    func operations(_ config: ModelConfig) -> [ModelOperation] { [] }
  }

  @Test func sizesThatNoSampleHas() throws {
    let config = ModalityTests.config(.early)
    try Sized(shape: [2], rows: 1).requireSizes(config)
    for (shape, rows) in [([2], 0), ([], 1), ([2, 0], 1), ([-1], 3)] {
      #expect { try Sized(shape: shape, rows: rows).requireSizes(config) } throws: {
        "\($0)"
          == "a sample of the modality sized is of shape \(shape) in \(rows) rows, expected axes and rows of at least 1"
      }
    }
  }

  private struct Lost: SampleEncoder {
    let parameters: [Parameter] = []
    func callAsFunction(_ samples: Tensor, _ tape: Tape) throws -> Tensor {
      try tape.checked.add(samples, Tensor(shape: [1], values: [1]))
    }
  }

  /// What an encoder outside of the package does wrong is said by whoever began the pass.
  @Test func encodersThatFail() throws {
    let samples = try Tensor(shape: [2, 1], values: [1, 2])
    let tape = Tape(engine, recording: false)
    let rows = Lost().encode(samples, rows: 3, width: 4, tape)
    #expect(rows.shape == [6, 4] && rows.values.allSatisfy(\.isNaN))
    #expect("\(tape.failure.map { "\($0)" } ?? "")".contains("the second term of a sum"))
    let other = Tape(engine, recording: false)
    _ = AudioModality().makeEncoder(ParameterStore(engine: engine, seed: 1), ModalityTests.config(.early)).encode(
      ModalityTests.samples["audio"]!, rows: 5, width: 24, other)
    #expect("\(other.failure.map { "\($0)" } ?? "")".contains("what an encoder made of samples is of shape"))
  }
}
