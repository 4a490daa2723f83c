/// Curves of several runs over their steps, a panel for each metric.
package enum ComparisonPlot {
  /// A metric that is drawn.
  package struct Metric: Sendable {
    package let name: String
    package let title: String
    /// Whether it is shown as a percentage.
    package let isShare: Bool

    package init(_ name: String, title: String, isShare: Bool) {
      (self.name, self.title, self.isShare) = (name, title, isShare)
    }
  }

  /// The picture as a value.
  ///
  /// - Parameter runs: with the names that the legend shows; each keeps its color in all panels.
  package static func figure(
    _ runs: [(name: String, history: MetricsHistory)], _ metrics: [Metric], title: String
  ) -> PlotFigure {
    let last = Double(max(runs.compactMap(\.history.steps.last).max() ?? 1, 1))
    let panels = metrics.map { metric in
      LinePlot(
        title: metric.title, xLabel: "step", yLabel: metric.isShare ? "\(metric.name) (%)" : metric.name,
        series: runs.enumerated().map { index, run in
          let points = TrainingPlot.curve(run.history.points(metric.name), metric.isShare ? 100 : 1)
          let isDense = points.count > 60
          return .init(
            run.name, isDense ? TrainingPlot.thinned(TrainingPlot.smoothed(points)) : points,
            style: index >= LinePlot.colors ? .dashed : isDense ? .solid : .marked, color: index)
        },
        xRange: 0...last)
    }
    return PlotFigure(title: title, panels: panels, height: 100 + 400 * max(panels.count, 1))
  }
}
