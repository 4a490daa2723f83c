import MMoEModels
import TestSupport
import Testing

@testable import MMoETrain

/// What `mmoe model` says follows from the values alone.
@Suite struct DescribeTests {
  /// The paper's windows (arXiv 2404.05019, section 3.2): what the exchange of each position can hide behind.
  @Test func windowsAreThePapers() throws {
    func window(_ source: RouteSource, shared: Bool = true) -> [String] {
      Route(source, k: 1).window(sharedExpert: shared)
    }
    #expect(window(.position1) == ["attention", "shared expert"])
    #expect(window(.position2) == ["MLP", "attention", "shared expert"])
    #expect(window(.position3) == ["attention", "MLP", "attention", "shared expert"])
    #expect(window(.current) == ["shared expert"])
    #expect(window(.current, shared: false) == [])
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
