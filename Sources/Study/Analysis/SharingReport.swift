import MMoEModels
import MMoEReport

extension SharingAnalysis {
  package typealias Series = AnalysisSeries<SharingMeasurement>

  package static func report(_ series: [Series]) -> AnalysisOutput {
    var models = CSVTable([
      "model", "step", "bank_layers", "parameters", "active_parameters", "train_loss", "val_loss", "gap",
    ])
    var flow = CSVTable(["model", "step", "blocks", "cosine_of_outputs", "gradient_relative"])
    var banks = CSVTable(["model", "step", "bank", "call", "expert", "load"])
    var demands = CSVTable([
      "model", "step", "bank", "lower", "higher", "load_overlap", "same_token", "same_token_if_independent",
    ])
    for one in series {
      for (step, value) in one.points {
        let key = [one.label, "\(step)"]
        models.add(
          key + ["\(one.config.moe.bankLayers)", "\(value.parameters)", "\(value.activeParameters)"]
            + [value.trainLoss, value.valLoss, value.gap].map(CSVTable.number))
        for blocks in 0...value.layers {
          flow.add(
            key + ["\(blocks)", CSVTable.number(value.cosine(blocksApart: blocks))]
              + [CSVTable.number(value.gradient(blocksBefore: blocks))])
        }
        for call in value.routing.calls {
          for (expert, load) in call.load.enumerated() {
            banks.add(
              key + ["\(one.config.bank(of: call.block) ?? 0)", call.name, "\(expert)", CSVTable.number(load)])
          }
        }
        for demand in value.demands(one.config) {
          demands.add(
            key + ["\(demand.bank)", demand.lower.name, demand.higher.name]
              + [demand.loadOverlap, demand.sameToken, demand.expected].map(CSVTable.number))
        }
      }
    }
    return AnalysisOutput(
      text: text(series),
      tables: [
        ("sharing.csv", models), ("information-flow.csv", flow), ("banks.csv", banks), ("demands.csv", demands),
      ],
      figures: [
        ("efficiency.png", efficiency(series)), ("information-flow.png", informationFlow(series)),
        ("gap.png", gap(series)), ("banks.png", banksFigure(series)),
      ],
      json: ["models": .array(series.map(json))])
  }

  private static func text(_ series: [Series]) -> String {
    var table = TextTable(columns: [
      .left("last checkpoint"), .right("parameters"), .right("train loss"), .right("val loss"), .right("gap"),
      .right("cosine In–end"), .right("gradient In ÷ end"), .left("low and high layers of a bank"),
    ])
    for one in series {
      let value = one.last
      let asked = value.demands(one.config).map {
        "load overlap \(HumanFormat.fixed($0.loadOverlap, 2)), same token \(HumanFormat.fixed($0.sameToken, 2)) (by chance \(HumanFormat.fixed($0.expected, 2)))"
      }
      table.add([
        one.label, HumanFormat.count(value.parameters), HumanFormat.fixed(value.trainLoss, 4),
        HumanFormat.fixed(value.valLoss, 4), HumanFormat.fixed(value.gap, 4),
        HumanFormat.fixed(value.cosine(blocksApart: value.layers), 3),
        HumanFormat.fixed(value.gradient(blocksBefore: value.layers), 2),
        asked.isEmpty ? "own banks" : asked.joined(separator: "; "),
      ])
    }
    return table.render()
  }

  /// Validation loss over parameters: what a bank of its own for every layer buys.
  private static func efficiency(_ series: [Series]) -> PlotFigure {
    PlotFigure(
      title: "Loss and parameters",
      panels: [
        LinePlot(
          title: "Last checkpoints", xLabel: "parameters, millions", yLabel: "validation loss, nats",
          series: series.enumerated().map { index, one in
            .init(one.label, [(Double(one.last.parameters) / 1e6, one.last.valLoss)], style: .marked, color: index)
          })
      ], width: 1000, height: 600)
  }

  private static func informationFlow(_ series: [Series]) -> PlotFigure {
    func curves(_ value: (SharingMeasurement, Int) -> Double) -> [LinePlot.Series] {
      series.enumerated().map { index, one in
        .init(
          one.label, (0...one.last.layers).map { (Double($0), value(one.last, $0)) }, style: .marked, color: index)
      }
    }
    return PlotFigure(
      title: "Information flow",
      panels: [
        LinePlot(
          title: "Similarity of representations", xLabel: "blocks between two outputs", yLabel: "mean cosine",
          series: curves { $0.cosine(blocksApart: $1) }),
        LinePlot(
          title: "Gradient of the loss", xLabel: "blocks before the last state",
          yLabel: "norm ÷ norm at the last state", series: curves { $0.gradient(blocksBefore: $1) }),
      ], width: 1000, height: 1000)
  }

  /// Losses on both parts, and their difference.
  private static func gap(_ series: [Series]) -> PlotFigure {
    let names = series.map(\.label)
    return PlotFigure(
      title: "Training and validation",
      panels: [
        CategoryPlot(
          title: "Loss on training samples (ring) and validation samples (dot)", yLabel: "nats", categories: names,
          points: series.map { [$0.last.trainLoss] }, intervals: series.map { ($0.last.valLoss, 0) }),
        CategoryPlot(
          title: "Validation − training", yLabel: "nats", categories: names, points: series.map { [$0.last.gap] },
          intervals: series.map { _ in nil }, zeroLine: true),
      ], width: 1000, height: 800)
  }

  /// The load that each layer puts on a bank that several use; nil where no model has one.
  private static func banksFigure(_ series: [Series]) -> PlotFigure? {
    let panels = series.filter { !$0.last.demands($0.config).isEmpty }.map { one in
      let calls = one.last.routing.calls
      return MatrixPlot(
        title: one.label, xLabel: "expert", valueLabel: "load ÷ mean load", rows: calls.map(\.name),
        columns: (0..<(calls.first?.experts ?? 0)).map { "\($0)" },
        values: calls.map { call in call.load.map { $0 * Double(call.experts) } }, range: 0...2)
    }
    guard !panels.isEmpty else { return nil }
    return PlotFigure(
      title: "What low and high layers ask of one bank", panels: panels, width: 1000,
      height: panels.reduce(60) { $0 + 150 + 40 * $1.rows.count })
  }

  private static func json(_ one: Series) -> JSONValue {
    .object([
      "model": .string(one.label),
      "checkpoints": .array(
        one.points.map { step, value in
          .object([
            "step": .int(step), "parameters": .int(value.parameters),
            "active_parameters": .int(value.activeParameters), "train_loss": .double(value.trainLoss),
            "val_loss": .double(value.valLoss), "gap": .double(value.gap),
            "cosine": .array((0...value.layers).map { .double(value.cosine(blocksApart: $0)) }),
            "gradient": .array((0...value.layers).map { .double(value.gradient(blocksBefore: $0)) }),
            "banks": .array(
              value.demands(one.config).map {
                .object([
                  "bank": .int($0.bank), "load_overlap": .double($0.loadOverlap),
                  "same_token": .double($0.sameToken), "same_token_if_independent": .double($0.expected),
                ])
              }),
          ])
        }),
    ])
  }
}
