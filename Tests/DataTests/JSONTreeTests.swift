import Testing

@testable import MMoEData

/// JSON of others, with nothing lost: equal names, exact numbers, the bytes of names.
@Suite struct JSONTreeTests {
  @Test func values() throws {
    let tree = try JSONTree(
      [UInt8](
        #" {"a": [1, -0.5, 2e3, true, null, ""], "\u00e9\ud83d\ude42\n\/": 9007199254740993, "e\u0301": {}} "#.utf8),
      file: "f")
    guard case .object(let fields) = tree else {
      Issue.record("\(tree)")
      return
    }
    #expect(fields[0].value == .list([.whole(1), .real(-0.5), .real(2000), .flag(true), .null, .text("")]))
    #expect(fields[1].name == "é🙂\n/" && fields[1].value == .whole(9_007_199_254_740_993))
    #expect(Array(fields[2].name.utf8) == [0x65, 0xCC, 0x81] && fields[2].value == .object([]))
  }

  @Test(arguments: [
    ("", "line 1, byte 0: expected a value"), ("{\"a\": 1,\n \"a\": 2}", "line 2, byte 13: expected the name 'a' once"),
    ("[1", "expected ',' or ']'"), ("[1] 2", "expected nothing after the value"), ("{a: 1}", "a name in double quotes"),
    ("[01]", "without zeros"), ("[1.]", "expected a value"), ("[1e999]", "a number that a Double holds"),
    ("[NaN]", "a value"),
    ("\"\\x\"", "one of the escapes"), ("\"\\ud800\"", "a pair of surrogates"), ("\"a", "expected '\"'"),
    ("\"\n\"", "expected '\"'"),
    ("[tru]", "expected a value"), (String(repeating: "[", count: 100_000), "at most 64 levels"),
    ("\"\\u00g0\"", "hexadecimal"),
  ]) func refused(text: String, words: String) {
    let found = message { _ = try JSONTree([UInt8](text.utf8), file: "f.json") }
    #expect(
      found?.hasPrefix("f.json: no valid JSON") == true && found?.contains(words) == true, "\(found ?? "nothing")")
  }

  @Test func badBytes() {
    #expect(message { _ = try JSONTree([0x22, 0xFF, 0x22], file: "f") } == "f: no valid UTF-8; expected JSON")
  }
}
