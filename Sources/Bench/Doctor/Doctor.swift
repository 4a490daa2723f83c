import Foundation
import MMoEFiles
import MMoEReport
import MMoERuns
import MMoETensor

/// `mmoe doctor`: what this machine offers, what slows mmoe down on it and why, and whether everything works.
package enum Doctor {
  /// Looks at everything, says what it finds as it goes, and then what to do about it.
  ///
  /// - Parameter printsJSON: end with one line of JSON.
  /// - Throws: `BenchError` with one line of everything that is needed and does not work.
  package static func run(printsJSON: Bool, _ sinks: CommandSinks = .standard) throws {
    let began = monotonicSeconds()
    let output = sinks.output
    output.line("\(output.styled("program", .bold))     \(ProgramIdentity.name)")
    let processor = Processor.current
    let checks: [() -> Finding] = [
      { ProcessorCheck.finding(processor, .current, load: ProcessorCheck.currentLoad) },
      { ProductCheck.run(processor) }, { MemoryCheck.run() }, { RankCheck.run() }, { StorageCheck.run() },
      { PackageCheck.run() }, { CacheCheck.run() }, { SelfTest.run() },
    ]
    var findings: [Finding] = []
    for check in checks {
      let finding = check()
      show(finding, output)
      findings.append(finding)
    }
    let (notes, problems) = (findings.flatMap(\.notes), findings.flatMap(\.problems))
    output.line()
    for note in notes { output.line("\(output.styled("note", .yellow))     \(oneLine(note))") }
    for problem in problems { output.line("\(output.styled("problem", .red))  \(oneLine(problem))") }
    let seconds = monotonicSeconds() - began
    if problems.isEmpty { output.line("everything that is needed works (\(HumanFormat.duration(seconds)))") }
    if printsJSON {
      let libraries = LibraryVersions.all.map { ($0.name, JSONValue.string($0.version)) }
      let report: [String: JSONValue] = [
        "program": .string(ProgramIdentity.name), "libraries": .object(Dictionary(uniqueKeysWithValues: libraries)),
        "findings": .array(findings.map(\.json)), "works": .bool(problems.isEmpty), "seconds": .double(seconds),
      ]
      output.line(JSONValue.object(report).line)
    }
    guard problems.isEmpty else {
      throw BenchError("doctor", found: problems.map(oneLine).joined(separator: "; also "))
    }
  }

  private static func show(_ finding: Finding, _ output: any TextSink) {
    for (index, line) in finding.lines.enumerated() {
      let title = (index == 0 ? finding.topic : "").padding(toLength: 12, withPad: " ", startingAt: 0)
      output.line(output.styled(title, .bold) + oneLine(line))
    }
  }
}
