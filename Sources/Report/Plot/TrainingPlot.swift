/// The picture of a training run: loss, accuracy and expert load over the steps.
package enum TrainingPlot {
  /// Draws a run's metrics into a PNG file.
  ///
  /// - Parameter title: stands above the picture, such as the preset and the variant.
  package static func write(
    _ history: MetricsHistory, title: String, to file: String
  ) throws(ReportError) {
    try figure(history, title: title).write(to: file)
  }

  /// The picture as a value, to be changed before it is drawn.
  package static func figure(_ history: MetricsHistory, title: String) -> PlotFigure {
    let last = Double(max(history.steps.last ?? 1, 1))
    let first = min(Double(history.steps.first ?? 0), last - 1)
    let range = (first <= 1 ? 0 : first)...last
    return PlotFigure(
      title: title, panels: [loss(history, range), accuracy(history, range), load(history, range)])
  }

  private static func loss(_ history: MetricsHistory, _ range: ClosedRange<Double>) -> LinePlot {
    LinePlot(
      title: "Loss", xLabel: "step", yLabel: "cross-entropy (nats)",
      series: trained(history, MetricName.trainLoss, "train", scale: 1)
        + evaluated(history, MetricName.validationLoss, "validation", color: 1, scale: 1),
      xRange: range)
  }

  private static func accuracy(
    _ history: MetricsHistory, _ range: ClosedRange<Double>
  ) -> LinePlot {
    LinePlot(
      title: "Accuracy", xLabel: "step", yLabel: "correct (%)",
      series: trained(history, MetricName.trainTop1, "train top-1", scale: 100)
        + evaluated(history, MetricName.validationTop1, "validation top-1", color: 1, scale: 100)
        + evaluated(history, MetricName.validationTop5, "validation top-5", color: 2, scale: 100),
      xRange: range, yRange: 0...102)
  }

  /// Each expert's load as a heat map; where the shares were not recorded, each layer's imbalance.
  private static func load(
    _ history: MetricsHistory, _ range: ClosedRange<Double>
  ) -> any PlotPanel {
    let groups = history.layers(MetricName.expertShare).map { layer in
      HeatMap.Group(
        "layer \(layer)",
        rows: relativeLoad(history.vectors(MetricName.expertShare, layer: layer), over: range))
    }
    guard groups.isEmpty else {
      let experts = groups.map(\.rows.count).max() ?? 0
      return HeatMap(
        title: "Expert load (\(experts) experts per layer, one row each)", xLabel: "step",
        yLabel: "expert", valueLabel: "load ÷ mean load", xRange: range, groups: groups, middle: 1)
    }
    let name = MetricName.loadMaxOverMean
    let series = history.layers(name).enumerated().map { index, layer in
      LinePlot.Series(
        "layer \(layer)", smoothed(curve(history.points(name, layer: layer), 1)), color: index)
    }
    return LinePlot(
      title: "Expert load", xLabel: "step", yLabel: "largest ÷ mean load", series: series,
      xRange: range)
  }

  // MARK: Curves

  static func curve(
    _ points: [(step: Int, value: Double)], _ scale: Double
  ) -> [(x: Double, y: Double)] {
    points.map { (Double($0.step), $0.value * scale) }
  }

  /// A value of every step: the values themselves pale, their moving mean strong.
  private static func trained(
    _ history: MetricsHistory, _ metric: String, _ name: String, scale: Double
  ) -> [LinePlot.Series] {
    let points = curve(history.points(metric), scale)
    guard points.count >= 50 else { return [.init(name, points, color: 0)] }
    return [
      .init("", thinned(points), style: .faint, color: 0),
      .init(name, thinned(smoothed(points)), color: 0),
    ]
  }

  private static func evaluated(
    _ history: MetricsHistory, _ metric: String, _ name: String, color: Int, scale: Double
  ) -> [LinePlot.Series] {
    let points = curve(history.points(metric), scale)
    return [.init(name, points, style: points.count > 60 ? .solid : .marked, color: color)]
  }

  /// The mean over a centered window of a fiftieth of the points, narrower at both ends so that it
  /// stays centered; values that are not finite are passed over.
  static func smoothed(_ points: [(x: Double, y: Double)]) -> [(x: Double, y: Double)] {
    let reach = points.count / 100
    guard reach > 0 else { return points }
    var sums = [0.0]
    var counts = [0]
    for point in points {
      sums.append(sums[sums.count - 1] + (point.y.isFinite ? point.y : 0))
      counts.append(counts[counts.count - 1] + (point.y.isFinite ? 1 : 0))
    }
    return points.indices.map { index in
      let reach = min(reach, index, points.count - 1 - index)
      let lower = index - reach
      let upper = index + reach + 1
      let count = counts[upper] - counts[lower]
      return (points[index].x, count > 0 ? (sums[upper] - sums[lower]) / Double(count) : .nan)
    }
  }

  /// At most about a thousand points, more than the picture has columns for.
  static func thinned(_ points: [(x: Double, y: Double)]) -> [(x: Double, y: Double)] {
    let stride = max(1, points.count / 1000)
    return Swift.stride(from: 0, to: points.count, by: stride).map { points[$0] }
  }

  /// Expert by column: the mean share within the column's steps over the share at perfect balance.
  static func relativeLoad(
    _ shares: [(step: Int, values: [Double])], over range: ClosedRange<Double>
  ) -> [[Double]] {
    let experts = shares.map(\.values.count).max() ?? 0
    let columns = min(max(shares.count, 1), 200)
    let cell = (range.upperBound - range.lowerBound) / Double(columns)
    var sums = Array(repeating: Array(repeating: 0.0, count: columns), count: experts)
    var counts = Array(repeating: 0.0, count: columns)
    for (step, values) in shares where values.allSatisfy(\.isFinite) {
      // The value of step s was measured between s − 1 and s.
      let position = ((Double(step) - 0.5 - range.lowerBound) / cell).rounded(.down)
      let column = Int(min(max(position, 0), Double(columns - 1)))
      for (expert, value) in values.enumerated() { sums[expert][column] += value }
      counts[column] += 1
    }
    // A column without a recorded step continues the one before it.
    for column in 1..<max(columns, 2) where column < columns && counts[column] == 0 {
      for expert in sums.indices { sums[expert][column] = sums[expert][column - 1] }
      counts[column] = counts[column - 1]
    }
    return sums.map { row in
      zip(row, counts).map { $1 > 0 ? $0 / $1 * Double(experts) : .nan }
    }
  }
}
