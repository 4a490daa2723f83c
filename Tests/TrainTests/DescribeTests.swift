import MMoEModels
import TestSupport
import Testing

@testable import MMoETrain

/// What `mmoe model` says follows from the values alone.
@Suite struct DescribeTests {
  /// The table shows the windows that the planner works with (ParallelTests hold them to the paper's section 3).
  @Test func windowsOfThePair() throws {
    func windows(_ name: String) throws -> [[String]] {
      let variant = try #require(MoEVariant.all.first { $0.name == name })
      return variant.routes.map { variant.pairWindow(of: $0) }
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
