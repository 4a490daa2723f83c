import Foundation
import MMoEFiles
import MMoEReport

/// What a study's runs say: means, deviations, and differences to a baseline, paired by seed.
struct StudySummary {
  /// A variant's mean difference to its baseline over the seeds that both have.
  struct Difference: Equatable {
    let baseline: String
    let pairs: Int
    let mean: Double
    /// Half the width of the confidence interval (Student's t); nil with fewer than two pairs.
    let halfWidth: Double?
    /// The smallest true difference that such a design finds in four of five studies, at the deviation seen here.
    let detectable: Double?
  }

  struct Line: Equatable {
    let variant: String
    let learningRate: Double
    /// What is compared, by seed; runs that diverged, or where it is not finite, are left out and counted.
    let values: [Int: Double]
    let diverged: Int
    let mean: Double?
    /// Sample standard deviation; nil with fewer than two seeds.
    let deviation: Double?
    let difference: Difference?
    let parameters: Int
    let activeParameters: Int
    let flops: Double
    /// Mean training loss of the last steps.
    let trainLoss: Double?
    /// Processor time of a run that was not interrupted; nil where all were.
    let cpuSeconds: Double?
    let metrics: [String: Double]
  }

  private let plan: StudyPlan
  private let rows: [StudyRow]
  let lines: [Line]

  init(_ plan: StudyPlan, _ rows: [StudyRow]) {
    self.plan = plan
    self.rows = rows
    var measured: [String: [Int: Double]] = [:]
    let chosen = plan.variants.map { variant -> [StudyRow] in
      guard let rate = StudySummary.learningRate(of: variant, plan, rows) else { return [] }
      let own = rows.filter {
        $0.purpose == .run && $0.variant == variant.name && $0.learningRate == rate && variant.seeds.contains($0.seed)
      }
      measured[variant.name] = Dictionary(
        own.compactMap { row in row.value(of: plan.measure).map { (row.seed, $0) } }, uniquingKeysWith: { $1 })
      return own
    }
    lines = zip(plan.variants, chosen).compactMap { variant, own in
      guard let last = own.last(where: { $0.validationLoss != nil }) ?? own.last else { return nil }
      let seen = measured[variant.name] ?? [:]
      let values = seen.sorted { $0.key < $1.key }.map(\.value)
      let times = own.compactMap(\.cpuSeconds)
      var metrics: [String: Double] = [:]
      for name in last.metrics.keys where plan.metrics?.contains(name) ?? true && name != plan.measure {
        // A run whose metric was not finite has none; a mean of the others would look better than it is.
        let finished = own.filter { $0.validationLoss != nil }
        let values = finished.compactMap { $0.metrics[name] }
        if values.count == finished.count { metrics[name] = StudySummary.mean(values) }
      }
      if plan.measure != MetricName.validationLoss {
        metrics[MetricName.validationLoss] = StudySummary.mean(own.compactMap(\.validationLoss))
      }
      return Line(
        variant: variant.name, learningRate: last.learningRate, values: seen,
        diverged: own.count(where: { $0.value(of: plan.measure) == nil }), mean: StudySummary.mean(values),
        deviation: StudySummary.deviation(values),
        difference: variant.baseline.flatMap {
          StudySummary.difference(seen, measured[$0] ?? [:], to: $0, confidence: plan.confidence)
        },
        parameters: last.parameters, activeParameters: last.activeParameters, flops: last.flops,
        trainLoss: StudySummary.mean(own.compactMap(\.trainLoss)), cpuSeconds: StudySummary.mean(times),
        metrics: metrics)
    }
  }

  // MARK: Statistics

  /// The searched rate with the lowest validation loss, or the configuration's own where there is no search; nil while
  /// the search is not finished or where all diverged.
  static func learningRate(of variant: StudyPlan.Variant, _ plan: StudyPlan, _ rows: [StudyRow]) -> Double? {
    guard !plan.learningRates.isEmpty else { return variant.config.optimizer.lr }
    let trials = rows.filter {
      $0.purpose == .search && $0.variant == variant.name && plan.learningRates.contains($0.learningRate)
    }
    guard Set(trials.map(\.learningRate)).count == Set(plan.learningRates).count else { return nil }
    return trials.compactMap { row in row.validationLoss.map { (row.learningRate, $0) } }.min { $0.1 < $1.1 }?.0
  }

