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
    write(output.styled("program", .bold) + "     ", ProgramIdentity.name, output)
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
    for note in notes { write(output.styled("note", .yellow) + "        ", oneLine(note), output) }
    for problem in problems { write(output.styled("problem", .red) + "     ", oneLine(problem), output) }
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

  /// Columns of the topics.
  private static let indent = 12

  /// A text behind a word of `indent` columns, folded to the terminal.
  private static func write(_ word: String, _ text: String, _ output: any TextSink) {
    let lines = TextTable.folded(text, to: output.width.map { max($0 - indent, 20) } ?? .max, cuts: false)
    output.line(word + lines.joined(separator: "\n" + String(repeating: " ", count: indent)))
  }

  private static func show(_ finding: Finding, _ output: any TextSink) {
    for (index, line) in finding.lines.enumerated() {
      let title = (index == 0 ? finding.topic : "").padding(toLength: indent, withPad: " ", startingAt: 0)
      write(output.styled(title, .bold), oneLine(line), output)
    }
  }
}
