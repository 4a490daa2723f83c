import MMoEConfig
import MMoEData
import MMoEFiles
import MMoEReport
import MMoETrain

/// `mmoe runs`: a table of the runs below a folder.
package struct RunListing {
  /// What the table is sorted by.
  package enum Order: String, CaseIterable, Sendable {
    case date, best, step, name, time
  }

  /// What the command line said.
  package struct Options: Sendable {
    /// Nil = where runs go without `--out`.
    package var folder: String?
    package var order = Order.date
    package var task: String?
    package var preset: String?
    /// `key=value` of the configuration, all of which must hold.
    package var filters: [String] = []
    /// Nil = all.
    package var limit: Int?
    package var printsJSON = false
    package init() {}
  }

  private let options: Options
  private let sinks: CommandSinks

  package init(_ options: Options, _ sinks: CommandSinks = .standard) { (self.options, self.sinks) = (options, sinks) }

  /// Prints the runs; what is wrong with some of them stands in a line each and stops nothing.
  ///
  /// - Throws: `RunError` or `ConfigError` for a folder that cannot be read, and for a filter that is none.
  package func run() throws {
    let fits = try filter()
    let root = options.folder ?? RunFolder.home
    let search = try RunSearch(below: root)
    let human = options.printsJSON ? sinks.errors : sinks.output
    let locks = RunLocks()
    let all = try search.runs.mapInParallel(grain: 1) { RunSummary($0, locks) }
    var runs = all.filter(fits).sorted(by: precedes)
    let fitting = runs.count
    if let limit = options.limit { runs = Array(runs.prefix(limit)) }
    if options.printsJSON {
      for run in runs { sinks.output.line(run.json.line) }
    } else if !runs.isEmpty {
      let (text, dropped) = RunTable.text(runs, under: root, sinks.output)
      sinks.output.write(text)
      if !dropped.isEmpty {
        human.line("not shown for lack of width: \(dropped.joined(separator: ", ")); --json has everything")
      }
    }
    if runs.isEmpty {
      human.line(
        all.isEmpty ? "no runs below \(oneLine(root))" : "none of the \(all.count) runs below \(oneLine(root)) fits")
    }
    if runs.count < fitting { human.line("\(fitting - runs.count) more (--limit)") }
    for note in notes(search, runs) { sinks.errors.line(oneLine(note)) }
  }

  /// What was found beside runs that can be read, a line each.
  private func notes(_ search: RunSearch, _ runs: [RunSummary]) -> [String] {
    func some(_ names: [String]) -> String {
      names.prefix(3).joined(separator: ", ") + (names.count > 3 ? " and \(names.count - 3) more" : "")
    }
    var notes = search.unreadable.map { "note: \($0.path): cannot be read (\($0.reason))" }
    let early = runs.filter { !$0.hasRecord }.map(\.name)
    if !early.isEmpty {
      notes.append("note: no \(RunRecord.fileName), so preset and data are not known: \(some(early))")
    }
    notes += runs.flatMap { run in run.notes.map { "note: \($0)" } }
    let unreadable = Set(search.unreadable.map { FilePath.name(of: $0.path) })
    let others = search.others.filter { !unreadable.contains($0) }
    if !others.isEmpty { notes.append("note: folders without runs: \(some(others))") }
    return notes
  }

  // MARK: Which runs, and in which order

  /// - Throws: `RunError` for a filter that is no `key=value` of the configuration, `ConfigError` for an unknown task.
  private func filter() throws -> (RunSummary) -> Bool {
    if let task = options.task { _ = try TaskKind(named: task) }
    for filter in options.filters {
      var config = RunConfig()
      do { try RunConfig.table.set(filter, in: &config) } catch {
        let fault = error.fault
        throw RunError(
          "--filter \(filter)", field: fault.field, found: fault.found, expected: fault.expected, remedy: fault.remedy)
      }
    }
    return { run in
      if let task = options.task, run.task != task { return false }
      if let preset = options.preset, run.preset != preset { return false }
      return options.filters.allSatisfy { filter in
        // Values are compared as values: 1e-3 is 0.001.
        guard let config = run.config else { return false }
        var changed = config
        guard (try? RunConfig.table.set(filter, in: &changed)) != nil else { return false }
        return RunConfig.table.differences(config, changed).isEmpty
      }
    }
  }

  /// Largest first but for names; what is not known comes last, and runs that are equal in it by their date.
  private func precedes(_ a: RunSummary, _ b: RunSummary) -> Bool {
    func descending<Value: Comparable>(_ x: Value?, _ y: Value?) -> Bool? {
      switch (x, y) {
      case (let x?, let y?): x == y ? nil : x > y
      case (nil, nil): nil
      case (let x, _): x != nil
      }
    }
    let first: Bool? =
      switch options.order {
      case .date: nil
      case .name: a.name == b.name ? nil : a.name < b.name
      case .step: descending(a.step, b.step)
      case .time: descending(a.seconds, b.seconds)
      // Values of different metrics do not compare: a task after the other, those without a value last.
      case .best: bestOrder(a, b, descending)
      }
    return first ?? descending(a.date, b.date) ?? (a.folder < b.folder)
  }

  private func bestOrder(_ a: RunSummary, _ b: RunSummary, _ descending: (Double?, Double?) -> Bool?) -> Bool? {
    guard let metric = a.bestMetric, let other = b.bestMetric, metric == other else {
      return a.bestMetric == b.bestMetric ? nil : (a.bestMetric ?? "~") < (b.bestMetric ?? "~")
    }
    let sign = a.metrics?.best.higherIsBetter == false ? -1.0 : 1
    return descending(a.best.map { $0.value * sign }, b.best.map { $0.value * sign })
  }
}
