import MMoEModels
import MMoEReport

extension GradientAnalysis {
  package static func report(_ series: [AnalysisSeries<GradientMeasurement>]) -> AnalysisOutput {
    var table = CSVTable(["model", "step", "state", "path", "route_block", "blocks_back", "norm", "share"])
    for one in series {
      for (step, value) in one.points {
        for state in value.states {
          table.add([one.label, "\(step)", state.state.name, "all", "", "", CSVTable.number(state.norm), "1"])
          for path in state.paths {
            var (block, back) = ("", "")
            if case .route(let target, _, let distance) = path.path { (block, back) = ("\(target)", "\(distance)") }
            table.add([
              one.label, "\(step)", state.state.name, path.path.name, block, back, CSVTable.number(path.norm),
              CSVTable.number(path.share),
            ])
          }
        }
      }
    }
    return AnalysisOutput(
      text: series.map { text($0, titled: series.count > 1) }.joined(separator: "\n"),
      tables: [("gradients.csv", table)],
      figures: [("gradients.png", figure(series)), ("gradient-paths.png", pathFigure(series))],
      json: ["models": .array(series.map(json))])
  }

  private static func text(_ one: AnalysisSeries<GradientMeasurement>, titled: Bool) -> String {
    var table = TextTable(columns: [
      .left("state"), .right("‖dE/dx‖"), .right("÷ last"), .left("along each path: norm ÷ ‖dE/dx‖ (share)"),
    ])
    let end = one.last.states.last?.norm ?? 1
    for state in one.last.states {
      let paths = state.paths.map { path in
        "\(path.path.name) \(HumanFormat.fixed(path.norm / max(state.norm, 1e-300), 3)) (\(HumanFormat.percent(path.share)))"
      }
      table.add([
        state.state.name, scientific(state.norm), HumanFormat.fixed(state.norm / end, 3), paths.joined(separator: ", "),
      ])
    }
    return (titled ? one.label + "\n" : "") + table.render()
  }

  private static func scientific(_ value: Double) -> String {
    var exponent = 0
    var mantissa = value
    while mantissa > 0, mantissa < 1 { (mantissa, exponent) = (mantissa * 10, exponent - 1) }
    while mantissa >= 10 { (mantissa, exponent) = (mantissa / 10, exponent + 1) }
    return "\(HumanFormat.fixed(mantissa, 2))e\(exponent)"
  }

  private static func figure(_ series: [AnalysisSeries<GradientMeasurement>]) -> PlotFigure {
    let states = StreamState.all(layers: series.map(\.config.layers).max() ?? 1)
    func curve(_ value: GradientMeasurement, relative: Bool) -> [(x: Double, y: Double)] {
      let end = relative ? value.states.last?.norm ?? 1 : 1
      return value.states.map { (Double($0.state.index), $0.norm / end) }
    }
    func panel(_ title: String, _ label: String, relative: Bool) -> LinePlot {
      LinePlot(
        title: title, xLabel: "state", yLabel: label,
        series: series.enumerated().map {
          .init($1.label, curve($1.last, relative: relative), style: .marked, color: $0)
        }, xRange: 0...Double(states.count - 1), isLogarithmic: !relative,
        xNames: states.map(\.name))
    }
    return PlotFigure(
      title: "Gradient of the loss in the residual stream",
      panels: [
        panel("Norm", "‖dE/dx‖", relative: false),
        panel("Relative", "‖dE/dx‖ ÷ ‖dE/dx_L‖", relative: true),
      ], width: 1000, height: 860)
  }

  /// States from top to bottom, paths from left to right, the last checkpoint of each model.
  private static func pathFigure(_ series: [AnalysisSeries<GradientMeasurement>]) -> PlotFigure {
    let panels = series.map { one in
      let states = one.last.states.filter { !$0.paths.isEmpty }
      let all = Set(states.flatMap { $0.paths.map(\.path.name) })
      let names = ["residual", "attention", "mlp", "shared expert", "coefficient gate", "routed", "shortcut"]
        .filter(all.contains)
      return MatrixPlot(
        title: one.label, valueLabel: "‖along path‖ ÷ ‖dE/dx‖", rows: states.map(\.state.name), columns: names,
        values: states.map { state in
          names.map { name in
            let paths = state.paths.filter { $0.path.name == name }
            // Several routes from one state: their root of squares, since they are not one vector here.
            return paths.isEmpty
              ? .nan : paths.reduce(0) { $0 + $1.norm * $1.norm }.squareRoot() / max(state.norm, 1e-300)
          }
        }, range: 0...1)
    }
    let height = panels.reduce(60) { $0 + 150 + 34 * $1.rows.count }
    return PlotFigure(title: "Gradient along each path", panels: panels, width: 900, height: height)
  }

  private static func json(_ one: AnalysisSeries<GradientMeasurement>) -> JSONValue {
    .object([
      "model": .string(one.label),
      "checkpoints": .array(
        one.points.map { step, value in
          .object([
            "step": .int(step),
            "states": .array(
              value.states.map { state in
                .object([
                  "state": .string(state.state.name), "norm": .double(state.norm),
                  "paths": .array(
                    state.paths.map { path in
                      .object([
                        "path": .string(path.path.name), "norm": .double(path.norm), "share": .double(path.share),
                      ])
                    }),
                ])
              }),
          ])
        }),
    ])
  }
}
