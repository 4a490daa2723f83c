import Foundation
import MMoEReport

/// A study's pictures.
struct StudyPlots {
  private let plan: StudyPlan
  private let rows: [StudyRow]
  private let lines: [StudySummary.Line]

  init(_ plan: StudyPlan, _ rows: [StudyRow], _ lines: [StudySummary.Line]) {
    self.plan = plan
    self.rows = rows
    self.lines = lines
  }

  private var byLoss: Bool { plan.measure == MetricName.validationLoss }

  /// What every run reached, and the paired differences with their intervals.
  var compared: PlotFigure? {
    guard lines.contains(where: { $0.mean != nil }) else { return nil }
    let names = lines.map(\.variant)
    let unit = byLoss ? "nats" : plan.measure
    let values = CategoryPlot(
      title: (byLoss ? "Validation loss" : plan.measure) + ", one point a seed", yLabel: unit, categories: names,
      points: lines.map { $0.values.sorted { $0.key < $1.key }.map(\.value) },
      intervals: lines.map { line in line.mean.map { ($0, line.deviation ?? 0) } })
    let differences = CategoryPlot(
      title:
        "Difference to the baseline, paired by seed, with \(HumanFormat.fixed(plan.confidence * 100, 0)) % interval",
      yLabel: unit, categories: names, points: lines.map { _ in [] },
      intervals: lines.map { line in line.difference.map { ($0.mean, $0.halfWidth ?? 0) } }, zeroLine: true)
    return PlotFigure(title: plan.name, panels: [values, differences], width: 1200, height: 1000)
  }

  /// Validation loss over the steps, the mean of the seeds.
  func curves(_ runs: (String) -> String) -> PlotFigure? {
    let series = lines.enumerated().compactMap { index, line -> LinePlot.Series? in
      var sums: [Int: (sum: Double, count: Int)] = [:]
      for seed in line.values.keys {
        let folder = runs(StudySession.folderName(.run, line.variant, seed, line.learningRate))
        guard let history = try? MetricsHistory(file: folder + "/" + Recorder.fileName) else { continue }
        for point in history.points(MetricName.validationLoss) where point.value.isFinite {
          let old = sums[point.step] ?? (0, 0)
          sums[point.step] = (old.sum + point.value, old.count + 1)
        }
      }
      // Steps that not all seeds have would bend the mean.
      let points = sums.filter { $0.value.count == line.values.count }.sorted { $0.key < $1.key }
        .map { (x: Double($0.key), y: $0.value.sum / Double($0.value.count)) }
      guard !points.isEmpty else { return nil }
      return .init(line.variant, points, style: index < 7 ? .solid : .dashed, color: index)
    }
    guard !series.isEmpty else { return nil }
    return PlotFigure(
      title: plan.name,
      panels: [
        LinePlot(
          title: "Validation loss", xLabel: "step", yLabel: "nats, mean of the seeds", series: series)
      ], width: 1200, height: 700)
  }

  /// The trials of learning rates.
  var search: PlotFigure? {
    let series = plan.variants.enumerated().compactMap { index, variant -> LinePlot.Series? in
      let points = rows.filter { $0.purpose == .search && $0.variant == variant.name }
        .compactMap { row in row.validationLoss.map { (x: log10(row.learningRate), y: $0) } }.sorted { $0.x < $1.x }
      return points.isEmpty ? nil : .init(variant.name, points, style: .marked, color: index)
    }
    guard !series.isEmpty else { return nil }
    return PlotFigure(
      title: plan.name,
      panels: [
        LinePlot(
          title: "Validation loss by learning rate", xLabel: "log10 of the learning rate", yLabel: "nats",
          series: series)
      ], width: 1200, height: 700)
  }
}
