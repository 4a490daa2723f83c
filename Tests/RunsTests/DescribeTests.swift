import MMoEModels
import MMoETensor
import TestSupport
import Testing

@testable import MMoEConfig
@testable import MMoERuns
@testable import MMoETrain

/// What `mmoe model` says follows from the values alone.
@Suite struct DescribeTests {
  /// The table shows the windows that the planner works with (ParallelTests hold them to the paper's section 3).
  @Test func windowsOfThePair() throws {
    func windows(_ name: String) throws -> [[String]] {
      let variant = try #require(MoEVariant.all.first { $0.name == name })
      return variant.pairWindows
    }
    #expect(try windows("scmoe") == [["mlp", "attention", "shared expert"]])
    #expect(try windows("dgmoe") == [["mlp", "attention"], []])
    #expect(try windows("shared") == [["shared expert"]])
    #expect(try windows("top2") == [[]])
  }

  /// The groups' numbers add up to the model's, for shapes that are built and for those too large to build.
  @Test(arguments: ["gpt-toy", "gpt-small", "vit-tiny", "gpt2-moe-small", "llama2-moe"])
  func groupsAddUp(preset: String) throws {
    let text = try ModelDescription(preset: preset, settings: []).text()
    let parts = text.components(separatedBy: "\n\n")
    let numbers = parts[0].split(separator: "\n").dropFirst(2).compactMap { line in
      line.split(separator: " ").last.flatMap { Int($0.replacing(",", with: "")) }
    }
    var config = RunConfig()
    try RunConfig.table.apply(ProjectHome.presets.preset(preset), to: &config)
    #expect(numbers.reduce(0, +) == (try ModelCosts(config.model).parameters))
  }

  /// The walk brings every block as many parameters as the model has there, of every preset and variant.
  @Test func parametersOfEveryPreset() throws {
    for preset in try ProjectHome.presets.presets() {
      for variant in ["dense"] + MoEVariant.all.map(\.name) {
        var config = RunConfig()
        try RunConfig.table.apply(preset, to: &config)
        config.model.moe.variant = variant
        // A source that the first block with experts has.
        if config.model.moe.firstBlock == 0 { config.model.moe.first = 1 }
        let operations = try Architecture(config.model).operations
        var model: [Int: Int] = [:]
        for parameter in try config.model.makeModel(seed: nil, engine: Engine(threads: 1), describes: true).parameters {
          let words = parameter.path.split(separator: ".")
          let block = words[0] == "blocks" ? Int(words[1])! : -1
          model[block, default: 0] += parameter.count
          guard words.last == "weight", ["qkv", "proj", "query", "key_value", "gate"].contains(words[words.count - 2])
          else { continue }
          // A product of its own.
          let sizes = parameter.shape
          #expect(
            operations.contains { $0.block == block && [$0.outer, $0.inner] == sizes },
            "\(preset.name) \(variant) \(parameter.path)")
        }
        let walk = operations.reduce(into: [Int: Int]()) {
          $0[$1.block ?? -1, default: 0] += $1.parameters
        }
        #expect(walk == model, "\(preset.name) \(variant)")
      }
    }
  }

  /// The largest sizes of every key: counted or refused in one line, never beyond what an integer holds.
  @Test(arguments: [
    (["model.layers=512", "model.width=65536", "model.hidden=1048576", "moe.experts=16384"], true),
    (["model.layers=512", "model.width=65536", "model.hidden=1048576", "moe.experts=64"], false),
    (["model.width=65536", "model.context=1048576", "model.vocabulary=16777216", "model.heads=1024"], false),
    (["moe.experts=16384", "moe.hidden=1048576", "moe.variant=top16384", "data.batch=65536"], false),
    (["lora.rank=1024", "model.layers=512", "model.width=65536", "moe.experts=16384"], true),
  ])
  func largestSizes(settings: [String], isRefused: Bool) throws {
    let description = try ModelDescription(preset: "gpt-toy", settings: settings)
    var config = RunConfig()
    try RunConfig.table.apply(ProjectHome.presets.preset("gpt-toy"), to: &config)
    try RunConfig.table.set(settings, in: &config)
    let dryRun = try DryRun(task: .lm, preset: "gpt-toy", config: config, data: nil)
    guard isRefused else {
      #expect(try description.text().contains("parameters are not listed"))
      #expect(try !dryRun.text().isEmpty && !dryRun.json().line.isEmpty)
      #expect { try MemoryBounds().require(config, RunDivision()) } throws: { "\($0)".contains("model.width") }
      return
    }
    for attempt in [{ _ = try description.text() }, { _ = try dryRun.text() }, { _ = try dryRun.json() }]
      as [() throws -> Void]
    {
      #expect { try attempt() } throws: { error in
        let line = "\(error)"
        return line.hasPrefix("model.layers 512, model.width 65536") && line.contains("lower them")
          && !line.contains("\n")
      }
    }
  }

  @Test func everyVariantHasADiagram() throws {
    for variant in ["dense"] + MoEVariant.all.map(\.name) {
      var config = MoEConfig()
      config.variant = variant
      let dot = try PairDiagram(config).dot
      #expect(dot.hasPrefix("digraph") && dot.hasSuffix("}\n"))
      #expect(dot.contains("experts") == (variant != "dense"))
    }
  }
}
