import Foundation
import TestSupport
import Testing

/// Ranks over a rate-limited link, where the machine permits network namespaces.
@Suite struct NetlabTests {
  @Test func limitsTheLinkAndCleansUp() throws {
    let netlab = ProgramRunner.package + "/scripts/netlab"
    func run(_ arguments: [String]) throws -> ProgramRunner.Result {
      try ProgramRunner.run(["60", netlab] + arguments, program: "/usr/bin/timeout")
    }
    let result = try run([
      "--rate", "80mbit", "-n", "2", ProgramRunner.program, "bench", "exchange", "--largest", "262144",
      "--repetitions", "3", "--json",
    ])
    guard result.status != 77 else {
      print(result.errors)
      return
    }
    #expect(result.status == 0, "\(result.errors)")
    let line = result.output.split(separator: "\n").last.map(String.init) ?? ""
    let rows = try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [[String: Any]] ?? []
    let last = try #require(rows.last)
    let (bytes, seconds) = (last["bytes"] as? Double ?? 0, last["seconds"] as? Double ?? 0)
    // Two ranks share 10 MB/s; a shared-memory path would be a hundred times faster.
    #expect(bytes == 262_144 && bytes / seconds < 8e6, "\(bytes) bytes in \(seconds) s")
    let failed = try run(["-n", "2", "/bin/false"])
    #expect(failed.status != 0 && failed.status != 77)
    let spaces = try ProgramRunner.run(["ip", "netns", "list"], program: "/usr/bin/env").output
    #expect(!spaces.contains("mmoe-netlab"))
  }
}
