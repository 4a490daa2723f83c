import Foundation
import TestSupport
import Testing

@testable import MMoEParallel

/// The model of a link that `mmoe bench overlap --link` holds rows back by.
@Suite struct LinkModelTests {
  @Test func ratesAndLatencies() throws {
    #expect(try LinkModel(rate: "100mbit") == LinkModel(bytesPerSecond: 12.5e6))
    #expect(try LinkModel(rate: "2.5gbit", latency: "50us") == LinkModel(bytesPerSecond: 312.5e6, latency: 50e-6))
    #expect(try LinkModel(rate: "1000kbit", latency: "1.5ms") == LinkModel(bytesPerSecond: 125e3, latency: 1.5e-3))
    for rate in [
      "", "fast", "mbit", "-5mbit", "1e3mbit", "1.2.3gbit", "0mbit", "0.5mbit", "2000gbit", "100 mbit", "100",
    ] {
      let error = #expect(throws: ParallelError.self) { try LinkModel(rate: rate) }
      #expect(error?.description.hasPrefix("--link: \(rate), expected bits per second") == true, "\(error!)")
    }
    for latency in ["", "1s", "ms", "-1ms", "2000ms", "x"] {
      let error = #expect(throws: ParallelError.self) { try LinkModel(rate: "1gbit", latency: latency) }
      #expect(error?.description.hasPrefix("--latency: \(latency), expected up to 1000ms") == true, "\(error!)")
    }
  }

  /// 1 MB/s and 10 ms: one message after the other, however late the rank looks, and none for free after a rest.
  @Test func messagesLeaveWhenTheLinkHasSentThem() {
    final class Clock { var now = 100.0 }
    let clock = Clock()
    let pacer = LinkPacer(LinkModel(bytesPerSecond: 1e6, latency: 0.01)) { clock.now }
    var sent: [String] = []
    func look(at time: Double) -> [String] {
      clock.now = time
      sent = []
      pacer.release()
      return sent
    }
    // On the link until 100.1, 100.3 and 100.35; there 10 ms later.
    for (name, bytes) in [("a", 100_000), ("b", 200_000), ("c", 50_000)] {
      pacer.hold(bytes: bytes) { sent.append(name) }
    }
    #expect(look(at: 100.109) == [])
    #expect(look(at: 100.111) == ["a"])
    #expect(look(at: 100.309) == [])
    // What is given meanwhile waits for what is there: d until 100.45.
    pacer.hold(bytes: 100_000) { sent.append("d") }
    #expect(look(at: 100.361) == ["b", "c"])
    #expect(look(at: 100.459) == [])
    #expect(look(at: 100.461) == ["d"])
    // A link that has rested has saved nothing.
    clock.now = 200
    pacer.hold(bytes: 500_000) { sent.append("e") }
    #expect(look(at: 200.509) == [])
    #expect(look(at: 300) == ["e"])
    #expect(look(at: 400) == [])
  }

  /// What a message does when it is sent may give another one.
  @Test func sendingMayHoldMore() {
    let pacer = LinkPacer(LinkModel(bytesPerSecond: 1e6)) { 0 }
    var sent: [Int] = []
    pacer.hold(bytes: 0) {
      sent.append(1)
      pacer.hold(bytes: 0) { sent.append(2) }
      pacer.release()
    }
    pacer.release()
    #expect(sent == [1, 2])
  }
}

/// `--link` of the benchmarks.
@Suite(.serialized) struct LinkCommandTests {
  @Test(arguments: [
    (["--link", "fast"], "--link: fast, expected bits per second"),
    (["--link", "1gbit", "--latency", "1h"], "--latency: 1h, expected up to 1000ms"),
    (["--latency", "1ms"], "--latency is only used with --link"),
  ]) func usage(arguments: [String], message: String) throws {
    let result = try ProgramRunner.run(["bench", "overlap"] + arguments)
    #expect(result.status == 64 && result.errors.contains(message), "\(result.errors)")
  }

  /// Two ranks by default; nothing passes faster than the rate lets it.
  @Test(.needsRanks) func heldBack() throws {
    let result = try ProgramRunner.run([
      "bench", "exchange", "--link", "80mbit", "--largest", "65536", "--repetitions", "1", "--json",
    ])
    #expect(result.status == 0 && result.output.contains("a MODEL of a link"), "\(result.errors)")
    let line = result.output.split(separator: "\n").last.map(String.init) ?? ""
    let rows = try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [[String: Any]])
    for row in rows {
      let (bytes, seconds) = (row["bytes"] as? Double ?? 0, row["seconds"] as? Double ?? 0)
      #expect(bytes > 0 && bytes / seconds < 10e6, "\(bytes) bytes in \(seconds) s")
    }
  }

  @Test(.needsRanks) func overlapWithPicture() throws {
    let folder = ScratchFolder()
    let result = try ProgramRunner.run([
      "bench", "overlap", "--link", "1gbit", "--latency", "50us", "--width", "64", "--tokens", "32", "--rounds", "1",
      "--only", "top-2 sequential,ScMoE Pos-2", "--plot", folder("pair.png"), "--json",
    ])
    #expect(result.status == 0, "\(result.errors)")
    #expect(result.output.contains("a MODEL of a link, not a network: 1000 Mbit/s"), "\(result.output)")
    #expect(result.output.contains("over this link ScMoE takes"), "\(result.output)")
    #expect(result.output.contains("\"latency\":5e-05"), "\(result.output)")
    #expect(try Data(contentsOf: URL(fileURLWithPath: folder("pair.png"))).count > 1000)
  }
}
