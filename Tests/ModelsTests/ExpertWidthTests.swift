import MMoETensor
import TestSupport
import Testing

@testable import MMoEModels

/// Groups of experts with widths of their own, and gates with weights for each modality.
@Suite struct ExpertWidthTests {
  let engine = try! Engine(threads: 2)

  private func config(_ groups: String, variant: String = "top2", gate: GateKind = .shared) -> ModelConfig {
    var config = ModalityTests.config(.early, variant: variant)
    (config.moe.groups, config.moe.gate, config.hidden) = (groups, gate, 20)
    config.moe.experts = (try? ExpertGroups(groups))?.count ?? 0
    return config
  }

  private var batch: PackedSequences {
    PackedSequences(ModalityTests.samples, (ModalityTests.orders + [[.text([3, 8])]]).map { .init($0) })
  }

  /// The states of all rows, and every route's loads.
  private func run(_ model: MultimodalTransformer) -> (rows: [Float], loads: [[[Int]]]) {
    let pass = ForwardPass(Tape(engine, recording: false), training: false)
    let states = model(batch, pass)
    return (states.textRows!.values, pass.routings.map(\.modalityLoad))
  }

  @Test func groupsAsTheyAreWritten() throws {
    let groups = try ExpertGroups("vision:2@16,language:2,audio:1,shared:2@8")
    #expect(groups.description == "vision:2@16,language:2,audio:1,shared:2@8")
    #expect(groups.groups.map(\.hidden) == [16, nil, nil, 8])
    // Neighbors of one width are one stack.
    #expect(groups.stacks(standard: 20).map(\.hidden) == [16, 20, 8])
    #expect(groups.stacks(standard: 20).map(\.experts) == [0..<2, 2..<5, 5..<7])
    #expect(groups.stacks(standard: 16).map(\.experts) == [0..<5, 5..<7])
    for text in ["vision:2@", "vision:2@0", "vision:2@16@8", "vision:@16", "vision:2@wide"] {
      #expect { try ExpertGroups(text) } throws: { "\($0)".contains("moe.groups has '\(text)'") }
    }
  }

  /// Narrow experts compute what wide ones do whose further hidden units are zero; in any variant, with every choice.
  @Test(arguments: ["top2", "scmoe", "dgmoe"]) func narrowExpertsAreWideOnesWithZeros(variant: String) throws {
    let narrow = try MultimodalTransformer(
      config("vision:2@8,language:2,audio:2@12,shared:1@8", variant: variant), seed: 3, engine: engine)
    let wide = try MultimodalTransformer(
      config("vision:2,language:2,audio:2,shared:1", variant: variant), seed: 3, engine: engine)
    let targets = Dictionary(uniqueKeysWithValues: wide.parameters.map { ($0.path, $0) })
    for own in narrow.parameters {
      guard let share = own.experts else { continue }
      let words = own.path.split(separator: ".").map(String.init)
      let target = try #require(targets[(words[..<4] + words.suffix(2)).joined(separator: ".")])
      // Both layers' hidden units come first: rows of fc1, columns of fc2.
      let (rows, columns) = own.shape.count == 3 ? (own.shape[1], own.shape[2]) : (1, own.shape[1])
      let stride = target.shape.last!
      let size = target.count / 7
      for e in share.local {
        for i in 0..<size { target.value.pointer[e * size + i] = 0 }
        for r in 0..<rows {
          for c in 0..<columns {
            target.value.pointer[e * size + r * stride + c] =
              own.value.pointer[((e - share.local.lowerBound) * rows + r) * columns + c]
          }
        }
      }
    }
    for own in narrow.parameters where own.experts == nil {
      targets[own.path]!.value.pointer.update(from: own.value.pointer, count: own.count)
    }
    let (found, expected) = (run(narrow), run(wide))
    #expect(found.loads == expected.loads && found.loads.joined().joined().contains { $0 > 0 })
    #expect(zip(found.rows, expected.rows).allSatisfy { abs($0 - $1) < 1e-4 })
    #expect(try ModelCosts(narrow.config).parameters == narrow.parameters.reduce(0) { $0 + $1.count })
    #expect(try ModelCosts(narrow.config).forwardFLOPs < ModelCosts(wide.config).forwardFLOPs)
  }

