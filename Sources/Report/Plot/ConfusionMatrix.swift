import Foundation
import MMoEFiles

/// Which classes a model takes for which: of each class's samples, the share that it finds in every class.
package struct ConfusionMatrix: Sendable {
  /// More classes than these have no room for names and numbers: then the ones with the most mistakes are shown.
  package static let shownClasses = 30

  private let names: [String]
  /// Samples by class and by the class that was found.
  private let counts: [Pair: Int]
  private let totals: [Int]

  private struct Pair: Hashable {
    let label, predicted: Int
  }

  /// - Parameters:
  ///   - names: of the classes.
  ///   - samples: the class of every sample, and the one that was found for it.
  package init(names: [String], samples: some Sequence<(label: Int, predicted: Int)>) {
    self.names = names
    var (counts, totals) = ([Pair: Int](), [Int](repeating: 0, count: names.count))
    for sample in samples {
      counts[Pair(label: sample.label, predicted: sample.predicted), default: 0] += 1
      totals[sample.label] += 1
    }
    (self.counts, self.totals) = (counts, totals)
  }

  /// The classes in the picture: all, or those that most mistakes begin or end in, in the order of the classes.
  package var shown: [Int] {
    guard names.count > ConfusionMatrix.shownClasses else { return Array(names.indices) }
    var mistakes = [Int](repeating: 0, count: names.count)
    for (pair, count) in counts where pair.label != pair.predicted {
      mistakes[pair.label] += count
      mistakes[pair.predicted] += count
    }
    let order = names.indices.sorted { (mistakes[$1], $0) < (mistakes[$0], $1) }
    return order.prefix(ConfusionMatrix.shownClasses).sorted()
  }

  /// Percentages row by row, a class each; NaN for one without samples. Where classes are left out, a last column holds what
  /// was found in those.
  package func percentages(of shown: [Int]) -> [[Double]] {
    shown.map { label in
      let found = shown.map { Double(counts[Pair(label: label, predicted: $0)] ?? 0) }
      let others = shown.count < names.count ? [Double(totals[label]) - found.reduce(0, +)] : []
      return (found + others).map { totals[label] > 0 ? 100 * $0 / Double(totals[label]) : .nan }
    }
  }

  /// The picture.
  ///
  /// - Parameter title: stands above it, such as the data's name.
  package func figure(title: String) -> PlotFigure {
    let shown = shown
    let isReduced = shown.count < names.count
    let labels = shown.map { ConfusionMatrix.short(oneLine(names[$0])) }
    let columns = labels + (isReduced ? ["others"] : [])
    let correct = names.indices.reduce(0) { $0 + (counts[Pair(label: $1, predicted: $1)] ?? 0) }
    let total = totals.reduce(0, +)
    var heading = "\(HumanFormat.grouped(correct)) of \(HumanFormat.grouped(total)) correct"
    if isReduced { heading += "; the \(shown.count) classes of \(names.count) with the most mistakes" }
    var panel = MatrixPlot(
      title: heading, xLabel: "predicted", yLabel: "true", valueLabel: "% of the true class", rows: labels,
      columns: columns, values: percentages(of: shown), range: 0...100)
    panel.numberText = { $0 < 0.5 ? "" : HumanFormat.fixed($0, 0) }
    panel.showsNumbers = true
    // Turned further, the names of many columns stand clear of each other.
    panel.columnAngle = columns.count > 12 ? 55 : 25
    var figure = PlotFigure(title: title, panels: [panel])
    // In pixels: room for the names, whose letters are about 8 wide.
    let longest = Double(columns.map(\.count).max() ?? 0)
    let angle = Double(panel.columnAngle) * .pi / 180
    let cell = min(max(900 / Double(columns.count), 36), 64)
    figure.left = 88 + 8.6 * longest
    figure.right = max(160, 8.6 * longest * cos(angle))
    figure.below = 66 + 8.6 * longest * sin(angle)
    figure.width = Int(figure.left + figure.right + max(cell * Double(columns.count), 300))
    figure.height = Int(PlotFigure.aroundPanel + figure.below + max(cell * Double(labels.count), 240))
    return figure
  }

  private static func short(_ name: String) -> String { name.count > 24 ? name.prefix(23) + "…" : name }
}
