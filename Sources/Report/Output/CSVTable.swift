/// A table as comma-separated values (RFC 4180).
package struct CSVTable {
  package private(set) var text: String

  package init(_ columns: [String]) { text = CSVTable.line(columns) }

  package mutating func add(_ cells: [String]) { text += CSVTable.line(cells) }

  private static func line(_ cells: [String]) -> String {
    cells.map { cell in
      cell.contains { ",\"\n\r".contains($0) } ? "\"\(cell.replacing("\"", with: "\"\""))\"" : cell
    }.joined(separator: ",") + "\n"
  }

  /// A number, empty where it is not finite.
  package static func number(_ value: Double) -> String { value.isFinite ? "\(value)" : "" }
}
