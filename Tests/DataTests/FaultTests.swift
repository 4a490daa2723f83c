import MMoEFiles
import Testing

@testable import MMoEData

/// What is wrong, in parts and as one line.
@Suite struct FaultTests {
  @Test func partsMakeTheLine() {
    func line(_ fault: Fault) -> String { fault.description }
    #expect(
      line(Fault("a.h5", field: "step", found: "-1", expected: "0 to 9", remedy: "copy it again"))
        == "a.h5: step is -1, expected 0 to 9; copy it again")
    #expect(
      line(Fault(field: "moe.position", found: "4", remedy: "use 1, 2 or 3")) == "moe.position is 4; use 1, 2 or 3")
    #expect(line(Fault("a.png", found: "a folder", expected: "a file")) == "a.png: a folder, expected a file")
    #expect(
      line(Fault("a.yaml:3", field: "moe.experts", expected: "an integer", found: "3.0", remedy: "write 3"))
        == "a.yaml:3: moe.experts: expected an integer, found 3.0; write 3")
    #expect(line(Fault("a.txt", expected: "UTF-8", found: "other bytes")) == "a.txt: expected UTF-8, found other bytes")
    #expect(line(Fault("nothing to learn")) == "nothing to learn")
    // Names are a stranger's.
    #expect(line(Fault("a\nb", field: "c\r", found: "\u{1B}[31m")) == "a\\nb: c\\r is \\u{1B}[31m")
  }

  /// A reader's error says its parts, and an error of plain text has its line alone.
  @Test func errorsKeepTheirParts() throws {
    let folder = try TemporaryFolder()
    let path = try folder.write("a.jsonl", Array("{\"caption\": 1}\n".utf8))
    let error = #expect(throws: DataError.self) { _ = try readFile(path, limit: 1) }
    #expect(error?.fault.file == path && error?.description == "\(path): \(error?.fault.message ?? "")")
    #expect(DataError("a line").fault == Fault("a line") && DataError("a line").fault.file == nil)
    let failure = FileFailure("out.h5", found: "a folder", expected: "a file", remedy: "name one in it")
    #expect(failure.path == "out.h5" && failure.fault.expected == "a file" && failure.fault.remedy == "name one in it")
  }
}
