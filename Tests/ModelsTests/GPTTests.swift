import MMoEModels
import MMoETensor
import TestSupport
import Testing

/// The language model as a whole: every form of it, and generation with cached keys and values.
@Suite struct GPTTests {
  let engine = try! Engine(threads: 2)

  static func config(_ form: String, variant: String = "top2") -> ModelConfig {
    var config = ModelConfig()
    config.kind = .gpt
    (config.layers, config.width, config.heads) = (4, 24, 4)
    (config.text.vocabulary, config.text.context) = (37, 16)
    (config.moe.variant, config.moe.experts, config.initStd) = (variant, 4, 0.2)
    if form == "llama" {
      (config.kvHeads, config.activation, config.norm, config.bias) = (2, .swiglu, .rms, false)
      (config.text.positions, config.text.tiedHead, config.hidden) = (.rotary, false, 40)
    }
    return config
  }

  static let ids: [Int32] = (0..<16).map { Int32($0 * 7 % 37) }

  /// The same logits position by position through the cache, in pieces, and all at once: for every variant.
  @Test(arguments: ["gpt2", "llama"], ["dense"] + MoEVariant.all.map(\.name))
  func cachedAndUncachedLogitsAgree(form: String, variant: String) throws {
    let model = try GPT(GPTTests.config(form, variant: variant), seed: 3, engine: engine)
    func pass() -> ForwardPass { ForwardPass(Tape(engine, recording: false), training: false) }
    let whole = pass()
    let logits = model.logits(model(GPTTests.ids, sequence: 16, whole), whole.tape).values
    let caches = model.makeCaches()
    var done = 0
    for count in [5, 1, 1, 1, 6, 1, 1] {
      let found = model.next(Array(GPTTests.ids[done..<done + count]), caches: caches, pass()).values
      done += count
      let expected = logits[((done - 1) * 37)..<(done * 37)]
      for (a, b) in zip(found, expected) { #expect(abs(a - b) < 2e-4 * max(1, abs(b)), "after \(done)") }
    }
    #expect(caches[0].count == 16)
  }

  /// No position sees a later one: changing a token leaves all logits before it as they were.
  @Test(arguments: ["gpt2", "llama"]) func isCausal(form: String) throws {
    // Dropless routing is a matter of each token alone, so this holds through the experts too.
    let model = try GPT(GPTTests.config(form, variant: "scmoe"), seed: 3, engine: engine)
    func logits(_ ids: [Int32]) -> [Float] {
      let pass = ForwardPass(Tape(engine, recording: false), training: false)
      return model.logits(model(ids, sequence: 16, pass), pass.tape).values
    }
    var changed = GPTTests.ids
    changed[9] = (changed[9] + 1) % 37
    let (a, b) = (logits(GPTTests.ids), logits(changed))
    #expect(zip(a[..<(9 * 37)], b[..<(9 * 37)]).allSatisfy { abs($0 - $1) < 1e-5 })
    #expect(zip(a[(9 * 37)...], b[(9 * 37)...]).contains { abs($0 - $1) > 1e-3 })
  }

  /// Evaluation with a capacity: what is dropped at a position is the same whatever comes later, in whatever batch, and token
  /// by token with a cache.
  @Test(arguments: MoEVariant.all.map(\.name), [false, true])
  func capacityIsCausal(variant: String, batchPriority: Bool) throws {
    var config = GPTTests.config("gpt2", variant: variant)
    (config.moe.evalCapacityFactor, config.moe.batchPriority, config.moe.identityExperts) = (0.6, batchPriority, 1)
    let model = try GPT(config, seed: 3, engine: engine)
    func pass() -> ForwardPass { ForwardPass(Tape(engine, recording: false), training: false) }
    func logits(_ ids: [Int32], sequence: Int = 16) -> (values: [Float], dropped: Double) {
      let pass = pass()
      let values = model.logits(model(ids, sequence: sequence, pass), pass.tape).values
      return (values, pass.routings.reduce(0) { $0 + $1.dropped })
    }
    func agree(_ a: ArraySlice<Float>, _ b: ArraySlice<Float>) -> Bool {
      a.count == b.count && zip(a, b).allSatisfy { abs($0 - $1) < 2e-4 * max(1, abs($1)) }
    }
    let (whole, dropped) = logits(GPTTests.ids)
    #expect(dropped > 0)
    for position in [1, 8, 9, 15] {
      var changed = GPTTests.ids
      for later in position..<16 { changed[later] = (changed[later] * 3 + 5) % 37 }
      #expect(agree(logits(changed).values[..<(position * 37)], whole[..<(position * 37)]), "from \(position)")
      let prefix = Array(GPTTests.ids[..<position])
      #expect(agree(logits(prefix, sequence: position).values[...], whole[..<(position * 37)]), "up to \(position)")
    }
    // Beside another sequence.
    let other = GPTTests.ids.map { ($0 * 5 + 1) % 37 }
    #expect(agree(logits(other + GPTTests.ids).values[(16 * 37)...], whole[...]))
    let caches = model.makeCaches()
    var done = 0
    for count in [5, 1, 1, 1, 6, 1, 1] {
      let found = model.next(Array(GPTTests.ids[done..<done + count]), caches: caches, pass()).values
      done += count
      #expect(agree(found[...], whole[((done - 1) * 37)..<(done * 37)]), "after \(done)")
    }
  }

  /// In bfloat16 a sequence has the same digits in a batch of any size.
  @Test(
    .enabled(if: (try? Engine(threads: 1, dtype: .bf16)) != nil, "this CPU or build has no bfloat16 products"),
    arguments: ["gpt2", "llama"], ["dense", "top2", "scmoe"])
  func batchSizeDoesNotMatter(form: String, variant: String) throws {
    let rounding = try Engine(threads: 2, dtype: .bf16)
    let model = try GPT(GPTTests.config(form, variant: variant), seed: 3, engine: rounding)
    let ids = (0..<40).map { Int32($0 * $0 % 37) }
    func losses(_ ids: ArraySlice<Int32>) -> [Float] {
      let pass = ForwardPass(Tape(rounding, recording: false), training: false)
      return model.loss(Array(ids), targets: Array(ids), sequence: 4, pass).losses
    }
    let whole = losses(ids[...])
    for size in [1, 2, 3, 5] {
      let found = stride(from: 0, to: 10, by: size).flatMap { losses(ids[$0 * 4..<min($0 + size, 10) * 4]) }
      #expect(found == whole, "batches of \(size)")
    }
  }

  /// All gradients through the whole model, tied and untied.
  @Test(arguments: ["gpt2", "llama"], ["top2", "scmoe", "dgmoe"])
  func gradients(form: String, variant: String) throws {
    let targets = GPTTests.ids.dropFirst() + [-1]
    // Some weights lie too close to a jump of the routers: the first of a few seeds that do not.
    var checks: [GradientCheck]?
    for seed in UInt64(5)...12 where checks == nil {
      let model = try GPT(GPTTests.config(form, variant: variant), seed: seed, engine: engine)
      checks = checkRoutedGradients(engine: engine, parameters: model.parameters) { tape in
        let pass = ForwardPass(tape, training: true)
        _ = model.loss(GPTTests.ids, targets: Array(targets), sequence: 8, pass)
        return pass.routings.map(\.load)
      }
    }
    for check in try #require(checks) { #expect(check.error < 3e-2, "\(check)") }
  }

  /// The count from the configuration is that of the model.
  @Test(arguments: ["gpt2", "llama"], ["dense"] + MoEVariant.all.map(\.name))
  func costsCountParameters(form: String, variant: String) throws {
    let config = GPTTests.config(form, variant: variant)
    let model = try GPT(config, seed: 1, engine: engine)
    #expect(try ModelCosts(config).parameters == model.parameters.reduce(0) { $0 + $1.count })
  }
}
