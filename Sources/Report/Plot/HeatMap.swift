/// Values over x and a stack of row groups: the load of each expert in each layer over the steps.
///
/// Colors diverge from `middle`: white there, blue below, red above.
package struct HeatMap: PlotPanel {
  /// Rows under one label, each with the same number of columns; NaN stays blank.
  package struct Group: Sendable {
    package var label: String
    package var rows: [[Double]]

    package init(_ label: String, rows: [[Double]]) {
      self.label = label
      self.rows = rows
    }
  }

  package var title: String
  package var xLabel: String
  package var yLabel: String
  package var valueLabel: String
  /// The first and last column's outer edges.
  package var xRange: ClosedRange<Double>
  /// The groups, from the bottom up.
  package var groups: [Group]
  /// The value shown white. Twice this value and more is the deepest red, 0 the deepest blue.
  package var middle: Double

  package init(
    title: String, xLabel: String, yLabel: String, valueLabel: String,
    xRange: ClosedRange<Double>, groups: [Group], middle: Double
  ) {
    self.title = title
    self.xLabel = xLabel
    self.yLabel = yLabel
    self.valueLabel = valueLabel
    self.xRange = xRange
    self.groups = groups
    self.middle = middle
  }

  private var columns: Int { groups.flatMap(\.rows).map(\.count).max() ?? 0 }

  package var isEmpty: Bool { columns == 0 }

  package func data(named prefix: String) -> String {
    let rows = groups.enumerated().flatMap { index, group in
      (index == 0 ? [] : gap) + group.rows
    }
    var text = "$\(prefix) << EOD\n"
    for row in rows {
      let cells = row + Array(repeating: .nan, count: columns - row.count)
      text += cells.map(gnuplotNumber).joined(separator: " ") + "\n"
    }
    return text + "EOD\n"
  }

  /// Blank rows between two groups; enough to be seen in a tall stack.
  private var gap: [[Double]] {
    let rows = groups.map(\.rows.count).reduce(0, +)
    return Array(repeating: Array(repeating: .nan, count: columns), count: max(1, rows / 60))
  }

  package func commands(named prefix: String) -> String {
    let cell = (xRange.upperBound - xRange.lowerBound) / Double(columns)
    var tics: [String] = []
    var row = 0
    for group in groups {
      let center = Double(row) + Double(group.rows.count - 1) / 2
      tics.append("\(gnuplotText(group.label)) \(center)")
      row += group.rows.count + gap.count
    }
    let top = Double(row - gap.count) - 0.5
    return """
      set xrange \(LinePlot.range(xRange))
      set yrange [-0.5:\(top)]
      set ytics (\(tics.joined(separator: ", "))) noenhanced
      unset grid
      set palette defined (0 '#08306b', 0.25 '#4292c6', 0.5 '#f7f7f7', 0.75 '#ef6548', 1 '#7f0000')
      set cbrange [0:\(gnuplotNumber(2 * middle))]
      set cblabel \(gnuplotText(valueLabel)) noenhanced offset 0.7,0
      set cbtics (\(cbTics))
      set colorbox user size screen 0.015,graph 1 origin graph 1.015,graph 0
      plot $\(prefix) matrix \
      using (\(gnuplotNumber(xRange.lowerBound + cell / 2)) + $1 * \(gnuplotNumber(cell))):2:3 \
      notitle with image
      set ytics autofreq
      set grid
      unset colorbox
      """
  }

  private var cbTics: String {
    [(0, ""), (0.5, ""), (1, ""), (1.5, ""), (2, "≥ ")].map { factor, prefix in
      let value = factor * middle
      let text = value == value.rounded() ? HumanFormat.fixed(value, 0) : "\(value)"
      return "\(gnuplotText(prefix + text)) \(value)"
    }.joined(separator: ", ")
  }
}