  /// All gradients through stacks of several widths and gates of several weights.
  @Test(arguments: ["top2", "dgmoe"]) func gradients(variant: String) throws {
    var config = config("vision:2@8,language:2,audio:2@12,shared:1", variant: variant, gate: .modality)
    (config.moe.balance, config.moe.balanceWeight) = ("all_choices", 0.3)
    var checks: [GradientCheck]?
    for seed in UInt64(5)...24 where checks == nil {
      let model = try MultimodalTransformer(config, seed: seed, engine: engine)
      checks = checkRoutedGradients(engine: engine, parameters: model.parameters) { tape in
        let pass = ForwardPass(tape, training: true)
        let states = model(batch, pass)
        _ = model.nextTokenLoss(
          states, targets: [[9, 3, 7, 1], [5, 1, -1, 2], [2, 4, 6], [8, 2]], weight: 1, tape)
        let audio = model.embeddings(model.pooledRows(states, of: "audio", tape), of: "audio", tape)
        _ = model.contrastiveLoss(audio, model.textEmbeddings(states, of: [2, 3], tape), weight: 1, tape)
        return pass.routings.map(\.load)
      }
    }
    let found = try #require(checks)
    for part in ["experts.vision.fc1", "experts.language.fc2", "experts.audio.fc1", "gate.vision", "gate.audio"] {
      #expect(found.contains { $0.name.contains(".moe.\(part).") }, "\(part)")
    }
    // Differences of losses near 10 in float32 say nothing of less.
    for check in found where abs(check.analytic - check.numeric) > 5e-4 { #expect(check.error < 3e-2, "\(check)") }
  }

  /// Equal weights choose as one gate does; a gate's weights move its own modality alone, and costs count them.
  @Test func gatesOfEachModality() throws {
    let groups = "vision:2,language:2,audio:2,shared:1"
    let one = try MultimodalTransformer(config(groups), seed: 3, engine: engine)
    let model = try MultimodalTransformer(config(groups, gate: .modality), seed: 3, engine: engine)
    let known = Dictionary(uniqueKeysWithValues: one.parameters.map { ($0.path, $0) })
    var gates: [Parameter] = []
    for parameter in model.parameters {
      guard known[parameter.path] == nil else { continue }
      let words = parameter.path.split(separator: ".")
      parameter.value.pointer.update(
        from: known[(words.dropLast(2) + ["weight"]).joined(separator: ".")]!.value.pointer, count: parameter.count)
      gates.append(parameter)
    }
    #expect(
      gates.count == 3 * 2
        && gates.prefix(3).map { $0.path.split(separator: ".")[4] } == ["vision", "language", "audio"])
    let (found, expected) = (run(model), run(one))
    #expect(found.loads == expected.loads)
    #expect(zip(found.rows, expected.rows).allSatisfy { abs($0 - $1) < 1e-4 })
    #expect(try ModelCosts(model.config).parameters == model.parameters.reduce(0) { $0 + $1.count })
    // Of the first layer: later ones see what the first one changed.
    for i in 0..<gates[2].count { gates[2].value.pointer[i] *= -1 }
    let moved = run(model).loads[0]
    #expect(moved[0] == expected.loads[0][0] && moved[1] == expected.loads[0][1] && moved[2] != expected.loads[0][2])
  }

  /// A batch without a modality trains its gate and its experts with zeros: which parameters a step trains does not follow from
  /// what it holds.
  @Test func nothingOfAModality() throws {
    let model = try MultimodalTransformer(
      config("vision:2@8,language:2,audio:2@12,shared:0", gate: .modality), seed: 3, engine: engine)
    let tape = Tape(engine, recording: true)
    let states = model(PackedSequences([:], [.init([.text([3, 5, 1])])]), ForwardPass(tape, training: true))
    _ = model.nextTokenLoss(states, targets: [[5, 1, 4]], weight: 1, tape)
    tape.backward()
    for parameter in model.parameters where parameter.path.contains(".moe.") {
      #expect(parameter.hasGradient, "\(parameter.path)")
      guard parameter.path.contains(".audio.") || parameter.path.contains(".vision.") else { continue }
      #expect(parameter.gradient.values.allSatisfy { $0 == 0 }, "\(parameter.path)")
    }
  }

  @Test func towersHaveTheirWidths() throws {
    var config = ModalityTests.config(.late)
    config.moe.groups = "audio:2@12,vision:3@8,language:3"
    let model = try MultimodalTransformer(config, seed: 3, engine: engine)
    let widths = model.parameters.filter { $0.path.hasSuffix("experts.fc2.weight") }.map { $0.shape[2] }
    #expect(widths == [8, 12, 80, 80])
    #expect(try ModelCosts(config).parameters == model.parameters.reduce(0) { $0 + $1.count })
    config.moe.gate = .modality
    #expect { try config.validate() } throws: { "\($0)".contains("every tower has gates of its own") }
    var single = ModelConfig()
    single.moe.gate = .modality
    #expect { try single.validate() } throws: { "\($0)".contains("moe.gate is modality") }
  }
}
