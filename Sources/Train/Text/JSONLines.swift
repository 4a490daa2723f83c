import Foundation
import MMoEData
import MMoEFiles
import MMoEReport

/// Lines of JSON, read one after the other.
package enum JSONLines {
  /// - Parameter expected: the fields, for the message.
  /// - Throws: `DataError` for a file that cannot be read; `TrainError` for an empty one, and for the line that cannot be decoded.
  package static func forEach<Line: Decodable>(
    _ file: String, _: Line.Type, expected: String, _ body: (Line, _ number: Int) throws -> Void
  ) throws {
    let data = Data(try readText(file))
    let decoder = JSONDecoder()
    let lines = data.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
    guard lines.contains(where: { $0.contains { $0 > 32 } }) else {
      throw TrainError(
        file, found: "no lines in it", expected: "JSON objects with \(expected)", remedy: "name another file")
    }
    for (index, line) in lines.enumerated() where line.contains(where: { $0 > 32 }) {
      guard let value = try? decoder.decode(Line.self, from: line) else {
        throw TrainError("\(file):\(index + 1): expected a JSON object with \(expected); mend or remove the line")
      }
      try body(value, index + 1)
    }
  }
}
