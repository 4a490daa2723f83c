import Foundation
import MMoEConfig
import MMoEFiles
import MMoEReport
import MMoETrain

/// `mmoe runs compare`: settings and metrics of several runs side by side, and their curves in one picture.
package struct RunComparison {
  /// What the command line said.
  package struct Options: Sendable {
    /// Folders of runs, or their names below the folder where runs go.
    package var runs: [String] = []
    /// Where the picture goes; nil = none.
    package var plot: String?
    package var printsJSON = false
    package init() {}
  }

  private let options: Options
  private let sinks: CommandSinks

  package init(_ options: Options, _ sinks: CommandSinks = .standard) { (self.options, self.sinks) = (options, sinks) }

  /// The folder of a run.
  ///
  /// - Parameter run: a path, or a name below the folder where runs go.
  /// - Throws: `RunError` when there is no run.
  static func folder(_ run: String) throws -> String {
    let place = RunFolder.named(run)
    if !run.isEmpty, let content = RunFolder.content(of: place), content == .checkpoints || content == .unsaved {
      return place
    }
    let found = FileManager.default.fileExists(atPath: run) ? "no run's folder" : "no such run"
    throw RunError(
      run.isEmpty ? "\"\"" : run, found: found, expected: "a run's folder, or its name below \(RunFolder.home)",
      remedy: "`mmoe runs` lists them")
  }

  /// Draws the picture and prints the tables.
  ///
  /// - Throws: `RunError` for what is no run, the same run twice, or runs that have no metric in common to draw;
  ///   `ReportError` for a picture that cannot be drawn.
  package func run() throws {
    let folders = try options.runs.map(RunComparison.folder)
    var places: [String: String] = [:]
    for folder in folders {
      if let other = places.updateValue(folder, forKey: FilePath.resolved(FilePath.absolute(folder))) {
        throw RunError(folder, found: "the same run as \(other)", expected: "different runs")
      }
    }
    let locks = RunLocks()
    let runs = folders.map { RunSummary($0, locks) }
    let names = runs.map { run in runs.count { $0.name == run.name } == 1 ? run.name : run.folder }
    let drawn = try options.plot.map { try draw(runs, names, to: $0) }
    let figures = RunFigures(runs, names)
    if options.printsJSON {
      sinks.output.line(figures.json(plot: options.plot).line)
    } else {
      sinks.output.write(figures.text(sinks.output))
      sinks.output.line(
        drawn ?? "no picture of the curves; --plot FILE.png draws one")
    }
    for note in runs.flatMap(\.notes) { sinks.errors.line("note: \(oneLine(note))") }
  }

  /// - Returns: what was drawn.
  private func draw(_ runs: [RunSummary], _ names: [String], to file: String) throws -> String {
    let histories = try zip(runs, names).map { run, name in
      let metrics = FilePath.join(run.folder, Recorder.fileName)
      guard FileManager.default.fileExists(atPath: metrics) else {
        throw RunError("--plot \(file)", found: "no metrics to draw in \(run.folder)", expected: "\(Recorder.fileName)")
      }
      return (name: oneLine(name), history: try MetricsHistory(file: metrics))
    }
    // A picture of losses and of what the tasks judge by; the table has the others.
    let shown = [MetricName.trainLoss, MetricName.validationLoss] + runs.compactMap(\.bestMetric)
    let metrics = RunFigures.candidates(runs).filter { metric in
      shown.contains(metric.name)
        && histories.allSatisfy { $0.history.points(metric.name).contains(where: \.value.isFinite) }
    }
    guard !metrics.isEmpty else {
      let without = histories.filter { $0.history.steps.isEmpty }.map(\.name)
      throw RunError(
        "--plot \(file)",
        found: without.isEmpty
          ? "no metric that all of \(names.joined(separator: ", ")) recorded"
          : "no step recorded by \(without.joined(separator: ", "))",
        expected: "at least one that all have")
    }
    try ComparisonPlot.figure(histories, metrics, title: "\(runs.count) runs").write(to: file)
    return "\(metrics.map(\.name).joined(separator: ", ")) drawn in \(file)"
  }
}
