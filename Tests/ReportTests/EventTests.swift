import Foundation
import TestSupport
import Testing

@testable import MMoEFiles
@testable import MMoEReport

/// Event files for TensorBoard.
@Suite struct EventTests {
  let scratch = ScratchFolder()

  /// The files of events in a folder, in the order in which TensorBoard reads them.
  private func eventFiles(_ folder: String) throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: folder).filter { $0.hasPrefix(EventFile.namePrefix) }.sorted()
      .map { FilePath.join(folder, $0) }
  }

  /// The records of a file; their checksums are held by `sameBytesAsTensorBoard`.
  private func records(_ file: String) throws -> [[UInt8]] {
    var rest = [UInt8](try Data(contentsOf: URL(fileURLWithPath: file)))[...]
    var records: [[UInt8]] = []
    while !rest.isEmpty {
      let length = rest.prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) }
      records.append(Array(rest.dropFirst(12).prefix(length)))
      rest = rest.dropFirst(12 + length + 4)
    }
    return records
  }

  @Test func checksumIsCastagnolis() {
    // The check value of CRC-32C, and those of RFC 3720, appendix B.4.
    #expect(RecordFraming.checksum(Array("123456789".utf8)) == 0xE306_9283)
    #expect(RecordFraming.checksum([UInt8](repeating: 0, count: 32)) == 0x8A91_36AA)
    #expect(RecordFraming.checksum([UInt8](repeating: 0xFF, count: 32)) == 0x62A8_AB43)
  }

  /// `Fixtures/events.bin` was written by TensorBoard's own classes (`Tests/Peers/make_events.py`).
  @Test func sameBytesAsTensorBoard() throws {
    var time = 1.7e9 - 1.5
    // The first look at the clock is for the name.
    let file = try EventFile(directory: scratch.path, forgettingFrom: 3) {
      time += 1
      return time
    }
    let written = try #require(try eventFiles(scratch.path).first)
    let line = MetricsLine(
      step: 3,
      values: [
        ("train_loss", .scalar(2.5)), ("val_top1", .scalar(0)), ("grad_norm", .scalar(.nan)), ("lr", .scalar(-1e-7)),
        ("expert_share/layer1", .vector([0.25, 0.5, 0, 0.25])),
      ])
    try file.append(EventSummary(line, histograms: true), step: 3)
    var picture = EventSummary()
    picture.add("validation", png: (0..<200).map { UInt8($0) }, width: 300, height: 2)
    try file.append(picture, step: 3)
    var text = EventSummary()
    text.add("sample", text: "ein Stück\ntext")
    try file.append(text, step: 1 << 40)
    let expected = try Data(
      contentsOf: URL(fileURLWithPath: #filePath).deletingLastPathComponent().appending(path: "Fixtures/events.bin"))
    #expect(try Data(contentsOf: URL(fileURLWithPath: written)) == expected)
  }

  @Test func resumedRunsForgetWhatRunsAgain() throws {
    let folder = scratch.path
    let first = try Recorder(directory: folder)
    for step in 1...4 {
      first.record("train_loss", Double(step))
      try first.flush(step: step)
    }
    let second = try Recorder(directory: folder, resumingAfter: 2)
    second.record("train_loss", 9)
    try second.flush(step: 3)
    let files = try eventFiles(folder)
    #expect(files.count == 2)
    #expect(try records(files[0]).count == 2 + 4)
    let again = try records(files[1])
    // Version, the beginning of a session at step 3, the step.
    #expect(again.count == 3)
    #expect(again[1].suffix(6) == [0x10, 3, 0x3A, 2, 0x08, 1])
    Recorder.removeAll(from: folder)
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder).isEmpty)
  }

  @Test func histogramsAreRarerThanScalars() throws {
    let recorder = try Recorder(directory: scratch.path)
    for step in [1, 50, 51, 60] {
      recorder.record("expert_share", [0.5, 0.5], layer: 1)
      if step == 60 { recorder.record(MetricName.validationLoss, 1) }
      try recorder.flush(step: step)
    }
    let texts = try records(eventFiles(scratch.path)[0]).map { String(decoding: $0, as: UTF8.self) }
    // Steps without a scalar have no event at all.
    #expect(texts.count { $0.contains("expert_share/layer1") } == 2)
  }
}
