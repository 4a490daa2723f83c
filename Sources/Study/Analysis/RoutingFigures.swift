import MMoEModels
import MMoEReport
import MMoETrain

/// The pictures of a routing analysis.
enum RoutingFigures {
  typealias Series = RoutingAnalysis.Series

  /// Same-expert share, distance and stability over the checkpoints of the first run that has several.
  static func overTraining(_ series: [Series]) -> PlotFigure? {
    guard let one = series.first(where: { $0.points.count > 1 }) else { return nil }
    let blocks = one.last.blocks
    func curves(_ value: (RoutingMeasurement, Int) -> Double?) -> [LinePlot.Series] {
      blocks.enumerated().map { index, block in
        .init(
          one.last.distance(block)?.name ?? StreamState.output(block).name,
          one.points.compactMap { step, measured in value(measured, block).map { (Double(step), $0) } },
          style: .marked, color: index)
      }
    }
    let stability = one.last.calls.enumerated().map { index, call in
      LinePlot.Series(
        call.name,
        zip(one.points, one.points.dropFirst()).compactMap { before, after in
          after.value.calls.first { $0.block == call.block && $0.route == call.route }
            .map { (Double(after.step), RoutingTables.kept($0, since: before.value)) }
        }, style: .marked, color: index)
    }
    let range = Double(one.points[0].step)...Double(max(one.points[one.points.count - 1].step, one.points[0].step + 1))
    return PlotFigure(
      title: one.label,
      panels: [
        LinePlot(
          title: "Both calls, same expert", xLabel: "step", yLabel: "share",
          series: curves { $0.sameExpertShare($1) }, xRange: range, yRange: 0...1),
        LinePlot(
          title: "Distance of the states", xLabel: "step", yLabel: "L2, mean over tokens",
          series: curves { $0.distance($1)?.meanDistance }, xRange: range),
        LinePlot(
          title: "Choices kept", xLabel: "step", yLabel: "share", series: stability,
          xRange: range, yRange: 0...1),
      ], width: 1100, height: 1200)
  }

  /// Each expert's load in each call, at the last checkpoints.
  static func load(_ series: [Series]) -> PlotFigure {
    let panels = series.map { one in
      let experts = one.last.calls.map(\.experts).max() ?? 1
      return MatrixPlot(
        title: one.label, xLabel: "expert", valueLabel: "load ÷ mean load", rows: one.last.calls.map(\.name),
        columns: (0..<experts).map { "\($0)" },
        values: one.last.calls.map { call in call.load.map { $0 * Double(call.experts) } }, range: 0...2)
    }
    return PlotFigure(
      title: "Expert load", panels: panels, width: 1000,
      height: panels.reduce(60) { $0 + 150 + 40 * $1.rows.count })
  }

  /// The mean probability of each choice in each layer with experts.
  static func scores(_ series: [Series]) -> PlotFigure {
    let blocks = Set(series.flatMap(\.last.blocks)).sorted()
    var curves: [LinePlot.Series] = []
    for one in series {
      let calls = one.last.calls
      for route in Set(calls.map(\.route)).sorted() {
        let own = calls.filter { $0.route == route }
        for choice in 0..<(own.map(\.meanProbabilities.count).max() ?? 0) {
          let isEarlier = own[0].source < .afterAttention(own[0].block)
          let what = own[0].k > 1 ? "choice \(choice + 1)" : isEarlier ? "preceding" : "current"
          let points = own.filter { $0.meanProbabilities.count > choice }.map {
            (x: Double(blocks.firstIndex(of: $0.block)!), y: $0.meanProbabilities[choice])
          }
          curves.append(.init("\(one.label), \(what)", points, style: .marked, color: curves.count))
        }
      }
    }
    return PlotFigure(
      title: "Mean gate score",
      panels: [
        LinePlot(
          title: "", xLabel: "experts' output in", yLabel: "probability of the chosen expert", series: curves,
          xRange: -0.2...Double(blocks.count) - 0.8, yRange: 0...1, xNames: blocks.map { StreamState.output($0).name })
      ], width: 1100, height: 520)
  }

  /// Which share of each class, kind, modality or task every expert takes, for the first model: all calls where they are
  /// few, else those of the first and the last layer. Nil where no row has a label.
  static func experts(_ one: Series, by labels: RowLabels) -> PlotFigure? {
    guard labels.values.contains(where: { $0 >= 0 }) else { return nil }
    let (all, ends) = (one.last.calls, [one.last.blocks.first, one.last.blocks.last])
    let panels = all.filter { all.count <= 4 || ends.contains($0.block) }.map { call in
      let counts = call.counts(labels)
      let totals = (0..<labels.count).map { label in counts.reduce(0) { $0 + $1[label] } }
      let rows = (0..<labels.count).filter { totals[$0] > 0 }
      return MatrixPlot(
        title: call.name, xLabel: "expert", valueLabel: "share",
        rows: rows.map(labels.describe), columns: (0..<call.experts).map { "\($0)" },
        values: rows.map { label in counts.map { Double($0[label]) / Double(totals[label]) } }, range: 0...1)
    }
    return PlotFigure(
      title: "Share of every \(labels.name)'s tokens that an expert takes: \(one.label)", panels: panels, width: 1000,
      height: panels.reduce(60) { $0 + 150 + 34 * $1.rows.count })
  }
}
