import Foundation
import Testing

@testable import MMoEReport

/// Runs the body with an empty folder, which is removed afterwards.
private func withFolder(_ body: (String) throws -> Void) throws {
  let folder = FileManager.default.temporaryDirectory.appendingPathComponent(
    "run-\(UUID().uuidString)")
  try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
  defer { try? FileManager.default.removeItem(at: folder) }
  try body(folder.path)
}

private func text(_ path: String) throws -> String {
  try String(contentsOfFile: path, encoding: .utf8)
}

@Suite struct RecorderTests {
  @Test func writesLinesAndColumns() throws {
    try withFolder { folder in
      let recorder = try Recorder(directory: folder)
      recorder.record("train_loss", 2)
      recorder.record("train_loss", 3)
      recorder.record("entropy", 0.5, layer: 3)
      recorder.record("share", [0.25, 0.75], layer: 3)
      #expect(recorder.current("train_loss") == 2.5)
      try recorder.flush(step: 1)
      recorder.record("entropy", 0.25, layer: 3)
      recorder.record("train_loss", .infinity)
      try recorder.flush(step: 2)
      recorder.record("val_loss", 1e-7)
      recorder.record("train_loss", 1)
      recorder.record("share", [.nan, 1], layer: 3)
      try recorder.flush(step: 4)
      #expect(
        try text("\(folder)/metrics.jsonl") == """
          {"step":1,"train_loss":2.5,"entropy/layer3":0.5,"share/layer3":[0.25,0.75]}
          {"step":2,"train_loss":null,"entropy/layer3":0.25,"nonfinite":{"train_loss":"inf"}}
          {"step":4,"train_loss":1,"share/layer3":[null,1],"val_loss":1e-07,"nonfinite":{"share/layer3[0]":"nan"}}

          """)
      #expect(
        try MetricsHistory(file: "\(folder)/metrics.jsonl").csv() == """
          step,train_loss,entropy/layer3,val_loss,share/layer3.0,share/layer3.1
          1,2.5,0.5,,0.25,0.75
          2,inf,0.25,,,
          4,1,,1e-07,nan,1

          """)
      let history = try recorder.history()
      #expect(history.steps == [1, 2, 4])
      #expect(history.points("train_loss").map(\.value) == [2.5, .infinity, 1])
      #expect(history.points("entropy", layer: 3).map(\.step) == [1, 2])
      #expect(history.vectors("share", layer: 3)[1].values[1] == 1)
      #expect(history.layers("share") == [3] && history.points("nothing").isEmpty)
      for line in try text("\(folder)/metrics.jsonl").split(separator: "\n") {
        #expect(throws: Never.self) { try JSONSerialization.jsonObject(with: Data(line.utf8)) }
      }
    }
  }

  @Test func resumeDropsLaterStepsAndATornLine() throws {
    try withFolder { folder in
      let path = "\(folder)/metrics.jsonl"
      let first = try Recorder(directory: folder)
      for step in 1...5 {
        first.record("loss", Double(step))
        try first.flush(step: step)
      }
      let whole = try text(path)
      try Data((whole + "{\"step\":6,\"lo").utf8).write(to: URL(fileURLWithPath: path))
      #expect(try MetricsHistory(file: path).steps == [1, 2, 3, 4, 5])

      let second = try Recorder(directory: folder, resumingAfter: 3)
      #expect(try second.history().steps == [1, 2, 3])
      for step in 4...5 {
        second.record("loss", Double(step))
        try second.flush(step: step)
      }
      #expect(try text(path) == whole)

      let fresh = try Recorder(directory: folder, resumingAfter: 0)
      #expect(try fresh.history().steps.isEmpty)
    }
  }

  @Test func orderOfKeysSurvivesResume() throws {
    try withFolder { folder in
      let first = try Recorder(directory: folder)
      first.record("z", 1)
      first.record("a", 1)
      try first.flush(step: 1)
      let second = try Recorder(directory: folder, resumingAfter: 1)
      second.record("a", 2)
      second.record("z", 2)
      try second.flush(step: 2)
      #expect(try text("\(folder)/metrics.jsonl").hasSuffix("{\"step\":2,\"z\":2,\"a\":2}\n"))
    }
  }

  @Test func errorsNameTheFile() throws {
    let missing = #expect(throws: ReportError.self) { try Recorder(directory: "/nowhere/run") }
    #expect(
      missing?.description.hasPrefix(
        "/nowhere/run/metrics.jsonl: cannot be opened for writing (No such file") == true)
    try withFolder { folder in
      let recorder = try Recorder(directory: folder)
      recorder.record("a", 1)
      try recorder.flush(step: 3)
      #expect(throws: ReportError.self) { try recorder.flush(step: 3) }
      let again = #expect(throws: ReportError.self) { try Recorder(directory: folder) }
      #expect(again?.description.contains("found the metrics of an earlier run") == true)
    }
  }

  /// Lines that are no step's are left out of a resumed run's metrics, and stay in a file beside them.
  @Test func aBadLineIsLeftOut() throws {
    try withFolder { folder in
      let path = "\(folder)/metrics.jsonl"
      let bad = "{\"step\":1}\nrubbish\n{\"step\":2}\n{\"step\":2}\n{\"step\":3}\n"
      try Data(bad.utf8).write(to: URL(fileURLWithPath: path))
      let recorder = try Recorder(directory: folder, resumingAfter: 2)
      #expect(recorder.note?.hasPrefix("\(path): 2 lines are no step's metrics") == true)
      try recorder.flush(step: 3)
      #expect(try text(path) == "{\"step\":1}\n{\"step\":2}\n{\"step\":3}\n")
      #expect(try text(path + ".damaged") == bad)
      #expect(try MetricsHistory(file: path + ".damaged").steps == [1, 2, 3])
    }
  }

  @Test func aFullDiskLeavesWholeLines() throws {
    // Writing to /dev/full fails as on a full disk.
    let file = try AppendFile("/dev/full")
    let full = #expect(throws: ReportError.self) { try file.append([0x78]) }
    #expect(
      full?.description
        == "/dev/full: cannot be written (No space left on device); free space and resume")
  }

  @Test(arguments: [
    "", "{", "{}", "{\"step\":1", "{\"step\":1.5}", "{\"step\":1,\"a\":}", "{\"step\":1,\"a\":[1}",
    "{\"a\":1}", "{\"step\":1}x", "{\"step\":1,\"a\\u00", "{\"step\":1,\"x\":{\"a\":1}}",
  ])
  func otherTextIsNoLine(line: String) {
    #expect(MetricsLineParser.parse(Array(line.utf8)[...]) == nil)
  }

  @Test func oddNamesAndNumbersComeBack() {
    let line = MetricsLine(
      step: 7,
      values: [
        ("a\"b\\c\n\u{1}é", .scalar(-0.0)), ("x", .vector([])),
        ("y", .vector([.infinity, .leastNonzeroMagnitude, 0.1 + 0.2])),
        ("z", .scalar(-.infinity)), ("big", .scalar(1e300)),
      ])
    let bytes = Array(line.json.utf8).dropLast()
    #expect(MetricsLineParser.parse(bytes) == line)
    #expect(line.json.contains(":-0.0,"))
  }
}

