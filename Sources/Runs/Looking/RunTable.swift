import MMoEFiles
import MMoEReport

/// Runs as a table that fits the terminal.
enum RunTable {
  private struct Column {
    let title: TextTable.Column
    /// How much it tells: where the terminal is too narrow, columns with the smallest numbers go first.
    let worth: Int
    let cell: (RunSummary) -> String?
  }

  /// - Parameters:
  ///   - root: below which the runs are; their paths from there are their names.
  ///   - sink: whose width the table fits, where that is known.
  /// - Returns: also the titles of columns that do not fit.
  static func text(_ runs: [RunSummary], under root: String, _ sink: any TextSink) -> (text: String, dropped: [String])
  {
    let prefix = FilePath.withoutTrailingSlashes(root) + "/"
    func name(_ run: RunSummary) -> String {
      run.folder.hasPrefix(prefix) ? String(run.folder.dropFirst(prefix.count)) : run.name
    }
    var columns = [
      Column(title: .left("name"), worth: 10) { name($0) },
      Column(title: .left("date"), worth: 7) { $0.dateText },
      Column(title: .left("task"), worth: 3) { $0.task },
      Column(title: .left("data"), worth: 2) { $0.dataName },
      Column(title: .left("preset"), worth: 4) { $0.preset },
      Column(title: .left("variant"), worth: 6) { $0.variant },
      Column(title: .right("step"), worth: 8) { $0.stepText },
      Column(title: .right("best"), worth: 9) { $0.bestText },
      Column(title: .right("time"), worth: 5) { $0.seconds.map(HumanFormat.duration) },
    ]
    var dropped: [String] = []
    while true {
      var table = TextTable(columns: columns.map(\.title))
      for run in runs { table.add(columns.map { oneLine($0.cell(run) ?? "–") }) }
      // Measured without the codes of bold titles, which take no room.
      let width = table.render().split(separator: "\n").map(\.count).max() ?? 0
      guard let room = sink.width, width > room, columns.count > 3,
        let least = columns.indices.min(by: { columns[$0].worth < columns[$1].worth })
      else { return (table.render(for: sink), dropped) }
      dropped.append(columns.remove(at: least).title.title)
    }
  }
}
