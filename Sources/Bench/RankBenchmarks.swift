import Foundation
import MMoEFiles
import MMoEParallel
import MMoEReport
import MMoETensor
import MMoETrain

/// Benchmarks that several ranks run together; the first one reports.
package enum RankBenchmarks {
  /// - Parameter link: the model of a link, in place of the one that the ranks have.
  private static func withRanks(
    _ link: LinkModel?, _ body: (Communicator, Engine, any TextSink) throws -> Void
  ) throws {
    let world = try Communicator.world(timeout: 120)
    if let link { world.pace(by: link) }
    do {
      guard world.size > 1 else {
        throw BenchError("one rank has nobody to exchange with; give --ranks 2, or start it with mpirun -n 2")
      }
      let engine = try Engine(threads: 1)
      try body(world, engine, world.rank == 0 ? StandardStream.output : DiscardedText())
    } catch {
      if ParallelProcess.isRunning { ParallelProcess.stop(for: error) }
      throw error
    }
    ParallelProcess.finish()
  }

  /// - Throws: `BenchError` on one rank.
  package static func exchange(largest: Int, repetitions: Int, link: LinkModel?, printsJSON: Bool) throws {
    try withRanks(link) { world, engine, output in
      if let link { output.line(OverlapReport.words(link)) }
      var table = TextTable(columns: [
        .right("bytes a rank"), .right("ms"), .right("MB/s a rank"), .right("CPU ns/byte"), .right("hidden"),
      ])
      var rows: [ExchangeBenchmark.Row] = []
      var bytes = 64
      while bytes <= largest {
        let row = ExchangeBenchmark.measure(
          world, bytes: bytes, repetitions: repetitions, engine: engine)
        rows.append(row)
        table.add([
          HumanFormat.grouped(row.bytes), HumanFormat.fixed(row.seconds * 1e3, 3),
          HumanFormat.fixed(row.bytesPerSecond / 1e6, 1),
          HumanFormat.fixed(row.cpuSecondsPerByte * 1e9, 2), row.hidden.map { HumanFormat.percent($0) } ?? "–",
        ])
        bytes *= 4
      }
      output.write(table.render(for: output))
      if printsJSON { output.line(JSONValue.line(rows)) }
    }
  }

  /// - Parameter plot: a PNG file for a picture of the cases, one under the other; traces are recorded for it.
  /// - Throws: `BenchError` on one rank or when no case is left; `ReportError` when the picture cannot be drawn.
  package static func overlap(
    _ options: OverlapBenchmark.Options, only: String?, link: LinkModel?, plot: String?, printsJSON: Bool
  ) throws {
    try withRanks(link) { world, engine, output in
      let labels = OverlapBenchmark.Case.all.map(\.label)
      let chosen = only?.split(separator: ",").flatMap { word in
        // A whole label is that case alone.
        labels.contains(String(word)) ? [String(word)] : labels.filter { $0.contains(word) }
      }
      let cases = OverlapBenchmark.Case.all.filter { chosen?.contains($0.label) ?? true }
      guard !cases.isEmpty else {
        throw BenchError(
          "--only \(only ?? "")", found: "no case has such a label",
          remedy: "there are \(labels.joined(separator: ", "))")
      }
      var options = options
      let scratch = FileManager.default.temporaryDirectory.appendingPathComponent("mmoe-traces-\(UUID().uuidString)")
      defer { try? FileManager.default.removeItem(at: scratch) }
      if plot != nil, options.traces == nil { options.traces = scratch.path }
      if let folder = options.traces, world.rank == 0 {
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
      }
      if let link { output.line(OverlapReport.words(link)) }
      let results = try OverlapBenchmark(options, world: world, engine: engine).run(cases) { _ in }
      // The cost of copying, at the size of one exchange.
      let size = options.tokens * options.width * 4 * (world.size - 1) / world.size
      let copy = ExchangeBenchmark.measure(world, bytes: size, repetitions: 15, engine: engine)
      let report = OverlapReport(
        options: options, results: results, copySecondsPerByte: copy.cpuSecondsPerByte, link: link)
      output.write(report.text())
      if let plot, world.rank == 0, let folder = options.traces {
        let drawn = cases.filter(\.isDrawn)
        try PairTimelinePlot(
          files: (drawn.isEmpty ? cases : drawn).map { $0.trace(in: folder) }, backward: false
        ).write(to: plot)
        output.line(plot)
      }
      if printsJSON { output.line(JSONValue.line(report)) }
    }
  }
}