@Suite struct ConsoleTests {
  @Test func tablesAlignAndWrap() {
    var table = TextTable(columns: [.left("name"), .right("count"), .left("meaning")])
    table.add(["a", "1,000", "short"])
    table.add(["longer", "2", "some words that need more room than there is"])
    #expect(
      table.render(for: TextBuffer(width: 40)) == """
        name    count  meaning
        ──────  ─────  ─────────────────────────
        a       1,000  short
        longer      2  some words that need more
                       room than there is

        """)
    #expect(TextTable(columns: []).render() == "")
  }

  /// Tables fit terminals of any width, lose no word and no number, and are as they are where there is no terminal.
  @Test(arguments: [200, 80, 60, 40, 20]) func tablesFitTheTerminal(width: Int) {
    var table = TextTable(columns: [.left("name"), .left("purpose"), .right("steps"), .left("data"), .left("what for")])
    let rows = [
      [
        "imagenet-subset", "a run of some steps that learns shapes", "2,625", "shapes, 10 classes of 1,200",
        "to look at",
      ],
      ["lm", "short", "1", "–", "words after words after words, and then some more of them"],
    ]
    for row in rows { table.add(row) }
    let text = table.render(for: TextBuffer(width: width))
    let words = { (text: String) in Set(text.split(whereSeparator: \.isWhitespace)) }
    #expect(rows.joined().allSatisfy { words($0).isSubset(of: words(text)) }, "\(text)")
    // In the narrowest one the titles take half.
    #expect(text.split(separator: "\n").allSatisfy { $0.count <= max(width, 25) }, "\(text)")
    #expect((text == table.render()) == (width == 200))
    #expect(text.hasPrefix("name  ") && text.contains("─") == (width >= 60))
  }

  @Test func foldsBetweenWords() {
    #expect(TextTable.folded("a bc def", to: 4) == ["a bc", "def"] && TextTable.folded("", to: 4) == [""])
    #expect(TextTable.folded("abcdefgh ij", to: 5) == ["abcd…", "ij"] && TextTable.folded("abc", to: 3) == ["abc"])
  }

  @Test func numbersForPeople() {
    #expect(
      [0, 950, 1200, 34_500_000, 999_960].map { HumanFormat.count($0) } == [
        "0", "950", "1.2 k", "34.5 M", "1.0 M",
      ])
    #expect(HumanFormat.count(.nan) == "nan" && HumanFormat.count(-1500.0) == "-1.5 k")
    #expect(HumanFormat.bytes(512) == "512 B" && HumanFormat.bytes(3_400_000_000) == "3.4 GB")
    #expect(
      [0.42, 9.34, 59.4, 59.6, 83, 7500, 273_600, -1, .infinity, 1e300].map(HumanFormat.duration)
        == ["0.42s", "9.3s", "59s", "1m00s", "1m23s", "2h05m", "3d04h", "–", "–", "–"])
    #expect(
      HumanFormat.percent(0.913) == "91.3 %" && HumanFormat.grouped(-1_234_567) == "-1,234,567")
    #expect(
      HumanFormat.grouped(.min) == "-9,223,372,036,854,775,808" && HumanFormat.grouped(999) == "999"
    )
  }

  @Test func stylesOnlyWhereShown() {
    #expect(TextBuffer().styled("x", .red) == "x")
    #expect(TextBuffer(showsColor: true).styled("x", .red) == "\u{1B}[31mx\u{1B}[0m")
  }
}

