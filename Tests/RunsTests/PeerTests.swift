import Foundation
import TestSupport
import Testing
import TinyRuns

@testable import MMoEConfig
@testable import MMoEReport
@testable import MMoERuns
@testable import MMoETrain

/// What the programs of others make of a run's files.
@Suite(.enabled(if: Peers.arePresent, Comment(rawValue: Peers.reason))) struct PeerTests {
  /// A run of eight steps that went on after its fourth one.
  private static let resumed: (scratch: ScratchFolder, folder: String) = {
    let scratch = ScratchFolder()
    let folder = scratch("run")
    let run = try! TinyRun(TinyRun.everything)
    try! run.train(into: folder)
    try! RunConfig.table.yaml(run.config).write(toFile: folder + "/config.yaml", atomically: false, encoding: .utf8)
    try! run.train(into: folder, resuming: folder + "/step-0000004.h5")
    return (scratch, folder)
  }()

  private struct Shown: Decodable {
    let runs: [String]
    let scalars: [String: [[Double]]]
    let images: [String: [Image]]
    let texts: [String: [Text]]
    let histograms: [String: [Bars]]

    struct Image: Decodable {
      let step: Int
      let size: [Int]
      init(from decoder: any Decoder) throws {
        var list = try decoder.unkeyedContainer()
        (step, size) = (try list.decode(Int.self), try list.decode([Int].self))
      }
    }
    struct Text: Decodable {
      let step: Int
      let text: String
      init(from decoder: any Decoder) throws {
        var list = try decoder.unkeyedContainer()
        (step, text) = (try list.decode(Int.self), try list.decode(String.self))
      }
    }
    struct Bars: Decodable {
      let step: Int
      let widths, heights: [Double]
      init(from decoder: any Decoder) throws {
        var list = try decoder.unkeyedContainer()
        step = try list.decode(Int.self)
        (widths, heights) = (try list.decode([Double].self), try list.decode([Double].self))
      }
    }
  }

  /// - Parameter fast: TensorBoard's reader in Rust, as users get it, or the one in Python.
  @Test(arguments: ["true", "false"]) func tensorBoardShowsAResumedRun(fast: String) throws {
    let folder = PeerTests.resumed.folder
    let shown = try JSONDecoder().decode(Shown.self, from: Peers.run("tensorboard_shows.py", [folder, fast]))
    let history = try MetricsHistory(file: folder + "/metrics.jsonl")
    #expect(shown.runs == ["."])
    for (name, layer) in history.names {
      let key = MetricsLine.key(name, layer: layer)
      let expected = history.points(name, layer: layer).filter(\.value.isFinite)
      let points = try #require(shown.scalars[EventSummary.tag(key)])
      #expect(points.map { Int($0[0]) } == expected.map(\.step), "\(key)")
      #expect(points.map { Float($0[1]) } == expected.map { Float($0.value) }, "\(key)")
    }
    #expect(shown.scalars.count == history.names.count)
    let layer = try #require(history.layers(MetricName.expertShare).first)
    let bars = try #require(shown.histograms["\(MetricName.expertShare)/layer\(layer)"])
    #expect(bars.map(\.step) == [4, 8])
    let last = try #require(history.vectors(MetricName.expertShare, layer: layer).last)
    #expect(bars.last?.heights == last.values && bars.last?.widths.allSatisfy { $0 == 1 } == true)
    #expect(shown.images["validation"]?.map(\.step) == [4, 8])
    let picture = try #require(shown.images["validation"]?.first)
    #expect(picture.size[0] > 100 && picture.size[1] > 100)
    #expect(shown.texts["settings"]?.contains { $0.text.contains("stochastic_depth") } == true)
  }

  @Test func aBrowserDrawsTheReport() throws {
    let folder = PeerTests.resumed.folder
    let page = try RunPage(folder).write()
    let options = ["--headless", "--no-sandbox", "--disable-gpu", "--window-size=1200,1600"]
    let dom = try String(
      decoding: Peers.output(of: "chromium", options + ["--dump-dom", "file://\(page)"]), as: UTF8.self)
    #expect(dom.contains("<h2>Curves</h2>") && dom.contains("<h2>Settings</h2>"))
    let picture = PeerTests.resumed.scratch("page.png")
    _ = try Peers.output(of: "chromium", options + ["--screenshot=\(picture)", "file://\(page)"])
    // A blank page of this size is far smaller.
    #expect(try Data(contentsOf: URL(fileURLWithPath: picture)).count > 40_000)
  }
}
