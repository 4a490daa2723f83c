import MMoEFiles

/// One picture of panels, one above the other, whose x axes stand exactly under each other.
package struct PlotFigure: Sendable {
  /// Stands above the panels.
  package var title: String
  package var panels: [any PlotPanel]
  package var width: Int
  package var height: Int
  /// Pixels beside the panels, and below each for its x axis.
  package var left = 140.0
  package var right = 120.0
  package var below = 62.0

  // In pixels: room for the title, and around each panel for its own.
  private static let head = 50.0
  private static let above = 44.0
  private static let foot = 14.0
  /// What the height of a picture of one panel has beyond the panel and `below`.
  package static let aroundPanel = head + above + foot

  package init(title: String, panels: [any PlotPanel], width: Int = 1200, height: Int = 1200) {
    self.title = title
    self.panels = panels
    self.width = width
    self.height = height
  }

  /// Draws the picture into a PNG file.
  package func write(to file: String) throws(ReportError) {
    guard panels.contains(where: { !$0.isEmpty }) else {
      throw ReportError(file, found: "found no values to plot", expected: "at least one")
    }
    try Gnuplot.required(for: file).render(script, to: file, size: (width, height))
  }

  /// The gnuplot commands of the whole picture.
  package var script: String {
    let drawn = panels.filter { !$0.isEmpty }
    var script = drawn.enumerated().map { $1.data(named: "p\($0)") }.joined()
    script += """
      set multiplot
      set label 1 \(gnuplotText(title)) at screen 0.5,\(1 - 30 / Double(height)) center \
      font 'DejaVu Sans:Bold,17' noenhanced
      set lmargin at screen \(left / Double(width))
      set rmargin at screen \(1 - right / Double(width))
      set tics out nomirror
      set border 3 linecolor '#444444' linewidth 1
      set tics textcolor '#222222'
      set grid linecolor '#d8d8d8' linetype 1 linewidth 0.6
      set key noenhanced at graph 1,1.015 right bottom horizontal samplen 2 height 0.3 spacing 1.1

      """
    let body = (Double(height) - PlotFigure.head - PlotFigure.foot) / Double(drawn.count)
    for (index, panel) in drawn.enumerated() {
      let top = Double(height) - PlotFigure.head - body * Double(index) - PlotFigure.above
      let bottom = Double(height) - PlotFigure.head - body * Double(index + 1) + below
      script += """
        set tmargin at screen \(top / Double(height))
        set bmargin at screen \(bottom / Double(height))
        set label 2 \(gnuplotText(panel.title)) at graph 0,1.0 left offset 0,0.8 \
        font 'DejaVu Sans:Bold,13' noenhanced
        set xlabel \(gnuplotText(panel.xLabel)) noenhanced
        set ylabel \(gnuplotText(panel.yLabel)) noenhanced
        \(panel.commands(named: "p\(index)"))
        unset label 1

        """
    }
    return script + "unset multiplot\n"
  }
}

/// One set of axes in a figure.
package protocol PlotPanel: Sendable {
  var title: String { get }
  var xLabel: String { get }
  var yLabel: String { get }
  /// Whether there is nothing to draw; the figure leaves such a panel out.
  var isEmpty: Bool { get }
  /// Gnuplot data blocks; their names start with `$` and the prefix.
  func data(named prefix: String) -> String
  /// Gnuplot commands that draw the data blocks and take their own settings back.
  func commands(named prefix: String) -> String
}
