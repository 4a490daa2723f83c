import MMoEParallel
import MMoEReport

/// `mmoe trace`: a trace file in figures and in a picture.
package enum TraceSession {
  /// A table of each block's computation, exchange and what of it was hidden.
  ///
  /// - Throws: `ParallelError` when the file is no trace.
  package static func summary(_ file: String) throws -> String {
    let summary = TraceSummary(try TraceFile(reading: file))
    func ms(_ seconds: Double) -> String { HumanFormat.fixed(seconds * 1e3, 2) }
    var table = TextTable(columns: [
      .left("block"), .right("computation ms"), .right("experts"), .right("in flight"), .right("exposed"),
      .right("hidden"), .right("MB sent"), .right("imbalance"),
    ])
    for block in summary.blocks {
      let hasExchange = block.exchange > 0
      table.add([
        block.name, ms(block.computation), ms(block.experts), ms(block.exchange), ms(block.exposed),
        hasExchange ? HumanFormat.percent(block.hidden) : "–",
        HumanFormat.fixed(Double(block.bytes) / 1e6, 2),
        hasExchange ? HumanFormat.fixed(block.imbalance, 2) : "–",
      ])
    }
    return """
      \(summary.title): a step of \(ms(summary.stepSeconds)) ms, mean over ranks
      \(table.render(for: StandardStream.output))\(summary.polls) looks a step, \(ms(summary.pollSeconds)) ms in them
      \(summary.notes.map { $0 + "\n" }.joined())
      """
  }

  /// Draws one pair of blocks of each file.
  ///
  /// - Throws: `ParallelError` or `ReportError`.
  package static func plot(_ files: [String], backward: Bool, to file: String) throws {
    try PairTimelinePlot(files: files, backward: backward).write(to: file)
  }
}