private final class Clock {
  var time = 0.0
}

@Suite struct ProgressTests {
  @Test func plainLinesAtIntervals() {
    let (sink, clock) = (TextBuffer(), Clock())
    let progress = ProgressLine("train", total: 100, sink: sink, memory: { 1234 }, now: { clock.time })
    for step in 1...100 {
      clock.time += 0.5
      progress.update(step: step, items: 64, [("loss", "1.5")])
      if step == 30 { progress.note("saved") }
    }
    progress.finish()
    let lines = sink.text.split(separator: "\n")
    #expect(lines.first == "train  1/100  128 images/s  ETA 50s  loss 1.5  peak 1.2 GB")
    #expect(lines[2] == "saved")
    #expect(lines.last == "train  100/100  128 images/s  in 50s  loss 1.5  peak 1.2 GB")
    #expect(lines.count == 7 && !sink.text.contains("\r") && !sink.text.contains("\u{1B}"))
  }

  @Test func terminalRedrawsOneLineThatFits() {
    for width in [1, 10, 24, 40, 60, 80, 200] {
      let (sink, clock) = (TextBuffer(isTerminal: true, width: width), Clock())
      let progress = ProgressLine(
        "train", total: 2000, start: 1000, sink: sink, memory: { 1234 }, now: { clock.time })
      for step in 1001...1100 {
        clock.time += 0.01
        progress.update(step: step, items: 64, [("loss", "0.4321"), ("top-1", "91.2 %")])
      }
      progress.note("note")
      progress.finish()
      let drawings = sink.text.replacingOccurrences(of: "\u{1B}[K", with: "")
        .split(whereSeparator: { $0 == "\r" || $0 == "\n" }).filter { $0 != "note" }
      #expect(drawings.allSatisfy { $0.count < max(width, 2) }, "\(width): \(drawings)")
      #expect((10...13).contains(drawings.count), "at most ten a second")
      #expect(width < 40 || drawings.last?.hasPrefix("train") == true)
      #expect(width < 80 || drawings.last?.contains("━") == true)
      #expect(width < 200 || drawings.last?.contains("peak 1.2 GB") == true)
      #expect(sink.text.hasSuffix("\u{1B}[K\n"))
    }
  }

  /// What passes is heard of only when it takes long, and goes when it is done.
  @Test(arguments: [false, true]) func phasesGo(isTerminal: Bool) {
    let (sink, clock) = (TextBuffer(isTerminal: isTerminal, width: 80), Clock())
    let phase = ProgressLine("evaluating", total: 100, unit: nil, sink: sink, leaves: false, now: { clock.time })
    phase.update(step: 1, items: 1)
    #expect(sink.text.isEmpty)
    clock.time += 11
    phase.update(step: 50, items: 49)
    #expect(sink.text.contains("50/100") && sink.text.contains("ETA") && !sink.text.contains("/s"))
    phase.finish()
    #expect(sink.text.hasSuffix(isTerminal ? "\r\u{1B}[K" : "\n") && !sink.text.contains("100/100"))
  }

  @Test func nothingToShowIsNothingShown() {
    let sink = TextBuffer(isTerminal: true, width: 80)
    let progress = ProgressLine("train", total: 0, sink: sink)
    progress.finish()
    #expect(sink.text.isEmpty)
  }

  @Test func throughputForgetsSlowStarts() {
    var meter = ThroughputMeter(start: 0)
    #expect(meter.perSecond == nil)
    meter.add(items: 10, at: 10)
    #expect(meter.perSecond == 1)
    for step in 1...10 { meter.add(items: 10, at: 10 + Double(step)) }
    #expect(meter.perSecond == 10)
  }
}
