import MMoEReport
import MMoETrain

/// The curves of a run's page: what the task shows first, then everything else that was recorded.
struct RunCurves {
  private let history: MetricsHistory?
  private let metrics: TaskMetrics?

  init(_ history: MetricsHistory?, _ metrics: TaskMetrics?) { (self.history, self.metrics) = (history, metrics) }

  var html: String {
    guard let history else { return "" }
    var shares: Set<String> = []
    if let metrics {
      let all =
        [(metrics.best.name, metrics.best.isShare)]
        + (metrics.headlines + metrics.details).map { ($0.metric, $0.isShare) }
      shares = Set(all.filter(\.1).flatMap { ["train_\($0.0)", "val_\($0.0)"] })
    }
    // A training and a validation value of one name belong in one picture; so do the layers of a metric.
    var order: [String] = []
    var members: [String: [(name: String, layer: Int?)]] = [:]
    for entry in history.names {
      let title = RunCurves.title(entry.name)
      if members[title] == nil { order.append(title) }
      members[title, default: []].append(entry)
    }
    let first = ["loss"] + (metrics.map { [$0.best.name] + $0.headlines.map(\.metric) } ?? [])
    func place(_ title: String) -> Int { first.firstIndex(of: title) ?? first.count }
    let titles = order.enumerated().sorted { (place($0.element), $0.offset) < (place($1.element), $1.offset) }.map(
      \.element)
    let charts = titles.map { title in
      let entries = members[title] ?? []
      var chart = CurveChart(title.replacing("_", with: " "), isShare: entries.contains { shares.contains($0.name) })
      // More would not be told apart.
      for entry in entries.prefix(7) {
        let name = entry.layer.map { "block \($0)" } ?? RunCurves.part(entry.name)
        chart.add(name, history.points(entry.name, layer: entry.layer))
      }
      return chart
    }
    let drawn = charts.filter { !$0.isEmpty }
    return drawn.isEmpty ? "" : "<div class=\"grid-of-curves\">\n\(drawn.map(\.html).joined())</div>\n"
  }

  private static func title(_ name: String) -> String {
    for prefix in ["train_", "val_"] where name.hasPrefix(prefix) { return String(name.dropFirst(prefix.count)) }
    return name
  }

  private static func part(_ name: String) -> String {
    name.hasPrefix("train_") ? "training" : name.hasPrefix("val_") ? "validation" : ""
  }
}

/// How a run's tokens were shared out among experts at its end.
struct RunExperts {
  /// Steps that the shares are the mean of.
  private static let window = 50
  private let history: MetricsHistory?

  init(_ history: MetricsHistory?) { self.history = history }

  var html: String {
    guard let history else { return "" }
    let rows = history.layers(MetricName.expertShare).compactMap { layer -> String? in
      let shares = history.vectors(MetricName.expertShare, layer: layer).map(\.values)
      let latest = shares.suffix(RunExperts.window).filter {
        $0.count == shares.last?.count && $0.allSatisfy(\.isFinite)
      }
      guard let experts = latest.last?.count, experts > 0 else { return nil }
      let means = (0..<experts).map { expert in latest.reduce(0) { $0 + $1[expert] } / Double(latest.count) }
      let cells = means.map { share in
        let relative = share * Double(experts)
        // White at perfect balance, blue below it, orange above it.
        let strength = min(abs(relative < 1 ? 1 - relative : (relative - 1) / 2), 1)
        let color = relative < 1 ? "0,114,178" : "213,94,0"
        return
          "<td style=\"background:rgba(\(color),\((strength * 75).rounded() / 100))\" title=\"\(HumanFormat.percent(share))\">\(HumanFormat.fixed(relative, 2))</td>"
      }
      return "<tr><th>block \(layer)</th>\(cells.joined())</tr>\n"
    }
    guard !rows.isEmpty else { return "" }
    return """
      <p>Load of each expert in the last steps (at most \(RunExperts.window)) over the load at perfect balance, which is 1.</p>
      <div class="wide"><table class="loads">\(rows.joined())</table></div>

      """
  }
}
