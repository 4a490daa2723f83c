import Foundation

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
  /// Where the sink's width is known, as that of a terminal, the table fits it: texts but for those of the first column, which
  /// people copy, are folded between words, as far as there is need. Where that is not enough, each row becomes a few lines of
  /// titles and cells. Numbers are never cut.
  ///
  /// - Parameter sink: where the table goes; the titles are bold if it shows colors. Nil = nothing is folded.
  package func render(for sink: (any TextSink)? = nil) -> String {
    guard !columns.isEmpty else { return "" }
    let titles = columns.map(\.title)
    let natural = columns.indices.map { column in ([titles] + rows).map { $0[column].count }.max() ?? 0 }
    guard let widths = fitted(natural, into: sink?.width) else { return records(width: sink?.width ?? 80, sink) }
    let head = line(titles, widths)
    let rule = widths.map { String(repeating: "─", count: $0) }.joined(separator: "  ")
    var text = "\(sink?.styled(head, .bold) ?? head)\n\(sink?.styled(rule, .dim) ?? rule)\n"
    for row in rows {
      let pieces = row.indices.map { isText($0) ? TextTable.folded(row[$0], to: widths[$0]) : [row[$0]] }
      for index in 0..<(pieces.map(\.count).max() ?? 0) {
        text += line(pieces.map { index < $0.count ? $0[index] : "" }, widths) + "\n"
      }
    }
    return text
  }

  /// Whether a column's cells may be folded.
  private func isText(_ column: Int) -> Bool {
    guard case .left = columns[column] else { return false }
    return column > 0 || columns.count == 1
  }

  /// The widths of the columns within so much room: the widest texts give way first, to the length of their longest words, then
  /// further.
  ///
  /// - Returns: nil where the room is too small.
  private func fitted(_ natural: [Int], into room: Int?) -> [Int]? {
    guard let room else { return natural }
    var widths = natural
    var excess = natural.reduce(2 * (natural.count - 1), +) - room
    for longest in [24, 10] {
      let least = columns.indices.map { column in
        let words = rows.flatMap { $0[column].split(separator: " ").map(\.count) }
        return max(columns[column].title.count, min(words.max() ?? 0, longest))
      }
      while excess > 0 {
        let wide = columns.indices.filter { isText($0) && widths[$0] > least[$0] }
        guard let widest = wide.max(by: { widths[$0] < widths[$1] }) else { break }
        widths[widest] -= 1
        excess -= 1
      }
    }
    return excess > 0 ? nil : widths
  }

  /// Every row as lines of a title and a cell, with an empty line between rows.
  private func records(width: Int, _ sink: (any TextSink)?) -> String {
    let titleWidth = columns.map(\.title.count).max() ?? 0
    return rows.map { row in
      zip(columns, row).map { column, cell in
        let title = column.title.padding(toLength: titleWidth, withPad: " ", startingAt: 0)
        let indent = "\n" + String(repeating: " ", count: titleWidth + 2)
        let lines = TextTable.folded(cell, to: max(width - titleWidth - 2, 10), cuts: false).joined(separator: indent)
        return "\(sink?.styled(title, .bold) ?? title)  \(lines)\n"
      }.joined()
    }.joined(separator: "\n")
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

  /// A text in lines of at most so many characters, cut between words.
  ///
  /// - Parameter cuts: whether the end of a word that is longer is left out.
  package static func folded(_ text: String, to width: Int, cuts: Bool = true) -> [String] {
    guard text.count > width, width > 0 else { return [text] }
    var lines: [String] = []
    for word in text.split(separator: " ") {
      let word = cuts && word.count > width ? word.prefix(width - 1) + "…" : word
      if let line = lines.last, line.count + 1 + word.count <= width {
        lines[lines.count - 1] = line + " " + word
      } else {
        lines.append(String(word))
      }
    }
    return lines
  }
}
