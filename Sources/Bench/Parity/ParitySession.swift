import MMoEFiles
import MMoEHDF5
import MMoEReport
import MMoETensor
import MMoETrain

/// `mmoe parity`: runs reference cases forward and backward and compares every output and gradient.
package struct ParitySession {
  private let cases: [String]
  private let tolerance: Double
  private let threads: Int?
  private let isVerbose: Bool

  package init(cases: [String], tolerance: Double = 1e-4, threads: Int? = nil, isVerbose: Bool = false) {
    self.cases = cases
    self.tolerance = tolerance
    self.threads = threads
    self.isVerbose = isVerbose
  }

  /// Prints a line a case.
  ///
  /// - Returns: whether all differences are within the tolerance.
  /// - Throws: `HDF5Error`, `ModelError` or `BenchError` for a file that is no case or misses something.
  package func run(_ sink: any TextSink) throws -> Bool {
    let engine = try Engine(threads: threads)
    sink.line("\(engine.backendDescription), \(engine.threads) threads, tolerance \(tolerance)")
    var table = TextTable(columns: [
      .left("case"), .right("compared"), .right("absolute"), .right("relative"), .left("worst"), .left(""),
    ])
    var failures = 0
    for file in cases {
      let reference = try ParityCase(file)
      let name = String(file.split(separator: "/").last ?? "")
      let report = try ParitySession.run(reference, engine)
      let worst = report.worst
      let passed = worst.relative <= tolerance
      failures += passed ? 0 : 1
      func exponent(_ value: Double) -> String { String(format: "%.1e", value) }
      table.add([
        name, "\(report.lines.count)", exponent(report.largestAbsolute), exponent(worst.relative),
        worst.name, passed ? "ok" : "FAILED",
      ])
      if isVerbose {
        for line in report.lines {
          table.add(["  " + line.name, "", exponent(line.absolute), exponent(line.relative)])
        }
      }
    }
    sink.write(table.render(for: sink))
    sink.line("\(cases.count - failures) passed, \(failures) failed")
    return failures == 0
  }

  package static func run(_ reference: ParityCase, _ engine: Engine) throws -> ParityReport {
    if let feature = reference.unknownFeature {
      throw BenchError(
        "\(reference.file)", found: "a case of \(feature), which this version does not have", remedy: "leave it out")
    }
    return switch reference.kind {
    case "operation": try OperationParity.run(reference, engine)
    case "routing": try RoutingParity.run(reference, engine)
    case "moe": try MoEParity.run(reference, engine)
    case "pair": try PairParity.run(reference, engine)
    case "model": try ModelParity.run(reference, engine)
    default:
      throw BenchError(
        "\(reference.file)", field: "kind", found: "'\(reference.kind)'",
        remedy: "valid are operation, routing, moe, pair, model")
    }
  }
}
