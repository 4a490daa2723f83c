import MMoEConfig
import MMoEData
import MMoEFiles
import MMoEReport
import MMoETrain

/// What differs between runs, and their metrics side by side.
struct RunFigures {
  private let runs: [RunSummary]
  private let names: [String]
  /// Settings that are not the same in all of them; nil where a run's configuration cannot be read.
  let settings: [(key: String, values: [String?])]

  init(_ runs: [RunSummary], _ names: [String]) {
    (self.runs, self.names) = (runs, names)
    var rows: [(key: String, values: [String?])] = [
      ("task", runs.map(\.task)), ("preset", runs.map(\.preset)), ("data", runs.map(\.data)),
      ("ranks", runs.map { $0.ranks.map(String.init) }),
    ]
    let resolved = runs.map { $0.config.map(RunConfig.table.resolved) }
    for (index, entry) in RunConfig.table.entries.enumerated() {
      rows.append((entry.key, resolved.map { $0?[index].value }))
    }
    settings = rows.filter { row in
      // A configuration that cannot be read is a note, not a hundred rows.
      let known = row.values.compactMap { $0 }
      return Set(known).count > 1
    }
  }

  /// Metrics of the whole model that the tasks of these runs show, losses first; runs need not have recorded them.
  static func candidates(_ runs: [RunSummary]) -> [ComparisonPlot.Metric] {
    var metrics: [ComparisonPlot.Metric] = [
      .init(MetricName.trainLoss, title: "Training loss", isShare: false),
      .init(MetricName.validationLoss, title: "Validation loss", isShare: false),
    ]
    for task in runs.compactMap(\.metrics) {
      let best = Headline(task.best.name, task.best.name, isShare: task.best.isShare)
      for headline in [best] + task.headlines {
        let name = "val_\(headline.metric)"
        guard !metrics.contains(where: { $0.name == name }) else { continue }
        metrics.append(.init(name, title: "Validation: \(headline.label)", isShare: headline.isShare))
      }
    }
    return metrics
  }

  // MARK: Metrics

  /// A row of the table of metrics: a title, and a value of each run.
  private var metricRows: [(title: String, cells: [String?])] {
    func value(_ metric: ComparisonPlot.Metric, _ value: Double?) -> String? {
      value.map { Headline(metric.name, "", isShare: metric.isShare).text($0) }
    }
    var rows: [(title: String, cells: [String?])] = [("step", runs.map(\.stepText))]
    for metric in RunFigures.candidates(runs) {
      let last = runs.map { $0.outline?.history.points(metric.name).last?.value }
      // Of runs of different tasks, what all of them have.
      let isCommon = !last.contains { $0 == nil } || Set(runs.map(\.task)).count == 1
      guard isCommon, last.contains(where: { $0 != nil }) else { continue }
      rows.append(("last \(metric.name)", last.map { value(metric, $0) }))
      let judges = runs.allSatisfy { $0.bestMetric == nil || $0.bestMetric == metric.name }
      guard judges || metric.name == MetricName.validationLoss else { continue }
      let higher = judges && runs.contains { $0.metrics?.best.higherIsBetter == true }
      let best = runs.map { run in
        RunSummary.best(run.outline?.history.points(metric.name) ?? [], higher: higher).flatMap { best in
          value(metric, best.value).map { "\($0), step \(HumanFormat.grouped(best.step))" }
        }
      }
      rows.append(("best \(metric.name)", best))
    }
    rows.append(("time in steps", runs.map { $0.seconds.map(HumanFormat.duration) }))
    rows.append(
      (
        "throughput",
        runs.map { run in
          run.outline?.unitsPerSecond.map { "\(HumanFormat.count($0)) \(run.outline?.unit ?? "")/s" }
        }
      ))
    return rows
  }

  // MARK: Data

  /// Whether the runs had the same data, by split: nil where a run does not say.
  private func isSame(_ split: DatasetSplit) -> Bool? {
    let digests = runs.map { $0.parts[split.rawValue]?.digest }
    return digests.contains { $0 == nil } ? nil : Set(digests).count == 1
  }

  private var dataLines: String {
    DatasetSplit.allCases.map { split in
      switch isSame(split) {
      case true?: return "\(split.rawValue) data: the same (\(runs[0].parts[split.rawValue]?.summary ?? ""))\n"
      case nil:
        let unknown = zip(runs, names).filter { $0.0.parts[split.rawValue] == nil }.map(\.1)
        return "\(split.rawValue) data: not known of \(unknown.joined(separator: ", "))\n"
      case false?:
        let each = zip(runs, names).map { "\($1) \($0.parts[split.rawValue]?.summary ?? "")" }
        return "\(split.rawValue) data: differs: \(each.joined(separator: "; "))\n"
      }
    }.joined()
  }

  // MARK: As text

  /// - Parameter sink: whose width decides whether the runs' names stand above columns or letters do.
  func text(_ sink: any TextSink) -> String {
    func table(_ title: String, _ heads: [String], _ rows: [(String, [String?])]) -> TextTable {
      var table = TextTable(columns: [.left(title)] + heads.map { .right($0) })
      for (key, cells) in rows { table.add([key] + cells.map { oneLine($0 ?? "–") }) }
      return table
    }
    let rows = metricRows.map { ($0.title, $0.cells) }
    func tables(_ heads: [String]) -> [TextTable] {
      [table("setting", heads, settings.map { ($0.key, $0.values) }), table("metric", heads, rows)]
    }
    let heads = names.map(oneLine)
    let widest = tables(heads).flatMap { $0.render().split(separator: "\n").map(\.count) }.max() ?? 0
    let isNarrow = sink.width.map { widest > $0 } ?? false
    let letters = heads.indices.map { "[\($0 + 1)]" }
    let chosen = tables(isNarrow ? letters : heads)
    var text = isNarrow ? zip(letters, heads).map { "\($0) \($1)\n" }.joined() + "\n" : ""
    text += settings.isEmpty ? "no setting differs\n" : chosen[0].render(for: sink)
    return text + "\n" + chosen[1].render(for: sink) + "\n"
      + dataLines.split(separator: "\n").map {
        oneLine(String($0)) + "\n"
      }.joined()
  }

  /// - Parameter plot: the picture that was drawn.
  func json(plot: String?) -> JSONValue {
    let different = settings.map { row in
      (row.key, JSONValue.array(row.values.map { $0.map(JSONValue.string) ?? .null }))
    }
    let data = DatasetSplit.allCases.map { split in
      (split.rawValue, isSame(split).map { $0 ? JSONValue.string("same") : .string("differs") } ?? .string("unknown"))
    }
    return .object([
      "runs": .array(runs.map(\.json)), "settings": .object(Dictionary(uniqueKeysWithValues: different)),
      "data": .object(Dictionary(uniqueKeysWithValues: data)), "plot": plot.map(JSONValue.string) ?? .null,
    ])
  }
}
