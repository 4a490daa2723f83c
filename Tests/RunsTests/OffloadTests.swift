import Foundation
import MMoEModels
import MMoETensor
import TestSupport
import Testing
import TinyRuns

@testable import MMoEReport
@testable import MMoERuns
@testable import MMoETrain
@testable import MMoEWeights

/// Experts that stay in the checkpoint.
@Suite struct OffloadTests {
  /// A checkpoint of four layers, two with eight experts.
  private func checkpoint(_ scratch: ScratchFolder, _ settings: [String]) throws -> String {
    let run = try TinyTextRun(["model.layers=4", "moe.experts=8", "train.steps=2"] + settings)
    try run.train(into: scratch("run"))
    return scratch("run/step-0000002.h5")
  }

  private func generate(
    _ file: String, _ mode: OffloadMode, cache: Int? = nil, prompt: String = "the cat"
  ) throws -> (text: String, report: [String: Any]) {
    var options = GenerateSession.Options()
    options.checkpoint = file
    options.prompts = [prompt]
    options.tokens = 20
    options.threads = 2
    options.offload = mode
    options.expertCache = cache
    options.printsJSON = true
    let output = TextBuffer()
    try GenerateSession(options, CommandSinks(output: output, errors: TextBuffer())).run()
    let lines = try output.text.split(separator: "\n").map {
      try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any] ?? [:]
    }
    return (try #require(lines[0]["text"] as? String), lines.last?["offload"] as? [String: Any] ?? [:])
  }

  /// The same text however few experts are in memory, for every variant, whole blocks of the file or not.
  @Test(arguments: ["top2", "scmoe", "dgmoe", "hierarchical"], [32, 64])
  func sameText(variant: String, hidden: Int) throws {
    let scratch = ScratchFolder()
    let file = try checkpoint(scratch, ["moe.variant=\(variant)", "model.hidden=\(hidden)", "moe.bank_layers=1"])
    let expected = try generate(file, .none)
    #expect(expected.report.isEmpty)
    for mode in [OffloadMode.blocking, .async] {
      for cache in [1, 4, 16] {
        let found = try generate(file, mode, cache: cache)
        #expect(found.text == expected.text, "\(mode), \(cache) experts")
        let (reads, peak) = (found.report["reads"] as? Int ?? 0, found.report["resident_peak"] as? Int ?? 0)
        // All sixteen fit: each is read once at most. One fits: every call of a token reads.
        #expect(cache == 16 ? reads <= 16 : reads > 16, "\(mode), \(cache): \(reads) reads")
        // A text's beginning may choose all eight of a layer.
        #expect(peak <= max(cache, 8) && peak >= 1)
        #expect((found.report["ceiling"] as? Double ?? -1) >= (found.report["hidden"] as? Double ?? 2) - 0.05)
      }
    }
  }

  /// Which experts are read is the plan's, whatever the router that made it.
  @Test func sameTextWithSigmoidScores() throws {
    let scratch = ScratchFolder()
    let file = try checkpoint(
      scratch, ["moe.variant=scmoe", "moe.router=sigmoid", "moe.n_group=4", "moe.topk_group=2", "moe.bias_rate=0.01"])
    let expected = try generate(file, .none)
    let found = try generate(file, .async, cache: 4)
    #expect(found.text == expected.text && (found.report["reads"] as? Int ?? 0) > 4)
  }

  /// Dropped experts' memory is given back, and what is read again is what was there.
  @Test func dropsTheLeastRecentlyUsed() throws {
    let scratch = ScratchFolder()
    let file = try checkpoint(scratch, ["moe.variant=top1", "model.width=128", "model.hidden=256"])
    let model = try #require(try OffloadedModel(file, .blocking, experts: 2, engine: Engine(threads: 1)))
    let bank = try #require(model.language.model.parameters.first { $0.path == "blocks.1.moe.experts.fc1.weight" })
    let whole = try LoadedLanguageModel(LoadedCheckpoint(file), engine: Engine(threads: 1)).model
    let expected = try #require(whole.parameters.first { $0.path == bank.path }).value
    let size = bank.count / 8
    func values(_ expert: Int) -> [Float] { Array(bank.value.values[expert * size..<(expert + 1) * size]) }
    func use(_ experts: [Int]) {
      let request = model.cache.begin("blocks.1.moe.experts", experts)
      model.cache.end(request)
      for e in experts { #expect(values(e) == Array(expected.values[e * size..<(e + 1) * size]), "expert \(e)") }
      model.cache.release(request)
    }
    use([3])
    use([5])
    use([3])
    use([6])
    // 5 was used longest ago; its pages are empty now.
    #expect(values(5).allSatisfy { $0 == 0 })
    #expect(values(3).contains { $0 != 0 })
    use([5, 6])
    #expect(values(3).allSatisfy { $0 == 0 })
    #expect(model.cache.report.hits == 2 && model.cache.report.misses == 4)
    // More than fit stay while they are needed.
    use([0, 1, 2, 3])
    #expect(model.cache.report.residentPeak == 4)
  }

  @Test func refusals() throws {
    let scratch = ScratchFolder()
    let dense = try checkpoint(scratch, ["moe.variant=dense"])
    let error = #expect(throws: WeightsError.self) { try generate(dense, .async) }
    #expect(error?.description == "\(dense): the model is dense and has no experts to offload; use --offload none")
  }

  /// A file that becomes shorter while it is used ends the run with one line.
  @Test(arguments: [OffloadMode.blocking, .async]) func cutFile(mode: OffloadMode) throws {
    let scratch = ScratchFolder()
    let file = try checkpoint(scratch, ["moe.variant=scmoe"])
    let model = try #require(try OffloadedModel(file, mode, experts: 4, engine: Engine(threads: 1)))
    defer { model.cache.close() }
    try model.cache.check()
    try #require(truncate(file, 8192) == 0)
    let request = model.cache.begin("blocks.3.moe.experts", [7])
    model.cache.end(request)
    let error = #expect(throws: WeightsError.self) { try model.cache.check() }
    #expect(error?.description.hasPrefix("\(file): blocks.3.moe.experts 7 could not be read") == true)
  }
}
