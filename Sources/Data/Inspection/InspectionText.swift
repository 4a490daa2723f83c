import MMoEFiles

/// A file that cannot be decoded.
package struct BadFile: Sendable, Codable, Equatable {
  package var path: String
  package var reason: String
}

/// The forms in which inspections are shown on a terminal.
enum InspectionText {
  /// One line of a table: a name and right-aligned columns.
  static func row(_ name: String, _ columns: String...) -> String {
    columns.reduce(oneLine(name).padding(toLength: max(28, oneLine(name).count), withPad: " ", startingAt: 0)) {
      $0 + String(repeating: " ", count: max(1, 9 - $1.count)) + $1
    }
  }

  static func rest(_ count: Int, _ limit: Int, _ what: String) -> [String] {
    count > limit ? ["… and \(count - limit) more \(what)"] : []
  }

  /// `1 bad file`, `2 bad files`.
  static func counted(_ count: Int, _ noun: String, _ plural: String? = nil) -> String {
    "\(count) \(count == 1 ? noun : plural ?? noun + "s")"
  }

  static func badFiles(_ files: [BadFile], _ limit: Int) -> [String] {
    guard !files.isEmpty else { return ["no bad files"] }
    // A reason begins with the file's path.
    return [counted(files.count, "bad file") + ":"] + files.prefix(limit).map { "  " + $0.reason }
      + rest(files.count, limit, "bad files")
  }
}
