import MMoEData
import MMoEFiles
import MMoEReport
import MMoETrain

/// What `mmoe predict` says, writes and draws.
struct PredictReport {
  /// Pictures on a sheet, at most.
  static let sheetLimit = 200

  let paths: [String]
  let classes: [String]
  /// Classes of each file.
  let count: Int
  /// The best classes of every file that was read, by its number.
  let found: [Int: [ClassProbability]]
  /// Why the others were not.
  let bad: [Int: String]

  private var read: [Int] { paths.indices.filter { found[$0] != nil } }

  /// Prints what was found, and writes the files that are asked for.
  ///
  /// - Throws: `FileFailure` or `DataError` for a file that cannot be written.
  func write(csv: String?, sheet: String?, _ text: TextDrawer?, _ run: CommandRun, printsJSON: Bool) throws {
    for reason in bad.sorted(by: { $0.key < $1.key }) { run.errors.line(oneLine(reason.value)) }
    if printsJSON {
      for index in paths.indices { run.output.line(json(index).line) }
    } else if !read.isEmpty {
      run.output.write(table(width: run.output.isTerminal ? run.output.width ?? 80 : nil, run.output))
      run.output.line()
    }
    guard !read.isEmpty else { return }
    if let csv {
      try DurableFile.write(csvText, to: csv)
      run.human.line("\(oneLine(csv)): \(HumanFormat.grouped(read.count)) rows")
    }
    if let sheet, let text {
      let drawn = Array(read.prefix(PredictReport.sheetLimit))
      try DurableFile.write(picture(drawn, text).png(), to: sheet)
      run.human.line(
        "\(oneLine(sheet)): "
          + (drawn.count < read.count
            ? "the first \(drawn.count) of \(HumanFormat.grouped(read.count)) pictures" : "\(drawn.count) pictures"))
    }
  }

  /// Says how many files there were.
  func summarize(seconds: Double, _ run: CommandRun) {
    let total = HumanFormat.grouped(paths.count)
    if !read.isEmpty {
      run.human.line(
        "\(HumanFormat.grouped(read.count)) image\(read.count == 1 ? "" : "s")   \(classes.count) classes   in \(HumanFormat.duration(seconds))"
      )
    }
    guard !bad.isEmpty else { return }
    run.errors.line(
      read.isEmpty
        ? "none of \(total) files could be read"
        : "\(HumanFormat.grouped(paths.count - read.count)) of \(total) files could not be read")
  }

  // MARK: For people

  /// A line for each file, with as many classes as the width has room for, the best ones.
  func table(width: Int?, _ sink: any TextSink) -> String {
    let rows = read.map { (file: oneLine(paths[$0]), found: found[$0] ?? []) }
    var fileWidth = rows.map(\.file.count).max() ?? 0
    let cells = (0..<count).map { place in PredictReport.column(rows.map { $0.found[place] }, classes) }
    var shown = count
    if let width {
      // The names of files give way until half of the line is left to classes.
      fileWidth = min(fileWidth, max(width - 2 - (cells[0].first?.count ?? 0), width / 2, 16))
      var used = fileWidth
      shown = max(
        1,
        cells.prefix { cell in
          used += 2 + (cell.first?.count ?? 0)
          return used <= width
        }.count)
    }
    var table = TextTable(columns: [.left("file")] + (0..<shown).map { .left(PredictReport.title($0)) })
    for (index, row) in rows.enumerated() {
      let name = row.file.count > fileWidth ? "…" + row.file.suffix(fileWidth - 1) : row.file
      table.add([name] + cells.prefix(shown).map { $0[index] })
    }
    let left = count - shown
    return table.render(for: sink)
      + (left > 0 ? "(\(left) more for each file: widen the terminal, or see --csv and --json)\n" : "")
  }

  /// Names and percentages, one under the other.
  private static func column(_ found: [ClassProbability], _ classes: [String]) -> [String] {
    let names = found.map { oneLine(classes[Int($0.label)]) }
    let width = names.map(\.count).max() ?? 0
    return zip(names, found).map { name, found in
      let share = HumanFormat.percent(Double(found.probability))
      return name + String(repeating: " ", count: width - name.count + max(0, 7 - share.count) + 2) + share
    }
  }

  private static func title(_ place: Int) -> String { place == 0 ? "class" : "\(place + 1)." }

  /// Thumbnails with the most probable class and its percentage below each.
  private func picture(_ files: [Int], _ text: TextDrawer) throws -> RGBImage {
    try ContactSheet(columns: min(files.count, 10), side: ContactSheet.labeledSide).image(files.count, lines: 1, text) {
      place in
      let index = files[place]
      let caption = found[index]?.first.map {
        ContactSheet.Caption(classes[Int($0.label)], HumanFormat.percent(Double($0.probability), digits: 0))
      }
      return (try RGBImage(contentsOf: paths[index], atLeast: 2 * ContactSheet.labeledSide), caption.map { [$0] } ?? [])
    }
  }

  // MARK: For programs

  private func json(_ index: Int) -> JSONValue {
    guard let best = found[index] else {
      return .object(["file": .string(paths[index]), "error": .string(bad[index] ?? "")])
    }
    let predictions: [JSONValue] = best.map {
      .object(["class": .string(classes[Int($0.label)]), "probability": .double($0.probability.shortDouble)])
    }
    return .object(["file": .string(paths[index]), "predictions": .array(predictions)])
  }

  var csvText: String {
    var table = CSVTable(["file"] + (1...count).flatMap { ["class\($0)", "probability\($0)"] })
    for index in read {
      table.add([paths[index]] + (found[index] ?? []).flatMap { [classes[Int($0.label)], "\($0.probability)"] })
    }
    return table.text
  }
}

extension Float {
  /// The number with the fewest digits that is read back as this one: 0.1, and not 0.10000000149.
  var shortDouble: Double { Double("\(self)") ?? Double(self) }
}
