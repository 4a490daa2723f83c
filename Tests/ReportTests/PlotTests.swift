import Foundation
import Testing

@testable import MMoEReport

/// A run as a recorder would have left it: falling loss, rising accuracy, one expert that dies.
func sampleHistory(steps: Int, experts: Int, layers: [Int]) -> MetricsHistory {
  MetricsHistory(
    (1...steps).map { step in
      let time = Double(step) / Double(steps)
      let noise = sin(Double(step * step % 1009))
      var values: [(key: String, value: MetricsLine.Value)] = [
        (MetricName.trainLoss, .scalar(0.3 + 2 * exp(-4 * time) + 0.1 * noise)),
        (MetricName.trainTop1, .scalar(min(1, 0.1 + 0.85 * (1 - exp(-4 * time)) + 0.04 * noise))),
      ]
      for layer in layers {
        let load = (0..<experts).map { expert in
          expert == 2 && layer == layers.last
            ? max(0, 1 - 2 * time)
            : 1 + 0.8 * exp(-3 * time) * sin(Double(expert * 3 + layer) + 9 * time)
        }
        let sum = load.reduce(0, +)
        values.append(
          (MetricsLine.key(MetricName.expertShare, layer: layer), .vector(load.map { $0 / sum })))
      }
      if step % max(1, steps / 12) == 0 {
        values.append((MetricName.validationLoss, .scalar(0.4 + 2 * exp(-3.7 * time))))
        values.append((MetricName.validationTop1, .scalar(0.1 + 0.82 * (1 - exp(-4 * time)))))
        values.append((MetricName.validationTop5, .scalar(0.5 + 0.49 * (1 - exp(-5 * time)))))
      }
      return MetricsLine(step: step, values: values)
    })
}

@Suite struct PlotTests {
  static let gnuplotIsMissing = Gnuplot() == nil
  let folder = FileManager.default.temporaryDirectory

  private func draw(_ figure: PlotFigure) throws -> Data {
    let file = folder.appendingPathComponent("plot-\(UUID().uuidString).png")
    defer { try? FileManager.default.removeItem(at: file) }
    try figure.write(to: file.path)
    return try Data(contentsOf: file)
  }

  /// Width and height from a PNG's header.
  private func size(_ png: Data) -> [Int] {
    guard png.count > 24 else { return [] }
    return [16, 20].map { offset in png[offset..<offset + 4].reduce(0) { $0 << 8 | Int($1) } }
  }

  @Test(.disabled(if: gnuplotIsMissing, "needs gnuplot: apt-get install gnuplot-nox"))
  func trainingPlotIsAPNGOfTheAskedSize() throws {
    let history = sampleHistory(steps: 300, experts: 8, layers: [1, 3, 5])
    let figure = TrainingPlot.figure(history, title: "it's a vit-tiny_top2 run")
    let png = try draw(figure)
    #expect(size(png) == [1200, 1200])
    #expect(png.count > 20_000)
  }

  @Test(
    .disabled(if: gnuplotIsMissing, "needs gnuplot: apt-get install gnuplot-nox"),
    arguments: [1, 2, 49, 50])
  func shortRunsAreDrawnToo(steps: Int) throws {
    let png = try draw(
      TrainingPlot.figure(sampleHistory(steps: steps, experts: 1, layers: [0]), title: ""))
    #expect(size(png) == [1200, 1200])
  }

  @Test(.disabled(if: gnuplotIsMissing, "needs gnuplot: apt-get install gnuplot-nox"))
  func gapsAndConstantsAreDrawn() throws {
    let plot = LinePlot(
      title: "a_{b} 'c'\nd", xLabel: "x", yLabel: "y",
      curves: ["gap": [(0, 1), (1, .nan), (2, 1)], "nothing": [], "inf": [(0, .infinity)]])
    #expect(!(try draw(PlotFigure(title: "%s \\n $x", panels: [plot], height: 400))).isEmpty)
    var logarithmic = plot
    logarithmic.isLogarithmic = true
    logarithmic.series = [.init("zero", [(0, 0), (1, 1), (2, 10)], color: -1)]
    #expect(!(try draw(PlotFigure(title: "", panels: [logarithmic], height: 400))).isEmpty)
  }

  @Test(.disabled(if: gnuplotIsMissing, "needs gnuplot: apt-get install gnuplot-nox"))
  func gnuplotsOwnErrorsAreReported() throws {
    let gnuplot = try #require(Gnuplot())
    let file = folder.appendingPathComponent("never-\(UUID().uuidString).png").path
    let wrong = #expect(throws: ReportError.self) {
      try gnuplot.render("plod x\n", to: file, size: (100, 100))
    }
    #expect(wrong?.description.contains("gnuplot failed: ") == true)
    #expect(wrong?.description.contains("\n") == false)
    let slow = #expect(throws: ReportError.self) {
      try gnuplot.render("pause 30\n", to: file, size: (100, 100), timeout: 0.3)
    }
    #expect(slow?.description.contains("not done after 0.30s") == true)
    let folderless = #expect(throws: ReportError.self) {
      try gnuplot.render("plot x\n", to: "/nowhere/a.png", size: (100, 100))
    }
    #expect(folderless?.description.hasPrefix("/nowhere/a.png: there is no folder /nowhere") == true)
    #expect(!FileManager.default.fileExists(atPath: file))
  }

  @Test func missingGnuplotAndMissingValues() {
    #expect(Gnuplot(searchPath: "/nowhere:/also-nowhere") == nil)
    let empty = #expect(throws: ReportError.self) {
      try TrainingPlot.write(MetricsHistory([]), title: "", to: "a.png")
    }
    #expect(empty?.description == "a.png: found no values to plot, expected at least one")
  }

  @Test func smoothingKeepsConstantsAndPassesOverGaps() {
    let points = (0..<500).map { (x: Double($0), y: $0 == 100 ? Double.nan : 3) }
    #expect(TrainingPlot.smoothed(points).allSatisfy { $0.y == 3 })
    let slope = (0..<500).map { (x: Double($0), y: Double($0)) }
    #expect(TrainingPlot.smoothed(slope).allSatisfy { $0.y == $0.x }, "no bias at the ends")
    #expect(TrainingPlot.smoothed([(1, 2)]).first?.y == 2)
  }

  @Test func relativeLoadAveragesWithinColumns() {
    let shares = (1...1000).map { (step: $0, values: [0.25, 0.75]) }
    let load = TrainingPlot.relativeLoad(shares, over: 0...1000)
    #expect(load.count == 2 && load[0].count == 200)
    #expect(load[0].allSatisfy { $0 == 0.5 } && load[1].allSatisfy { $0 == 1.5 })
    let sparse = TrainingPlot.relativeLoad([(1, [1]), (100, [.nan])], over: 0...100)
    #expect(sparse == [[1, 1]])
    #expect(TrainingPlot.relativeLoad([], over: 0...1).isEmpty)
  }
}