/// The figures of `mmoe bench overlap`, against the sequential top-2 of the same rounds.
package struct OverlapReport: Codable, Sendable {
  package let width, tokens: Int
  package let isTraining: Bool
  package let results: [OverlapBenchmark.Result]
  /// Computing time that a byte in the background takes away.
  package let copySecondsPerByte: Double
  /// The model of a link that held rows back; nil where they went as fast as the ranks' own link lets them.
  package let modeledLink: LinkModel?

  package init(
    options: OverlapBenchmark.Options, results: [OverlapBenchmark.Result], copySecondsPerByte: Double,
    link: LinkModel? = nil
  ) {
    modeledLink = link
    (width, tokens, isTraining) = (options.width, options.tokens, options.training)
    self.results = results
    self.copySecondsPerByte = copySecondsPerByte
  }

  /// What a modeled link is.
  static func words(_ link: LinkModel) -> String {
    "a MODEL of a link, not a network: \(HumanFormat.fixed(link.bytesPerSecond * 8 / 1e6, 0)) Mbit/s for what each rank sends\(link.latency > 0 ? ", \(HumanFormat.fixed(link.latency * 1e3, 2)) ms latency" : ""); rows are real messages, held back in user space"
  }

  package func text() -> String {
    let base = results.first { $0.label == "top-2 sequential" }
    let pipelined = results.first { $0.label.hasPrefix("top-2 pipelined") }
    func covered(_ r: OverlapBenchmark.Result) -> Double {
      max(0, r.exchangeSeconds - (r.seconds - r.localSeconds))
    }
    func ms(_ seconds: Double) -> String { HumanFormat.fixed(seconds * 1e3, 1) }
    var table = TextTable(columns: [
      .left("case"), .right("pair ms"), .right("local copy"), .right("exchange"), .right("hidden"),
      .right("speed-up"), .right("ideal"), .right("of ideal"), .right("covered ÷ pipelined"),
      .right("model"),
    ])
    for r in results {
      // What remains when all is hidden but the copying: (top-2's computation + its exchange) / (own computation + copy).
      let ideal = base.map {
        ($0.localSeconds + $0.exchangeSeconds) / (r.localSeconds + copySecondsPerByte * Double(r.bytes))
      }
      // Round by round, for the same reason as the difference to the local copy.
      let speedUp = base.map { base in
        OverlapBenchmark.median(zip(base.rounds, r.rounds).map { $0 / $1 })
      }
      table.add([
        r.label, ms(r.seconds), ms(r.localSeconds), ms(r.exchangeSeconds), HumanFormat.percent(r.hidden),
        speedUp.map { HumanFormat.fixed($0, 2) } ?? "–", ideal.map { HumanFormat.fixed($0, 2) } ?? "–",
        zip(speedUp, ideal).map { HumanFormat.percent($0 / $1) } ?? "–",
        pipelined.map { covered($0) > 0 ? HumanFormat.fixed(covered(r) / covered($0), 2) : "–" } ?? "–",
        HumanFormat.percent(r.predictedSeconds / r.seconds - 1),
      ])
    }
    var text =
      "pairs of d = \(width), \(tokens) tokens a rank, \(isTraining ? "forward and backward" : "forward"); copying costs \(HumanFormat.fixed(copySecondsPerByte * 1e9, 2)) ns of computing a byte\n"
      + table.render()
    if let base {
      let rate = Double(base.bytes) / base.exchangeSeconds
      let limit = base.localSeconds + 1.1 * base.exchangeSeconds
      let share = base.exchangeSeconds / (base.localSeconds + base.exchangeSeconds)
      text +=
        "link \(HumanFormat.fixed(rate / 1e6, 1)) MB/s a rank; top-2's exchange is \(HumanFormat.percent(share)) of its pair; sequential top-2 \(ms(base.seconds)) ms, \(base.seconds <= limit ? "within" : "ABOVE") its limit \(ms(limit))\n"
      if share < 0.1 {
        text +=
          "there is next to nothing to hide: ranks of one host copy rows through its memory, and ScMoE gains nothing from overlap there; --link 100mbit models a link between hosts\n"
      }
    }
    if let base, let shortcut = results.first(where: { $0.label == "ScMoE Pos-2" }) {
      let speedUp = OverlapBenchmark.median(zip(base.rounds, shortcut.rounds).map { $0 / $1 })
      text +=
        "over this link ScMoE takes \(ms(shortcut.seconds)) ms where sequential top-2 takes \(ms(base.seconds)): \(HumanFormat.fixed(speedUp, 2)) times as fast\n"
    }
    for r in results { if let plan = r.plan { text += "\(r.label): \(plan)\n" } }
    return text
  }
}

private func zip<A, B>(_ a: A?, _ b: B?) -> (A, B)? {
  guard let a, let b else { return nil }
  return (a, b)
}
