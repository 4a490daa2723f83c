/// A table as comma-separated values (RFC 4180).
package struct CSVTable {
  package private(set) var text: String

  package init(_ columns: [String]) { text = CSVTable.line(columns) }

  package mutating func add(_ cells: [String]) { text += CSVTable.line(cells) }

  private static func line(_ cells: [String]) -> String {
    // Scalars, not characters: a comma with an accent on it, and both ends of a line together, are characters of their own.
    cells.map { cell in
      guard cell.unicodeScalars.contains(where: { ",\"\n\r".unicodeScalars.contains($0) }) else { return cell }
      let scalars = cell.unicodeScalars.flatMap { $0 == "\"" ? [$0, $0] : [$0] }
      return "\"" + String(String.UnicodeScalarView(scalars)) + "\""
    }.joined(separator: ",") + "\n"
  }

  /// A number, empty where it is not finite.
  package static func number(_ value: Double) -> String { value.isFinite ? "\(value)" : "" }
}
