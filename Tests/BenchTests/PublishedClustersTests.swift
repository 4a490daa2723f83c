import Foundation
import MMoEModels
import TestSupport
import Testing

@testable import MMoEBench

/// The paper's figures, which `mmoe simulate` reads from a file.
@Suite struct PublishedClustersTests {
  @Test func figuresOfThePaper() throws {
    let clusters = try PublishedCluster.read()
    #expect(clusters.map(\.exchangeShare) == [0.6, 0.15, 0.5] && clusters.map(\.results.count) == [5, 3, 3])
    let best = try #require(clusters[0].results.last)
    #expect(best.variant.name == "scmoe" && best.position == 3 && best.train == 1.49 && best.inference == 1.82)
    #expect(clusters[2].results[0].strategy == .pipelined(2) && clusters[2].results[0].train == nil)
  }

  /// One line that names file, field, what it holds and what is expected.
  @Test(arguments: [
    ("\"top2\"", "\"topp2\"", "variant is 'topp2', expected one of top1, top2"),
    ("\"sequential\"", "\"slow\"", "strategy is 'slow', expected one of sequential"),
    ("0.15", "1.5", "exchange_share is 1.5, expected a number above 0 and below 1"),
    ("0.75", "\"x\"", "attention is 'x', expected a number above 0"),
    ("1.27", "0", "train is 0, expected a number above 0"),
    ("\"inference\": 1.39", "\"eval\": 1.39", "eval is 1.39, expected no such field"),
    ("\"position\": 3", "\"position\": 1.5", "position is 1.5, expected 1, 2 or 3"),
  ])
  func wrongFigures(from: String, to: String, message: String) throws {
    let scratch = ScratchFolder()
    let text = try String(contentsOfFile: PublishedCluster.file, encoding: .utf8)
    try text.replacing(from, with: to, maxReplacements: 1).write(
      toFile: scratch("wrong.json"), atomically: true, encoding: .utf8)
    #expect { try PublishedCluster.read(scratch("wrong.json")) } throws: { error in
      let line = "\(error)"
      return line.hasPrefix(scratch("wrong.json") + ": ") && line.contains(message) && !line.contains("\n")
    }
  }

  /// Every case that is timed is a variant of the table.
  @Test func casesAreVariants() {
    let names = Set(MoEVariant.all.map(\.name))
    #expect(OverlapBenchmark.Case.all.allSatisfy { names.contains($0.variant) } && !names.isEmpty)
  }
}
