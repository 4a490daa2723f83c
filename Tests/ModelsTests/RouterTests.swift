import Foundation
import MMoETensor
import TestSupport
import Testing

@testable import MMoEModels

/// Every router of the table: gradients, refusals, and what it promises about its choices.
@Suite struct RouterTests {
  let engine = try! Engine(threads: 2)

  /// What it takes to use a router in `VariantTests.config`.
  static let forms: [(name: String, change: @Sendable (inout MoEConfig) -> Void)] = [
    ("sigmoid", { _ in }),
    (
      "sigmoid",
      {
        ($0.experts, $0.groupCount, $0.groupLimit, $0.routeScale, $0.biasRate) = (8, 4, 2, 2.5, 0.01)
        $0.balance = "sequence"
      }
    ),
    ("sigmoid", { ($0.renormalize, $0.identityExperts, $0.capacityFactor) = (false, 2, 0.5) }),
    (
      "expert_choice",
      {
        ($0.capacityFactor, $0.evalCapacityFactor, $0.balance, $0.zLossWeight) = (0.7, 1, "none", 0.01)
      }
    ),
  ]

  /// Notes which experts every token got.
  private final class Choices: PassObserver {
    var all: [[Int]] = []
    func routed(_ call: ObservedCall) { all.append(call.routing.choice.experts.map(Int.init)) }
  }