  static func mean(_ values: [Double]) -> Double? {
    values.isEmpty ? nil : values.reduce(0, +) / Double(values.count)
  }

  /// Sample standard deviation, n − 1 in the denominator.
  static func deviation(_ values: [Double]) -> Double? {
    guard values.count > 1, let mean = mean(values) else { return nil }
    return (values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(values.count - 1)).squareRoot()
  }

  /// Differences by seed; nil without a common one.
  static func difference(
    _ values: [Int: Double], _ baseline: [Int: Double], to name: String, confidence: Double
  ) -> Difference? {
    let differences = values.keys.sorted().compactMap { seed in baseline[seed].map { values[seed]! - $0 } }
    guard let mean = mean(differences) else { return nil }
    let error = deviation(differences).map { $0 / Double(differences.count).squareRoot() }
    let degrees = differences.count - 1
    let outer = degrees > 0 ? StudentT.quantile(0.5 + confidence / 2, degrees: degrees) : 0
    let power = degrees > 0 ? StudentT.quantile(0.8, degrees: degrees) : 0
    return Difference(
      baseline: name, pairs: differences.count, mean: mean, halfWidth: error.map { $0 * outer },
      detectable: error.map { $0 * (outer + power) })
  }

  // MARK: Texts

  /// The trials of learning rates and the comparison.
  func text() -> String {
    (search.map { $0 + "\n" } ?? "") + comparison()
  }

  private var search: String? {
    guard !plan.learningRates.isEmpty else { return nil }
    let rates = plan.learningRates.sorted()
    var table = TextTable(columns: [.left("learning rate")] + rates.map { .right("\($0)") } + [.left("chosen")])
    for variant in plan.variants {
      let best = StudySummary.learningRate(of: variant, plan, rows)
      let cells = rates.map { rate -> String in
        let row = rows.first { $0.purpose == .search && $0.variant == variant.name && $0.learningRate == rate }
        return row.map { $0.validationLoss.map { HumanFormat.fixed($0, 4) } ?? "diverged" } ?? "–"
      }
      let isEdge = best.map { rates.count > 1 && ($0 == rates.first || $0 == rates.last) } ?? false
      table.add([variant.name] + cells + [best.map { "\($0)" + (isEdge ? ", the edge" : "") } ?? "–"])
    }
    return table.render()
  }

  private func comparison() -> String {
    let level = HumanFormat.fixed(
      plan.confidence * 100, plan.confidence * 100 == (plan.confidence * 100).rounded() ? 0 : 1)
    let metrics = metricNames
    var columns: [TextTable.Column] = [
      .left("variant"), .right("lr"), .right("seeds"), .right(byLoss ? "val loss" : plan.measure), .right("sd"),
      .left("against"),
      .right("difference"), .left("\(level) % interval"), .right("detectable"), .right("train loss"),
    ]
    columns += metrics.map { .right($0) }
    columns += [.right("parameters"), .right("active"), .right("FLOPs"), .right("CPU time")]
    var table = TextTable(columns: columns)
    func fixed(_ value: Double?, _ digits: Int = 4) -> String { value.map { HumanFormat.fixed($0, digits) } ?? "–" }
    for line in lines {
      let difference = line.difference
      let interval = difference.flatMap { found in
        found.halfWidth.map { "\(signed(found.mean - $0)) to \(signed(found.mean + $0))" }
      }
      let seeds = "\(line.values.count)" + (line.diverged > 0 ? " + \(line.diverged) diverged" : "")
      let against: String = difference.map { "\($0.baseline) (\($0.pairs))" } ?? ""
      let detectable: String = difference.map { fixed($0.detectable) } ?? ""
      var cells: [String] = [
        line.variant, "\(line.learningRate)", seeds, fixed(line.mean), fixed(line.deviation), against,
        difference.map { signed($0.mean) } ?? "", interval ?? "", detectable, fixed(line.trainLoss),
      ]
      cells += metrics.map { fixed(line.metrics[$0]) }
      cells += [
        HumanFormat.count(line.parameters), HumanFormat.count(line.activeParameters), HumanFormat.count(line.flops),
        line.cpuSeconds.map { HumanFormat.duration($0) } ?? "–",
      ]
      table.add(cells)
    }
    let missing = plan.variants.map(\.name).filter { name in !lines.contains { $0.variant == name } }
    let note = missing.isEmpty ? "" : "not finished: \(missing.joined(separator: ", "))\n"
    return table.render() + note + """
      Differences are paired by seed\(byLoss ? ", negative is better" : ""); intervals are Student's t, each alone (no correction for their \
      number). Detectable: the smallest true difference that is found in four of five such studies.

      """
  }

