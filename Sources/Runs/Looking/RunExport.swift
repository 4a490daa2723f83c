import Foundation
import MMoEFiles
import MMoEReport

/// `mmoe runs export`: what a run has recorded, as comma-separated values.
package enum RunExport {
  /// - Parameters:
  ///   - run: a run's folder, or its name below the folder where runs go.
  ///   - file: where the values go; nil = the output.
  /// - Throws: `RunError` when there is no run or it recorded nothing, `ReportError` for metrics that cannot be read,
  ///   `FileFailure` for a file that cannot be written, which then stays as it was.
  package static func run(_ run: String, to file: String?, _ sinks: CommandSinks = .standard) throws {
    let metrics = FilePath.join(try RunComparison.folder(run), Recorder.fileName)
    guard FileManager.default.fileExists(atPath: metrics) else {
      throw RunError(metrics, found: "no such file: the run has recorded no step")
    }
    let history = try MetricsHistory(file: metrics)
    let csv = history.csv()
    if history.passedOver > 0 {
      sinks.errors.line("note: \(oneLine(metrics)): \(history.passedOver) lines are no step's metrics and are left out")
    }
    guard let file else { return sinks.output.write(csv) }
    try DurableFile.write(csv, to: file)
    let columns = csv.prefix { $0 != "\n" }.count { $0 == "," } + 1
    sinks.output.line("\(HumanFormat.grouped(history.steps.count)) steps, \(columns) columns in \(oneLine(file))")
  }
}
