import Foundation
import MMoEModels
import MMoEParallel
import MMoEReport

/// `mmoe simulate`: the paper's three clusters, and scaling of a cluster given in figures.
package enum SimulationReport {
  /// Published and simulated speed-ups over sequential top-2, side by side.
  ///
  /// - Throws: `DataError` for a file of published figures that is wrong.
  package static func publishedClusters() throws -> String {
    var table = TextTable(columns: [
      .left("cluster (share of exchange)"), .left("variant"), .right("train, published"), .right("simulated"),
      .right("inference, published"), .right("simulated"), .right("hidden"),
    ])
    for cluster in try PublishedCluster.read() {
      let costs = PairCosts.of(shareOfMoETime: cluster.exchangeShare, attention: cluster.attention)
      for result in cluster.results {
        func speedUp(_ training: Bool) throws -> Double {
          // Top-3 is ScMoE-2's equal in computation, but the paper compares with top-2 throughout.
          let base = try PairSimulator.predict(costs, variant: "top2", .sequential, training: training)
          let own = try PairSimulator.predict(
            costs, variant: result.variant.name, position: result.position, result.strategy, training: training)
          return base.seconds / own.seconds
        }
        let hidden = try PairSimulator.predict(
          costs, variant: result.variant.name, position: result.position, result.strategy, training: false
        ).hidden
        func shown(_ value: Double?) -> String { value.map { HumanFormat.fixed($0, 2) } ?? "–" }
        table.add([
          "\(cluster.name) (\(HumanFormat.percent(cluster.exchangeShare)))",
          result.variant.name + (result.variant.name == "scmoe" ? " Pos-\(result.position)" : ""), shown(result.train),
          shown(try speedUp(true)), shown(result.inference), shown(try speedUp(false)), HumanFormat.percent(hidden),
        ])
      }
    }
    return table.render()
  }

  /// How a pair of a cluster scales.
  package struct Scaling: Sendable {
    package var width = 1024
    /// Tokens of a rank; in strong scaling those of one rank alone.
    package var tokens = 4096
    package var expertsOfRank = 4
    /// Products a rank computes, FLOP/s.
    package var flops = 1e14
    /// Bytes of a value on the wire.
    package var valueBytes = 2
    package var shape = ClusterShape(
      ranks: 1, ranksPerNode: 8, linkInside: 1.5e11, linkBetween: 2.5e10, latency: 5e-6)
    package var isStrong = false
    package var largestRanks = 4096
    package init() {}

    private func costs(_ ranks: Int) throws -> PairCosts {
      let own = isStrong ? Double(tokens) / Double(ranks) : Double(tokens)
      var cluster = shape
      cluster.ranks = ranks
      var pair = ModelConfig()
      (pair.kind, pair.layers, pair.width, pair.heads) = (.gpt, 2, width, 1)
      var costs = try PairCosts(
        of: pair, tokens: own, flops: flops,
        exchange: ranks == 1 ? 0 : cluster.exchangeSeconds(bytes: own * Double(width * valueBytes)),
        latency: cluster.exchangeLatency)
      costs.expertsOfRank = expertsOfRank
      return costs
    }

    private static let cases: [(label: String, variant: String, strategy: OverlapStrategy)] = [
      ("top-2 sequential", "top2", .sequential), ("top-2 pipelined:4", "top2", .pipelined(4)),
      ("shared expert", "shared", .shortcut), ("ScMoE Pos-2", "scmoe", .auto),
    ]

    /// Tokens a second of a rank's pair in training, over numbers of ranks in powers of two.
    package func rows() throws -> [(ranks: Int, tokensPerSecond: [Double], hidden: Double)] {
      var rows: [(Int, [Double], Double)] = []
      var ranks = 1
      while ranks <= largestRanks {
        let costs = try costs(ranks)
        let predictions = try Scaling.cases.map {
          try PairSimulator.predict(costs, variant: $0.variant, $0.strategy, training: true)
        }
        let own = isStrong ? Double(tokens) / Double(ranks) : Double(tokens)
        rows.append((ranks, predictions.map { own / $0.seconds }, predictions[3].hidden))
        ranks *= 2
      }
      return rows
    }

    /// A table, and a plot where a file is named.
    ///
    /// - Throws: `ReportError` when the plot cannot be drawn.
    package func report(plot file: String?) throws -> String {
      let rows = try rows()
      var table = TextTable(
        columns: [.right("ranks")] + Scaling.cases.map { .right($0.label) } + [.right("ScMoE hidden")])
      for row in rows {
        table.add(
          ["\(row.ranks)"] + row.tokensPerSecond.map { HumanFormat.grouped(Int($0)) }
            + [HumanFormat.percent(row.hidden)])
      }
      if let file {
        let series = Scaling.cases.indices.map { i in
          LinePlot.Series(
            Scaling.cases[i].label,
            rows.map { (x: log2(Double($0.ranks)), y: $0.tokensPerSecond[i]) }, style: .marked,
            color: i)
        }
        try PlotFigure(
          title: "\(isStrong ? "strong" : "weak") scaling, one pair of d = \(width), training",
          panels: [
            LinePlot(title: "throughput", xLabel: "log2 of ranks", yLabel: "tokens/s a rank", series: series)
          ], height: 600
        ).write(to: file)
      }
      return "tokens a second of a rank, one pair in training (\(isStrong ? "strong" : "weak") scaling)\n"
        + table.render()
    }
  }
}
