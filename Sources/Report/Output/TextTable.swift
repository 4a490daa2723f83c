/// A plain text table with aligned columns, two spaces apart.
package struct TextTable: Sendable {
  /// A column's title and the side its cells stand on.
  package enum Column: Sendable {
    /// Text.
    case left(String)
    /// Numbers.
    case right(String)

    package var title: String {
      switch self {
      case .left(let title), .right(let title): title
      }
    }
  }

  private let columns: [Column]
  private var rows: [[String]] = []

  package init(columns: [Column]) { self.columns = columns }

  /// Adds a row; missing cells are empty, those beyond the last column are dropped.
  package mutating func add(_ cells: [String]) {
    rows.append(columns.indices.map { $0 < cells.count ? cells[$0] : "" })
  }

  /// The table with a line under the titles and a newline after each line.
  ///
  /// - Parameters:
  ///   - width: where given, the last column is wrapped between words to fit into so many columns.
  ///   - sink: where given, the titles are bold if it shows colors.
  package func render(width: Int? = nil, for sink: (any TextSink)? = nil) -> String {
    let titles = columns.map(\.title)
    var widths = columns.indices.map { column in
      ([titles] + rows).map { $0[column].count }.max() ?? 0
    }
    guard let last = widths.indices.last else { return "" }
    let before = widths.dropLast().reduce(0) { $0 + $1 + 2 }
    if let width { widths[last] = min(widths[last], max(width - before, 24)) }
    let head = line(titles, widths)
    let rule = widths.map { String(repeating: "─", count: $0) }.joined(separator: "  ")
    var text = "\(sink?.styled(head, .bold) ?? head)\n\(sink?.styled(rule, .dim) ?? rule)\n"
    for row in rows {
      let pieces = wrap(row[last], to: widths[last])
      for (index, piece) in pieces.enumerated() {
        let cells = index == 0 ? Array(row.dropLast()) : Array(repeating: "", count: last)
        text += line(cells + [piece], widths) + "\n"
      }
    }
    return text
  }

  private func line(_ cells: [String], _ widths: [Int]) -> String {
    var text = ""
    for (index, cell) in cells.enumerated() {
      let space = String(repeating: " ", count: max(0, widths[index] - cell.count))
      switch columns[index] {
      // No spaces at the end of a line.
      case .left: text += cell + (index + 1 < cells.count ? space + "  " : "")
      case .right: text += space + cell + (index + 1 < cells.count ? "  " : "")
      }
    }
    while text.last == " " { text.removeLast() }
    return text
  }

  private func wrap(_ text: String, to width: Int) -> [String] {
    guard text.count > width else { return [text] }
    var lines = [""]
    for word in text.split(separator: " ") {
      let line = lines[lines.count - 1]
      if line.isEmpty {
        lines[lines.count - 1] = String(word)
      } else if line.count + 1 + word.count <= width {
        lines[lines.count - 1] += " " + word
      } else {
        lines.append(String(word))
      }
    }
    return lines
  }
}
