/// Values of named categories side by side: single points, and a mean with a bar of its uncertainty.
package struct CategoryPlot: PlotPanel {
  package var title: String
  package let xLabel = ""
  package var yLabel: String
  package var categories: [String]
  /// Single values of each category.
  package var points: [[Double]]
  /// Middle and half length of a bar for each category; nil where there is none.
  package var intervals: [(middle: Double, half: Double)?]
  /// Whether a line marks 0.
  package var zeroLine: Bool

  package init(
    title: String, yLabel: String, categories: [String], points: [[Double]],
    intervals: [(middle: Double, half: Double)?], zeroLine: Bool = false
  ) {
    self.title = title
    self.yLabel = yLabel
    self.categories = categories
    self.points = points
    self.intervals = intervals
    self.zeroLine = zeroLine
  }

  package var isEmpty: Bool { points.allSatisfy(\.isEmpty) && intervals.allSatisfy { $0 == nil } }

  package func data(named prefix: String) -> String {
    var text = "$\(prefix)_points << EOD\n"
    for (index, values) in points.enumerated() {
      for value in values { text += "\(index) \(gnuplotNumber(value))\n" }
    }
    text += "EOD\n$\(prefix)_bars << EOD\n"
    for (index, bar) in intervals.enumerated() {
      if let bar { text += "\(index) \(gnuplotNumber(bar.middle)) \(gnuplotNumber(bar.half))\n" }
    }
    return text + "EOD\n"
  }

  package func commands(named prefix: String) -> String {
    var curves: [String] = []
    if points.contains(where: { !$0.isEmpty }) {
      curves.append("$\(prefix)_points using ($1-0.12):2 notitle with points linecolor '#0072B2' pointtype 6")
    }
    if intervals.contains(where: { $0 != nil }) {
      curves.append(
        "$\(prefix)_bars using 1:2:3 notitle with yerrorbars linecolor '#D55E00' linewidth 1.8 pointtype 7")
    }
    if zeroLine { curves.append("0 notitle with lines linecolor '#444444' dashtype 2") }
    return """
      set xrange [-0.6:\(Double(categories.count) - 0.4)]
      set yrange [*:*]
      set xtics rotate by -18 (\(gnuplotTics(categories))) noenhanced
      plot \(curves.joined(separator: ", \\\n  "))
      set xtics norotate autofreq
      """
  }
}
