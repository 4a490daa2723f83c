import Foundation

/// Curves over the steps of a run as an SVG picture within a page: a program that draws need not be installed.
package struct CurveChart {
  private struct Curve {
    let name: String
    let points: [(x: Double, y: Double)]
    let color: Int
    /// Pale and thin, behind its smoothed curve.
    let isFaint: Bool
    let isMarked: Bool
  }

  private let title: String
  private let isShare: Bool
  private var curves: [Curve] = []

  private static let (width, height) = (440.0, 220.0)
  private static let (left, right, top, bottom) = (58.0, 12.0, 10.0, 26.0)

  /// - Parameter isShare: whether values are shares of one, shown in percent.
  package init(_ title: String, isShare: Bool = false) { (self.title, self.isShare) = (title, isShare) }

  package var isEmpty: Bool { curves.isEmpty }

  /// Adds a curve; one with many points is smoothed, and its values stand pale behind it. Values that are not finite are gaps.
  package mutating func add(_ name: String, _ values: [(step: Int, value: Double)]) {
    let points = TrainingPlot.curve(values, isShare ? 100 : 1)
    guard points.contains(where: { $0.y.isFinite }) else { return }
    let color = Set(curves.map(\.color)).count
    if points.count >= 100 {
      curves.append(.init(name: "", points: TrainingPlot.thinned(points), color: color, isFaint: true, isMarked: false))
      curves.append(
        .init(
          name: name, points: TrainingPlot.thinned(TrainingPlot.smoothed(points)), color: color, isFaint: false,
          isMarked: false))
    } else {
      curves.append(.init(name: name, points: points, color: color, isFaint: false, isMarked: points.count <= 30))
    }
  }

  /// A figure with its title, its legend and the last values.
  package var html: String {
    let named = curves.filter { !$0.isFaint }
    let legend = named.map { curve in
      let last = curve.points.last { $0.y.isFinite }?.y ?? .nan
      return
        "<span class=\"key c\(curve.color % 7)\">\(htmlText(curve.name)) <b>\(CurveChart.number(last))\(isShare ? " %" : "")</b></span>"
    }
    return """
      <figure><figcaption>\(htmlText(title)) \(legend.joined(separator: " "))</figcaption>
      \(svg)</figure>

      """
  }

  private var svg: String {
    let finite = curves.flatMap(\.points).filter { $0.x.isFinite && $0.y.isFinite }
    var (low, high) = (finite.map(\.y).min() ?? 0, finite.map(\.y).max() ?? 1)
    // A flat curve stands in the middle, but for one of zeros, which are counts and shares.
    if high - low <= abs(high) * 1e-9 {
      let room = low == 0 ? 1 : abs(low) * 0.05
      (low, high) = (low == 0 ? 0 : low - room, high + room)
    }
    let (first, last) = (finite.map(\.x).min() ?? 0, finite.map(\.x).max() ?? 1)
    let span = max(last - first, 1)
    let (left, top) = (CurveChart.left, CurveChart.top)
    let (width, height) = (CurveChart.width - left - CurveChart.right, CurveChart.height - top - CurveChart.bottom)
    func x(_ value: Double) -> Double { left + (value - first) / span * width }
    func y(_ value: Double) -> Double { top + (high - value) / (high - low) * height }
    var parts: [String] = []
    for tick in CurveChart.ticks(low, high) {
      parts.append("<path class=\"grid\" d=\"M\(short(left)) \(short(y(tick)))h\(short(width))\"/>")
      parts.append(
        "<text x=\"\(short(left - 6))\" y=\"\(short(y(tick) + 4))\" class=\"y\">\(CurveChart.number(tick))</text>")
    }
    for tick in CurveChart.ticks(first, last) where tick == tick.rounded() {
      parts.append(
        "<text x=\"\(short(x(tick)))\" y=\"\(short(CurveChart.height - 8))\" class=\"x\">\(HumanFormat.grouped(Int(tick)))</text>"
      )
    }
    for curve in curves {
      var path = ""
      var isDown = false
      for point in curve.points {
        guard point.y.isFinite else {
          isDown = false
          continue
        }
        path += "\(isDown ? "L" : "M")\(short(x(point.x))) \(short(y(point.y)))"
        isDown = true
        if curve.isMarked {
          parts.append(
            "<circle class=\"c\(curve.color % 7)\" cx=\"\(short(x(point.x)))\" cy=\"\(short(y(point.y)))\" r=\"2.6\"><title>step \(Int(point.x)): \(CurveChart.number(point.y))</title></circle>"
          )
        }
      }
      parts.append("<path class=\"curve c\(curve.color % 7)\(curve.isFaint ? " faint" : "")\" d=\"\(path)\"/>")
    }
    return """
      <svg viewBox="0 0 \(short(CurveChart.width)) \(short(CurveChart.height))" role="img" aria-label="\(htmlText(title)) over the steps">
      \(parts.joined(separator: "\n"))
      </svg>
      """
  }

  /// Coordinates need no more than tenths of a pixel.
  private func short(_ value: Double) -> String { "\((value * 10).rounded() / 10)" }

  /// Round numbers within a range, about four.
  static func ticks(_ low: Double, _ high: Double) -> [Double] {
    guard low.isFinite, high.isFinite, high > low else { return [] }
    let rough = (high - low) / 4
    let power = pow(10, log10(rough).rounded(.down))
    let step = [1.0, 2, 5, 10].map { $0 * power }.first { $0 >= rough } ?? rough
    let first = (low / step).rounded(.up)
    let count = Int(((high / step).rounded(.down) - first).rounded())
    return count < 0 ? [] : (0...min(count, 20)).map { (first + Double($0)) * step }
  }

  /// Four digits that count.
  static func number(_ value: Double) -> String {
    guard value.isFinite else { return "–" }
    if value == 0 { return "0" }
    let size = abs(value)
    if size >= 1e6 || size < 1e-4 { return String(format: "%.3g", value) }
    let digits = max(0, 3 - Int(log10(size).rounded(.down)))
    let text = String(format: "%.\(min(digits, 6))f", value)
    guard text.contains(".") else { return size >= 1000 ? HumanFormat.grouped(Int(value.rounded())) : text }
    return String(text.reversed().drop { $0 == "0" }.drop { $0 == "." }.reversed())
  }
}
