import MMoEFiles
import MMoEParallel

/// One pair of blocks over time for several traces, one under the other on one scale: operators above, transfers in flight
/// below, like figure 7 of arXiv 2404.05019.
package struct PairTimelinePlot {
  private struct Span {
    let label: String
    let color: String
    var start, end: Double
    /// 1: operators; 0: transfers.
    let row: Int
  }

  private struct Panel {
    let title: String
    let spans: [Span]
    var length: Double { spans.map(\.end).max() ?? 0 }
  }

  private let panels: [Panel]

  /// - Parameter backward: the backward pass of the pair instead of the forward one.
  /// - Throws: `ParallelError` or `ReportError` for a file that is no trace of a mixture of experts.
  package init(files: [String], backward: Bool) throws {
    panels = try files.map { file in
      let trace = try TraceFile(reading: file)
      guard let panel = PairTimelinePlot.panel(trace, backward: backward) else {
        throw ReportError("\(file): found no exchange between ranks in the trace; expected a run with --ranks")
      }
      return panel
    }
  }

  private static func panel(_ trace: TraceFile, backward: Bool) -> Panel? {
    let kind = backward ? "backward" : "forward"
    let events = trace.traceEvents.filter { $0.ph == "X" && $0.pid == 0 }
    let steps = events.filter { $0.cat == "step" }
    guard
      let step = steps.max(by: { $0.ts < $1.ts }),
      let scope = events.first(where: { $0.cat == "exchange" })?.args.scope,
      let block = Int(scope.dropFirst("blocks.".count))
    else { return nil }
    let pair = ["blocks.\(block - 1)", scope]
    let inStep = events.filter { $0.ts >= step.ts && $0.ts <= step.ts + step.dur }
    let operators = inStep.filter { $0.cat == kind && pair.contains($0.args.scope ?? "") }
    guard let origin = operators.map(\.ts).min() else { return nil }
    func span(_ event: TraceFile.Event, _ label: String, _ color: String, row: Int) -> Span {
      Span(
        label: label, color: color, start: (event.ts - origin) / 1e3,
        end: (event.ts + event.dur - origin) / 1e3, row: row)
    }
    var spans = operators.map { event in
      let name = event.name.replacing(" ′", with: "")
      let (label, color) = look(name)
      return span(event, label, color, row: 1)
    }
    // Parts start together and come one after the other: each is shown from the arrival of the one before it.
    var arrived = -Double.infinity
    let inOrder = inStep.sorted { $0.ts + $0.dur < $1.ts + $1.dur }
    for event in inOrder where event.args.scope == scope && event.name.hasSuffix("′") == backward {
      if event.cat == "exchange" {
        let isDispatch = event.name.hasPrefix("dispatch")
        var transfer = span(event, event.name, isDispatch ? "#6baed6" : "#2171b5", row: 0)
        transfer.start = max(transfer.start, arrived)
        arrived = transfer.end
        spans.append(transfer)
      } else if event.cat == "wait" {
        spans.append(span(event, "wait", "#de2d26", row: 1))
      }
    }
    return Panel(title: trace.otherData.title, spans: spans)
  }

  private static func look(_ name: String) -> (label: String, color: String) {
    switch name {
    case "mlp": ("MLP", "#a1d99b")
    case "shared expert": ("shared expert", "#41ab5d")
    case "experts": ("experts", "#fdae6b")
    case "qkv", "attention", "proj": (name, "#bcbddc")
    case "gate", "permute", "combine": ("", "#fee391")
    default: ("", "#d9d9d9")
    }
  }

  /// Draws the panels into a PNG file.
  package func write(to file: String) throws(ReportError) {
    let gnuplot = try Gnuplot.required(for: file)
    let height = 60 + 150 * panels.count
    try gnuplot.render(script(height: height), to: file, size: (1400, height))
  }

  private func script(height: Int) -> String {
    let longest = panels.map(\.length).max() ?? 1
    var script = """
      set multiplot
      set lmargin at screen 0.09
      set rmargin at screen 0.985
      set xrange [0:\(gnuplotNumber(longest * 1.01))]
      set yrange [-0.1:2.1]
      set ytics ('exchange' 0.5, 'operators' 1.5) nomirror
      set border 1
      set xtics nomirror
      unset key

      """
    for (index, panel) in panels.enumerated() {
      let top = 1 - (34 + 150 * Double(index)) / Double(height)
      let bottom = 1 - (34 + 150 * Double(index) + 84) / Double(height)
      script += """
        set tmargin at screen \(top)
        set bmargin at screen \(bottom)
        set title \(gnuplotText("\(panel.title): \(HumanFormat.fixed(panel.length, 1)) ms")) \
        font 'DejaVu Sans:Bold,12' noenhanced offset 0,-0.6
        \(index == panels.count - 1 ? "set xlabel 'milliseconds' offset 0,0.6" : "unset xlabel")

        """
      for (number, span) in panel.spans.enumerated() {
        let (low, high) = (Double(span.row) + 0.08, Double(span.row) + 0.92)
        script +=
          "set object \(number + 1) rect from \(gnuplotNumber(span.start)),\(low) to \(gnuplotNumber(span.end)),\(high) fc rgb '\(span.color)' fs solid border lc rgb '#555555' lw 0.4\n"
        if span.end - span.start > longest * 0.035, !span.label.isEmpty {
          script +=
            "set label \(number + 1) \(gnuplotText(span.label)) at \(gnuplotNumber((span.start + span.end) / 2)),\(Double(span.row) + 0.5) center front font 'DejaVu Sans,9' noenhanced\n"
        }
      }
      script += "plot NaN notitle\n"
      for number in panel.spans.indices { script += "unset object \(number + 1)\nunset label \(number + 1)\n" }
    }
    return script + "unset multiplot\n"
  }
}
