import MMoEModels
import MMoEReport

extension SimilarityAnalysis {
  package static func report(_ series: [AnalysisSeries<SimilarityMeasurement>]) -> AnalysisOutput {
    var matrices = CSVTable(["model", "step", "state", "other", "cosine"])
    var changes = CSVTable([
      "model", "step", "block", "body", "length", "change_attention", "change_body", "share_body",
    ])
    for one in series {
      for (step, value) in one.points {
        for (i, state) in value.states.enumerated() {
          for (j, other) in value.states.enumerated() {
            matrices.add([one.label, "\(step)", state.name, other.name, CSVTable.number(value.cosine[i][j])])
          }
        }
        for block in 0..<value.layers {
          changes.add([
            one.label, "\(step)", "\(block)", one.config.isMoE(block) ? "moe" : "mlp",
            CSVTable.number(value.lengths[2 * block]), CSVTable.number(value.changeByAttention(block)),
            CSVTable.number(value.changeByMLP(block)), CSVTable.number(value.shareOfMLP(block..<block + 1)),
          ])
        }
      }
    }
    return AnalysisOutput(
      text: text(series), tables: [("similarity.csv", matrices), ("changes.csv", changes)],
      figures: [("similarity.png", matrixFigure(series)), ("changes.png", changeFigure(series))],
      json: ["models": .array(series.map(json))])
  }

  /// The figures of all models side by side.
  private static func text(_ series: [AnalysisSeries<SimilarityMeasurement>]) -> String {
    var table = TextTable(columns: [.left("last checkpoint")] + series.map { .right($0.label) })
    let summaries = series.map(\.last.summary)
    for (row, figure) in summaries[0].enumerated() {
      table.add([figure.name] + summaries.map { HumanFormat.fixed($0[row].value, 3) })
    }
    return table.render()
  }

  private static func matrixFigure(_ series: [AnalysisSeries<SimilarityMeasurement>]) -> PlotFigure {
    // One scale for all, so that they can be compared by eye.
    let smallest = series.flatMap { $0.last.cosine.flatMap { $0 } }.min() ?? 0
    let low = min(0.9, (smallest * 10).rounded(.down) / 10)
    let panels = series.map { one in
      let names = one.last.states.map(\.name)
      return MatrixPlot(
        title: one.label, valueLabel: "mean cosine over tokens", rows: names, columns: names,
        values: one.last.cosine, range: low...1)
    }
    return PlotFigure(
      title: "Cosine similarity of states", panels: panels, width: 900, height: 60 + 640 * series.count)
  }

  private static func changeFigure(_ series: [AnalysisSeries<SimilarityMeasurement>]) -> PlotFigure {
    let panels = series.map { one in
      let value = one.last
      let blocks = 0..<value.layers
      return LinePlot(
        title: one.label, xLabel: "layer", yLabel: "‖change‖ ÷ ‖state before‖",
        series: [
          .init(
            "attention", blocks.map { (Double($0), value.changeByAttention($0) / value.lengths[2 * $0]) },
            style: .marked, color: 0),
          .init(
            "MLP or MoE", blocks.map { (Double($0), value.changeByMLP($0) / value.lengths[2 * $0 + 1]) },
            style: .marked, color: 1),
        ], xRange: -0.2...Double(value.layers) - 0.8, xNames: blocks.map { "\($0 + 1)" })
    }
    return PlotFigure(
      title: "What attention and MLP or MoE change", panels: panels, width: 1000, height: 60 + 380 * series.count)
  }

  private static func json(_ one: AnalysisSeries<SimilarityMeasurement>) -> JSONValue {
    func numbers(_ values: [Double]) -> JSONValue { .array(values.map { .double($0) }) }
    return .object([
      "model": .string(one.label),
      "checkpoints": .array(
        one.points.map { step, value in
          .object([
            "step": .int(step), "states": .array(value.states.map { .string($0.name) }),
            "cosine": .array(value.cosine.map(numbers)), "lengths": numbers(value.lengths),
            "changes": numbers(value.changes),
            "summary": .object(Dictionary(uniqueKeysWithValues: value.summary.map { ($0.name, .double($0.value)) })),
          ])
        }),
    ])
  }
}
