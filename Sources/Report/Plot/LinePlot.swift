/// Curves over a common x axis.
package struct LinePlot: PlotPanel {
  /// One curve.
  package struct Series: Sendable {
    /// How a curve is drawn.
    package enum Style: Sendable {
      case solid
      case dashed
      /// Pale and thin, for raw values behind their smoothed curve.
      case faint
      /// A line with a marker at each point, for few values.
      case marked
    }

    /// The name in the legend; an empty name leaves the curve out of it.
    package var name: String
    package var points: [(x: Double, y: Double)]
    package var style: Style
    /// Which of the palette's colors; curves that belong together share one.
    package var color: Int

    package init(
      _ name: String, _ points: [(x: Double, y: Double)], style: Style = .solid, color: Int
    ) {
      self.name = name
      self.points = points
      self.style = style
      self.color = color
    }
  }

  package var title: String
  package var xLabel: String
  package var yLabel: String
  package var series: [Series]
  /// The axes' limits; nil lets the data decide.
  package var xRange: ClosedRange<Double>?
  package var yRange: ClosedRange<Double>?
  package var isLogarithmic: Bool
  /// Words in place of numbers under the x axis, from 0; empty = numbers.
  package var xNames: [String]

  package init(
    title: String, xLabel: String, yLabel: String, series: [Series],
    xRange: ClosedRange<Double>? = nil, yRange: ClosedRange<Double>? = nil,
    isLogarithmic: Bool = false, xNames: [String] = []
  ) {
    self.title = title
    self.xLabel = xLabel
    self.yLabel = yLabel
    self.series = series
    self.xRange = xRange
    self.yRange = yRange
    self.isLogarithmic = isLogarithmic
    self.xNames = xNames
  }

  /// Curves by name, each in its own color.
  package init(
    title: String, xLabel: String, yLabel: String,
    curves: KeyValuePairs<String, [(x: Double, y: Double)]>
  ) {
    self.init(
      title: title, xLabel: xLabel, yLabel: yLabel,
      series: curves.enumerated().map { Series($1.key, $1.value, color: $0) })
  }

  package var isEmpty: Bool { drawn.isEmpty }

  private var drawn: [Series] {
    series.filter { $0.points.contains { isDrawable($0) } }
  }

  private func isDrawable(_ point: (x: Double, y: Double)) -> Bool {
    point.x.isFinite && point.y.isFinite && (!isLogarithmic || point.y > 0)
  }

  package func data(named prefix: String) -> String {
    var text = ""
    for (index, series) in drawn.enumerated() {
      text += "$\(prefix)_\(index) << EOD\n"
      for point in series.points where point.x.isFinite {
        // An empty line breaks the curve where a value is missing.
        text +=
          isDrawable(point) ? "\(gnuplotNumber(point.x)) \(gnuplotNumber(point.y))\n" : "\n"
      }
      text += "EOD\n"
    }
    return text
  }

  package func commands(named prefix: String) -> String {
    let curves = drawn.enumerated().map { index, series in
      let color = LinePlot.palette[abs(series.color % LinePlot.palette.count)]
      let title = series.name.isEmpty ? "notitle" : "title \(gnuplotText(series.name))"
      let look =
        switch series.style {
        // A lone point has no line to be seen by.
        case _ where series.points.count == 1: "points linecolor '\(color)' pointtype 7"
        case .solid: "lines linecolor '\(color)' linewidth 1.8"
        case .dashed: "lines linecolor '\(color)' linewidth 1.8 dashtype 2"
        case .faint: "lines linecolor '#80\(color.dropFirst())' linewidth 0.7"
        case .marked:
          "linespoints linecolor '\(color)' linewidth 1.8 pointtype 7 pointsize 0.9"
        }
      return "$\(prefix)_\(index) using 1:2 \(title) with \(look)"
    }
    return """
      set xrange \(LinePlot.range(xRange))
      set yrange \(LinePlot.range(yRange))
      \(isLogarithmic ? "set logscale y" : "unset logscale y")
      \(xNames.isEmpty ? "set xtics autofreq" : "set xtics (\(gnuplotTics(xNames))) noenhanced")
      plot \(curves.joined(separator: ", \\\n  "))
      unset logscale y
      set xtics autofreq
      """
  }

  package static func range(_ range: ClosedRange<Double>?) -> String {
    guard let range, range.lowerBound < range.upperBound else { return "[*:*]" }
    return "[\(gnuplotNumber(range.lowerBound)):\(gnuplotNumber(range.upperBound))]"
  }

  /// Curves beyond so many repeat a color.
  static var colors: Int { palette.count }

  /// Okabe and Ito's colors, which color-blind readers can tell apart.
  private static let palette = [
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#444444",
  ]
}
