import Foundation
import TestSupport
import Testing

/// `scripts/netlab`, with a time-out.
private enum Netlab {
  static let isPermitted = (try? run(["--hosts", "1", "-n", "1", "true"]).status) != 77

  static func run(_ arguments: [String]) throws -> ProgramRunner.Result {
    let netlab = ProgramRunner.package + "/scripts/netlab"
    return try ProgramRunner.run(["240", netlab] + arguments, program: "/usr/bin/timeout")
  }
}

/// Ranks over a rate-limited link, where the machine permits network namespaces.
@Suite(
  .serialized,
  .enabled(
    if: Netlab.isPermitted, "scripts/netlab cannot limit links here: it needs root, iproute2 and openmpi-bin"))
struct NetlabTests {
  /// Two hosts of two ranks: they differ by name, and an exchange between them brings the right rows.
  @Test func hostsOfTheirOwn() throws {
    let names = try Netlab.run(["--hosts", "2", "-n", "4", "hostname"])
    #expect(names.status == 0, "\(names.errors)")
    #expect(names.output.split(separator: "\n").sorted() == ["mmoe1", "mmoe1", "mmoe2", "mmoe2"])
    let checks = (ProgramRunner.program as NSString).deletingLastPathComponent + "/parallel-checks"
    let exchange = try Netlab.run(["--hosts", "2", "-n", "4", checks, "wire"])
    #expect(exchange.status == 0 && exchange.output.contains("ok wire"), "\(exchange.errors)")
    #expect(try Netlab.run(["--hosts", "2", "-n", "3", "hostname"]).status == 64)
  }

  @Test func limitsTheLinkAndCleansUp() throws {
    let result = try Netlab.run([
      "--rate", "80mbit", "-n", "2", ProgramRunner.program, "bench", "exchange", "--largest", "262144",
      "--repetitions", "3", "--json",
    ])
    #expect(result.status == 0, "\(result.errors)")
    let line = result.output.split(separator: "\n").last.map(String.init) ?? ""
    let rows = try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [[String: Any]] ?? []
    let last = try #require(rows.last)
    let (bytes, seconds) = (last["bytes"] as? Double ?? 0, last["seconds"] as? Double ?? 0)
    // Two ranks share 10 MB/s; a shared-memory path would be a hundred times faster.
    #expect(bytes == 262_144 && bytes / seconds < 8e6, "\(bytes) bytes in \(seconds) s")
    // Other runs have namespaces of their own: what must be gone is the one that the ranks saw themselves in.
    let failed = try Netlab.run(["-n", "2", "sh", "-c", "ip netns identify; exit 1"])
    #expect(failed.status != 0 && failed.status != 77)
    let space = try #require(failed.output.split(separator: "\n").first.map(String.init))
    #expect(space.hasPrefix("mmoe-netlab-"))
    let remaining = try ProgramRunner.run(["ip", "netns", "list"], program: "/usr/bin/env").output
    #expect(!remaining.split(whereSeparator: \.isWhitespace).contains(space[...]))
  }
}
