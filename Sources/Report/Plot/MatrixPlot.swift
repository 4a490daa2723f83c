/// A labeled matrix as a field of colors from pale to dark, with its numbers where there is room for them.
package struct MatrixPlot: PlotPanel {
  package var title: String
  package var xLabel: String
  package var yLabel: String
  package var valueLabel: String
  /// From the top down and from the left; `values` is row by row, and NaN stays blank.
  package var rows: [String]
  package var columns: [String]
  package var values: [[Double]]
  /// What the palest and the darkest color stand for.
  package var range: ClosedRange<Double>
  /// A cell's number in words; an empty one is not written.
  package var numberText: @Sendable (Double) -> String = { HumanFormat.fixed($0, 2) }
  /// Whether numbers can be read in the cells.
  package var showsNumbers: Bool
  /// Degrees by which long names of columns are turned.
  package var columnAngle = 25

  package init(
    title: String, xLabel: String = "", yLabel: String = "", valueLabel: String, rows: [String], columns: [String],
    values: [[Double]], range: ClosedRange<Double>
  ) {
    self.title = title
    self.xLabel = xLabel
    self.yLabel = yLabel
    self.valueLabel = valueLabel
    self.rows = rows
    self.columns = columns
    self.values = values
    self.range = range
    showsNumbers = columns.count <= 16 && rows.count <= 24
  }

  package var isEmpty: Bool { !values.contains { $0.contains(where: \.isFinite) } }

  package func data(named prefix: String) -> String {
    var text = "$\(prefix) << EOD\n"
    for (y, row) in values.enumerated() {
      for (x, value) in row.enumerated() {
        // The color of a value out of range is the nearest one; the number stays what it is.
        let shown = min(max(value, range.lowerBound), range.upperBound)
        text += "\(x) \(y) \(gnuplotNumber(value.isFinite ? shown : .nan))\n"
      }
    }
    text += "EOD\n$\(prefix)_numbers << EOD\n"
    for (y, row) in values.enumerated() where showsNumbers {
      for (x, value) in row.enumerated() where value.isFinite {
        let number = numberText(value)
        if !number.isEmpty { text += "\(x) \(y) \(gnuplotNumber(value)) \(number)\n" }
      }
    }
    return text + "EOD\n"
  }

  package func commands(named prefix: String) -> String {
    let middle = gnuplotNumber((range.lowerBound + range.upperBound) / 2)
    let numbers =
      showsNumbers
      ? ", \\\n  $\(prefix)_numbers using 1:2:4:($3 > \(middle) ? 0xffffff : 0x222222) notitle with labels textcolor rgb variable font 'DejaVu Sans,10'"
      : ""
    return """
      set xrange [-0.5:\(Double(columns.count) - 0.5)]
      set yrange [\(Double(rows.count) - 0.5):-0.5]
      set xtics (\(gnuplotTics(columns))) noenhanced \(columns.contains { $0.count > 6 } ? "rotate by -\(columnAngle)" : "norotate")
      set ytics (\(gnuplotTics(rows))) noenhanced
      unset grid
      set palette defined (0 '#fff5eb', 0.5 '#6baed6', 1 '#08306b')
      set cbrange [\(gnuplotNumber(range.lowerBound)):\(gnuplotNumber(range.upperBound))]
      set cblabel \(gnuplotText(valueLabel)) noenhanced offset 0.7,0
      set cbtics autofreq
      set colorbox user size screen 0.015,graph 1 origin graph 1.015,graph 0
      plot $\(prefix) using 1:2:3 notitle with image\(numbers)
      set xtics norotate autofreq
      set ytics autofreq
      set grid
      unset colorbox
      """
  }
}