  @Test(arguments: forms.indices) func gradients(form: Int) throws {
    let (name, change) = RouterTests.forms[form]
    for variant in name == "sigmoid" ? ["top2", "scmoe", "dgmoe"] : ["top2", "scmoe"] {
      var config = VariantTests.config(variant)
      config.moe.router = name
      change(&config.moe)
      // With DGMoE's constraint and groups a token must find an expert left.
      var checks: [GradientCheck]?
      for seed in UInt64(1)...20 where checks == nil {
        let model = try VisionTransformer(config, seed: seed, engine: engine)
        for (_, bias) in model.buffers { for e in 0..<bias.count { bias.pointer[e] = Float(e % 3) * 0.05 } }
        let images = randomTensor([3, 3, 8, 8], seed: 100 + seed)
        let factors = randomTensor([3, 5], seed: 2)
        checks = checkRoutedGradients(engine: engine, parameters: model.parameters) { tape in
          let choices = Choices()
          let pass = ForwardPass(tape, training: true, seed: 3, observer: choices)
          tape.innerProduct(model(images, pass), with: factors)
          return choices.all
        }
      }
      for check in try #require(checks, "\(name), \(variant): no weights away from jumps") {
        #expect(check.error < 0.03, "\(name), \(variant): \(check)")
      }
    }
  }

  /// The counted parameters are the model's, whatever the router.
  @Test func countedParameters() throws {
    for (name, change) in RouterTests.forms {
      var config = VariantTests.config("scmoe")
      config.moe.router = name
      change(&config.moe)
      let model = try VisionTransformer(config, seed: 1, engine: engine)
      #expect(try ModelCosts(config).parameters == model.parameters.reduce(0) { $0 + $1.count }, "\(name)")
    }
  }

  /// Every expert takes C tokens; with twice the capacity the products of the experts are twice as many.
  @Test func expertChoiceIsBalanced() throws {
    var config = VariantTests.config("top1")
    (config.moe.router, config.moe.balance) = ("expert_choice", "none")
    (config.moe.capacityFactor, config.moe.evalCapacityFactor) = (1, 2)
    let model = try VisionTransformer(config, seed: 1, engine: engine)
    for (training, rows) in [(true, 3), (false, 6)] {
      let pass = ForwardPass(Tape(engine, recording: false), training: training)
      _ = model(randomTensor([3, 3, 8, 8], seed: 1), pass)
      // Three images of four patches, four experts.
      #expect(pass.routings.allSatisfy { $0.load == Array(repeating: rows, count: 4) && $0.dropped == 0 })
      #expect(pass.routings.allSatisfy { $0.auxiliary.isEmpty })
    }
    let once = try ModelCosts(config).forwardFLOPs
    config.moe.capacityFactor = 2
    var two = VariantTests.config("top2")
    two.moe.experts = 4
    #expect(try ModelCosts(config).forwardFLOPs == ModelCosts(two).forwardFLOPs)
    #expect(try ModelCosts(config).forwardFLOPs > once)
  }

  /// Two experts, four tokens, C = 2, by hand; equal probabilities go to the lower token.
  @Test func expertChoiceByHand() {
    let gate = gate(experts: 2, k: 1) {
      ($0.router, $0.capacityFactor, $0.balance) = ("expert_choice", 1, "none")
    }
    // Of expert 0: 0.73, 0.5, 0.5, 0.12.
    let logits = Tensor([1, 0, 0, 0, 0, 0, 0, 2], shape: [4, 2])
    let routing = gate(logits, exclude: nil, block: 0, route: 0, pass())
    #expect(routing.choice.experts == [0, -1, 0, 1, -1, -1, 1, -1])
    #expect(routing.plan.position == [0, -1, 1, 3, -1, -1, 2, -1] && routing.plan.source == [0, 1, 3, 1])
    #expect(routing.plan.mostRows == 4 && routing.plan.pairs == 4 && routing.plan.dropped == 0)
    for (found, expected) in zip(routing.choice.gates.values, [0.7310586, 0, 0.5, 0.5, 0, 0, 0.8807971, 0] as [Float]) {
      #expect(abs(found - expected) < 1e-6)
    }
  }

  /// What is not finite in a token's logits is not finite in its weights, whatever the router.
  @Test(arguments: ["softmax", "sigmoid", "expert_choice"]) func notANumberShows(router: String) {
    let gate = gate(experts: 4, k: 2) {
      ($0.router, $0.capacityFactor, $0.balance) = (router, router == "expert_choice" ? 0.5 : 0, "none")
    }
    let logits = randomTensor([8, 4], seed: 3)
    logits.pointer[2 * 4 + 1] = .nan
    let gates = gate(logits, exclude: nil, block: 0, route: 0, pass()).choice.gates
    #expect((0..<gates.columns).contains { gates.pointer[2 * gates.columns + $0].isNaN })
  }

  /// Scores that are all equal, and logits whose exponentials are no numbers: experts still, each once, the lower ones first.
  @Test func sigmoidTies() {
    let gate = gate(experts: 6, k: 3) {
      ($0.router, $0.groupCount, $0.groupLimit, $0.balance) = ("sigmoid", 3, 2, "none")
    }
    let (low, high) = (Float(-1000), Float(1000))
    let logits = Tensor(
      [0, 0, 0, 0, 0, 0, low, low, low, low, low, low, 0, high, high, low, 3, 4, 5, 5, 0, 9, 1, 1], shape: [4, 6])
    let choice = gate(logits, exclude: [1, -1, -1, -1], block: 0, route: 0, pass()).choice
    // Token 0 may not take expert 1, whose group then counts as one score.
    #expect(choice.experts == [2, 3, 4, 0, 1, 2, 1, 5, 4, 3, 0, 1])
    #expect(choice.gates.values.allSatisfy { $0.isFinite && $0 >= 0 })
  }

  /// No token reaches a foreign group of experts.
  @Test func sigmoidStaysInGroups() throws {
    var config = MultimodalTests.config(variant: "top2", groups: "vision:3,language:3,shared:0")
    (config.moe.router, config.moe.biasRate) = ("sigmoid", 0.5)
    let model = try MultimodalTransformer(config, seed: 3, engine: engine)
    for step in 0..<3 {
      let pass = ForwardPass(Tape(engine, recording: false), training: true, seed: 1, step: step)
      _ = model(MultimodalTests.batch(), pass)
      model.afterStep()
      for routing in pass.routings {
        #expect(routing.modalityLoad[0][3...].allSatisfy { $0 == 0 })
        #expect(routing.modalityLoad[1][..<3].allSatisfy { $0 == 0 })
      }
    }
  }

  /// The selection bias makes the wanted share of choices fall on experts, from a gate that prefers identities or experts.
  @Test(arguments: [-0.5, 0.5] as [Float], [0.5, 0.8]) func realShareIsMet(preference: Float, share: Double) throws {
    let gate = gate(experts: 4, k: 2) {
      ($0.identityExperts, $0.balance, $0.biasRate, $0.realShare) = (2, "none", 0.5, share)
    }
    let x = randomTensor([600, 6], seed: 1)
    for t in 0..<600 { for e in 0..<4 { x.pointer[t * 6 + e] += preference } }
    var load: [Int] = []
    for _ in 0..<400 {
      let pass = pass()
      _ = gate(x, exclude: nil, block: 0, route: 0, pass)
      pass.finishRouting()
      load = pass.routings[0].load
      gate.afterStep()
    }
    #expect(abs(Double(load[..<4].reduce(0, +)) / 1200 - share) < 0.02, "\(load)")
    for expert in load[..<4] { #expect(abs(Double(expert) / 1200 - share / 4) < 0.02, "\(load)") }
    let bias = try #require(gate.selectionBias).values
    #expect(bias[4...] == [0, 0] && bias[..<4].allSatisfy { abs($0) < 1 }, "\(bias)")
  }

  /// Of one sequence it is the loss of the whole batch; of several, the mean of theirs.
  @Test func sequenceBalanceIsAMean() {
    let x = randomTensor([24, 6], seed: 5)
    func loss(_ balance: String, rows: Range<Int> = 0..<24, length: Int = 24) -> Double {
      let gate = gate(experts: 6, k: 2) { $0.balance = balance }
      let part = Tensor(Array(x.values[rows.lowerBound * 6..<rows.upperBound * 6]), shape: [rows.count, 6])
      let sequences = stride(from: 0, to: rows.count, by: length).map { $0..<$0 + length }
      let pass = pass()
      _ = gate(part, exclude: nil, block: 0, route: 0, tags: TokenTags(sequences: sequences), pass)
      pass.finishRouting()
      return pass.routings[0].auxiliary["balance"]!
    }
    #expect(abs(loss("sequence") - loss("all_choices")) < 1e-6)
    let parts = [0..<8, 8..<16, 16..<24].map { loss("sequence", rows: $0, length: 8) }
    #expect(abs(loss("sequence", length: 8) - parts.reduce(0, +) / 3) < 1e-6)
    #expect(parts[0] != parts[1])
  }

  @Test func refusals() throws {
    let cases: [(message: String, change: (inout ModelConfig) -> Void)] = [
      ("moe.router is 'x'; valid are softmax, sigmoid, expert_choice, uniform", { $0.moe.router = "x" }),
      ("moe.balance is 'x'; valid are all_choices,", { $0.moe.balance = "x" }),
      (
        "moe.n_group is 2, which moe.router softmax does not use; set moe.n_group=1, or moe.router to sigmoid",
        { $0.moe.groupCount = 2 }
      ),
      ("moe.routed_scaling_factor is 2.0, which moe.router softmax", { $0.moe.routeScale = 2 }),
      (
        "moe.z_loss_weight is 0.1, which moe.router sigmoid", { ($0.moe.router, $0.moe.zLossWeight) = ("sigmoid", 0.1) }
      ),
      ("moe.bias_rate is 0.1, which moe.router uniform", { ($0.moe.router, $0.moe.biasRate) = ("uniform", 0.1) }),
      ("does not cut moe.experts 4 into equal groups", { ($0.moe.router, $0.moe.groupCount) = ("sigmoid", 3) }),
      (
        "moe.topk_group is 3, but moe.n_group is 2",
        { ($0.moe.router, $0.moe.groupCount, $0.moe.groupLimit) = ("sigmoid", 2, 3) }
      ),
      (
        "leaves a token 2 experts of which it chooses 3",
        { ($0.moe.router, $0.moe.groupCount, $0.moe.variant) = ("sigmoid", 2, "top3") }
      ),
      (
        "moe.capacity_factor is 0, but moe.router is expert_choice",
        { ($0.moe.router, $0.moe.balance) = ("expert_choice", "none") }
      ),
      (
        "moe.eval_capacity_factor is 0, but",
        { ($0.moe.router, $0.moe.balance, $0.moe.capacityFactor) = ("expert_choice", "none", 1) }
      ),
      (
        "moe.balance is all_choices, which moe.router expert_choice does not use; set moe.balance=none",
        { $0.moe.router = "expert_choice" }
      ),
      (
        "moe.renormalize is false, which moe.router expert_choice does not use; set moe.renormalize=true",
        { ($0.moe.router, $0.moe.balance, $0.moe.renormalize) = ("expert_choice", "none", false) }
      ),
      (
        "moe.constrained is true, which moe.router expert_choice",
        { ($0.moe.router, $0.moe.variant) = ("expert_choice", "dgmoe") }
      ),
      (
        "text of model.kind gpt is causal: experts that choose among all tokens let later ones decide",
        { ($0.kind, $0.moe.router, $0.moe.balance) = (.gpt, "expert_choice", "none") }
      ),
      (
        "model.kind multimodal is causal",
        { ($0.kind, $0.moe.router, $0.moe.balance) = (.multimodal, "expert_choice", "none") }
      ),
      ("moe.real_share is 0.5, but moe.identity_experts is 0", { $0.moe.realShare = 0.5 }),
      ("but moe.bias_rate is 0", { ($0.moe.realShare, $0.moe.identityExperts) = (0.5, 1) }),
      (
        "moe.balance is entropy, which compares modalities that share a bank of experts", { $0.moe.balance = "entropy" }
      ),
    ]
    for (message, change) in cases {
      var config = VariantTests.config("top2")
      change(&config)
      let error = #expect(throws: ModelError.self, "\(message)") { try config.validate() }
      #expect(error?.description.contains(message) == true, "\(error?.description ?? message)")
    }
  }

  private func pass() -> ForwardPass { ForwardPass(Tape(engine, recording: false), training: true) }

  /// A gate that sees its input as logits.
  private func gate(experts: Int, k: Int, _ change: (inout MoEConfig) -> Void) -> Gate {
    var config = MoEConfig()
    config.experts = experts
    change(&config)
    let store = ParameterStore(engine: engine, seed: 1, initStd: 0.02)
    let gate = try! Gate(store, "gate", width: config.choices, config: config, k: k)
    for i in 0..<gate.weight.count { gate.weight.value.pointer[i] = i % (config.choices + 1) == 0 ? 1 : 0 }
    return gate
  }
}