  private var byLoss: Bool { plan.measure == MetricName.validationLoss }

  /// In the plan's order, or by name.
  private var metricNames: [String] {
    let found = Set(lines.flatMap(\.metrics.keys))
    guard let chosen = plan.metrics else { return found.sorted() }
    return [MetricName.validationLoss].filter(found.contains) + chosen.filter(found.contains)
  }

  private func signed(_ value: Double) -> String { (value < 0 ? "−" : "+") + HumanFormat.fixed(abs(value), 4) }

  /// The comparison as comma-separated values, one line a variant.
  func csv() -> String {
    let metrics = metricNames
    var table = CSVTable(
      [
        "variant", "learning_rate", "seeds", "diverged", plan.measure, plan.measure + "_sd", "baseline", "pairs",
        "difference",
        "half_width", "detectable", "parameters", "active_parameters", "flops", "train_loss",
        "cpu_seconds",
      ] + metrics)
    func cell(_ value: Double?) -> String { value.map { "\($0)" } ?? "" }
    for line in lines {
      table.add(
        [
          line.variant, "\(line.learningRate)", "\(line.values.count)", "\(line.diverged)", cell(line.mean),
          cell(line.deviation), line.difference?.baseline ?? "", line.difference.map { "\($0.pairs)" } ?? "",
          cell(line.difference?.mean), cell(line.difference?.halfWidth), cell(line.difference?.detectable),
          "\(line.parameters)", "\(line.activeParameters)", "\(line.flops)", cell(line.trainLoss),
          cell(line.cpuSeconds),
        ] + metrics.map { cell(line.metrics[$0]) })
    }
    return table.text
  }

  func json() -> JSONValue {
    func number(_ value: Double?) -> JSONValue { value.map { .double($0) } ?? .null }
    return .object([
      "study": .string(plan.name),
      "variants": .array(
        lines.map { line in
          .object([
            "variant": .string(line.variant), "learning_rate": .double(line.learningRate),
            "seeds": .int(line.values.count), "diverged": .int(line.diverged), "measure": .string(plan.measure),
            "mean": number(line.mean), "sd": number(line.deviation),
            "baseline": line.difference.map { .string($0.baseline) } ?? .null,
            "difference": number(line.difference?.mean), "half_width": number(line.difference?.halfWidth),
            "detectable": number(line.difference?.detectable), "parameters": .int(line.parameters),
            "active_parameters": .int(line.activeParameters), "flops": .double(line.flops),
            "train_loss": number(line.trainLoss), "cpu_seconds": number(line.cpuSeconds),
            "metrics": .object(line.metrics.mapValues { .double($0) }),
          ])
        }),
    ])
  }

  // MARK: Files

  /// What a report writes: names, and how.
  ///
  /// - Parameter runs: the folder of a run by its name.
  func files(runs: (String) -> String) throws -> [(name: String, write: (String) throws -> Void)] {
    let plots = StudyPlots(plan, rows, lines)
    guard byLoss else {
      // Beside the files of the loss, not in their place.
      return [
        ("summary-\(plan.measure).csv", { path in try DurableFile.write(csv(), to: path) }),
        ("summary-\(plan.measure).txt", { path in try DurableFile.write(text(), to: path) }),
      ] + (plots.compared.map { figure in [("\(plan.measure).png", { path in try figure.write(to: path) })] } ?? [])
    }
    let curves = plots.curves(runs)
    return [
      ("summary.csv", { path in try DurableFile.write(csv(), to: path) }),
      ("summary.txt", { path in try DurableFile.write(text(), to: path) }),
    ]
      + [("losses.png", plots.compared), ("curves.png", curves), ("search.png", plots.search)].compactMap {
        name, figure in figure.map { figure in (name, { path in try figure.write(to: path) }) }
      }
  }

}
