import Foundation
import FoundationXML
import TestSupport
import Testing
import TinyRuns

@testable import MMoEConfig
@testable import MMoEReport
@testable import MMoERuns
@testable import MMoETrain

/// `report.html`.
@Suite struct RunPageTests {
  let scratch = ScratchFolder()

  /// Names and texts of the elements of a page, which is XML, too.
  private final class Reader: NSObject, XMLParserDelegate {
    var elements: [String: Int] = [:]
    var text = ""
    var sources: [String] = []

    func parser(
      _ parser: XMLParser, didStartElement name: String, namespaceURI: String?, qualifiedName: String?,
      attributes: [String: String]
    ) {
      elements[name, default: 0] += 1
      sources += ["src", "href"].compactMap { attributes[$0] }
    }
    func parser(_ parser: XMLParser, foundCharacters string: String) { text += string }
  }

  private func read(_ html: String) -> Reader? {
    let (parser, reader) = (XMLParser(data: Data(html.utf8)), Reader())
    parser.delegate = reader
    return parser.parse() ? reader : nil
  }

  @Test func aRunIsOnePage() throws {
    let folder = scratch("a <b> & \"c\" ü")
    let run = try TinyRun(["train.steps=6", "train.eval_every=2", "checkpoint.every=3"])
    try run.train(into: folder)
    try RunConfig.table.yaml(run.config).write(toFile: folder + "/config.yaml", atomically: false, encoding: .utf8)
    try Data("step 4: <script>alert(1)</script>\n\u{01}".utf8).write(to: URL(fileURLWithPath: folder + "/sample.txt"))
    let file = try RunPage(folder).write()
    let page = try #require(read(String(contentsOfFile: file, encoding: .utf8)))
    #expect(file == folder + "/report.html")
    // Loss, accuracy and the rest of the metrics; a row for each evaluation; nothing from elsewhere.
    #expect(page.elements["svg", default: 0] >= 8 && page.elements["script"] == nil)
    #expect(page.text.contains("a <b> & \"c\" ü") && page.text.contains("<script>alert(1)</script>"))
    #expect(page.text.contains("of 6") && page.text.contains("block 1"))
    #expect(page.sources.count == 1 && page.sources[0].hasPrefix("data:image/png;base64,"))
  }

  /// What a run that was killed early leaves, and files that are damaged.
  @Test func whatIsMissingIsLeftOut() throws {
    let folder = scratch("early")
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    for name in ["config.yaml", "run.json", ".lock"] {
      try Data("{".utf8).write(to: URL(fileURLWithPath: folder + "/" + name))
    }
    let page = try #require(read(RunPage(folder).html))
    #expect(page.elements["svg"] == nil && page.text.contains("early"))
    #expect(throws: RunError.self) { try RunPage(scratch("nothing")) }
  }

  @Test(arguments: [
    ([0.0, 0, 0], ["0"]), ([2, .nan, 3], ["3"]), ([1e-9, 2e-9], ["2e-09"]), ([12_345, 23_456], ["23,456"]),
  ]) func chartsShowAnyNumbers(values: [Double], last: [String]) throws {
    var chart = CurveChart("loss")
    chart.add("training", values.enumerated().map { ($0.offset + 1, $0.element) })
    let page = try #require(read(chart.html))
    #expect(page.elements["path", default: 0] > 1 && last.allSatisfy(page.text.contains))
    var empty = CurveChart("nothing")
    empty.add("training", [(1, .nan)])
    #expect(empty.isEmpty)
  }

  @Test func ticksAreRoundNumbersWithin() {
    #expect(CurveChart.ticks(0, 1) == [0, 0.5, 1])
    #expect(CurveChart.ticks(3, 3).isEmpty && CurveChart.ticks(.nan, 1).isEmpty)
    for (low, high) in [(0.0, 1e-12), (-5, 7), (1e9, 1e9 + 1), (0, 123_456)] {
      let ticks = CurveChart.ticks(low, high)
      #expect((1...21).contains(ticks.count) && ticks.allSatisfy { $0 >= low - 1e-9 && $0 <= high + 1e-9 })
    }
  }
}
