import Foundation
import MMoEFiles
import TestSupport
import Testing

@testable import MMoEData
@testable import MMoEReport
@testable import MMoERuns

/// `mmoe data fetch`, in this process, from a server of the test's own.
@Suite struct FetchTests {
  let scratch = ScratchFolder()
  let output = TextBuffer()

  private func fetch(_ change: (inout FetchSession.Options) -> Void = { _ in }) throws {
    var options = FetchSession.Options()
    change(&options)
    try FetchSession(options, CommandSinks(output: output, errors: TextBuffer())).run()
  }

  @Test func listsTheSetsAndWhatNoTestHasFetched() throws {
    try fetch()
    let lines = output.text.split(separator: "\n").map(String.init)
    for set in PublicSet.shipped {
      let place = try #require(lines.firstIndex { $0.hasPrefix(set.name + " ") && $0.hasSuffix(set.summary) })
      #expect(lines[place + 1].contains(HumanFormat.bytes(set.bytes)) && lines[place + 1].hasSuffix(set.license))
      #expect(lines[place + 2].hasSuffix("\(set.files[0].address) (no test has fetched it)"))
    }
  }

  @Test(.enabled(if: SearchPath.find("curl") != nil, "curl is not installed"))
  func fetchesTheFilesOfASet() throws {
    let texts = ["one", "and the other"].map { Array($0.utf8) }
    let server = LocalServer { request, number in
      // The second one is cut the first time.
      .file(request.path.hasSuffix("/1.txt") ? texts[0] : texts[1], request, sent: number == 1 ? 4 : nil)
    }
    let digits = [
      "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed",
      "28d3e956ba3325645d7c20b0b504f6327bf490f7d677cd9d32b1aee1507d0000",
    ]
    let files = zip(1..., texts).map { number, text in
      PublicSet.File(
        "\(number).txt", server.address("own/\(number).txt"), bytes: text.count, .sha256(digits[number - 1]))
    }
    let set = PublicSet(
      "two-texts", "two texts", license: "none", source: "this/test", files: files, next: ["cat FOLDER/1.txt"],
      isTested: true)
    try PublicSet.registry.register(set.name, set)
    let out = scratch("a b/ö")
    func said() -> String {
      do { try fetch { ($0.name, $0.out) = (set.name, out) } } catch { return "\(error)" }
      return "done"
    }
    #expect(said().contains("own/2.txt: cut after 4 of 13 bytes"))
    #expect(said().hasPrefix("\(out)/2.txt.part: the SHA-256 is "))
    #expect(server.requests.map(\.path) == ["/own/1.txt", "/own/2.txt", "/own/2.txt"] && server.requests[2].start == 4)
    #expect(output.text.contains("\(out)/1.txt: 3 B, its SHA-256 is right, in "))
    #expect(output.text.contains("\(out)/1.txt: there already, 3 B, its SHA-256 is right"))
    #expect(!output.text.contains("no test has fetched") && output.text.contains("checked by  SHA-256 of this/test"))
    // From a mirror, with what is wrong in the entry put right.
    let good = PublicSet(
      "one-text", "a text", license: "none", source: "this/test", files: [files[0]], next: ["cat FOLDER/1.txt"])
    try PublicSet.registry.register(good.name, good)
    try fetch { ($0.name, $0.out, $0.address) = (good.name, out + "2", server.address("mirror/")) }
    #expect(server.requests.last?.path == "/mirror/1.txt")
    #expect(output.text.hasSuffix("next        cat '\(out)2'/1.txt\n"))
    #expect(try String(contentsOfFile: out + "2/1.txt", encoding: .utf8) == "one")
  }

  @Test func refusals() throws {
    func said(_ change: (inout FetchSession.Options) -> Void) -> String {
      do { try fetch(change) } catch { return "\(error)" }
      return "done"
    }
    #expect(said { $0.name = "cifar" }.hasPrefix("cifar: no such public set; valid are cifar-10, cifar-100, "))
    try Data().write(to: URL(fileURLWithPath: scratch("file")))
    #expect(said { ($0.name, $0.out) = ("mnist", scratch("file/x")) }.contains("cannot be created"))
    #expect(
      said { ($0.name, $0.out, $0.program) = ("mnist", scratch("x"), "no-such-curl") }.contains("no such program"))
    #expect(output.text.contains("note: no test has fetched these addresses"))
    #expect(!FileManager.default.fileExists(atPath: scratch("x")))
  }
}
