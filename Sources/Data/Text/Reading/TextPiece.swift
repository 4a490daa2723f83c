import Foundation
import MMoEFiles

/// A document, or a part of one that is too large to be in memory.
struct TextPiece: Sendable {
  /// Text, or the line of a JSONL file.
  var bytes: [UInt8]
  var source: Source
  /// Nil where the whole document's content decides.
  var split: DatasetSplit?
  var endsDocument = true
  /// The number of its file among the corpus's.
  var file = 0

  enum Source: Sendable, Equatable {
    case text
    case jsonLine(file: String, number: Int)
  }

  /// File and line, where a line is the document.
  var place: String? {
    guard case .jsonLine(let file, let number) = source else { return nil }
    return "\(file):\(number)"
  }

  /// The document's text; empty where the line has an empty one.
  ///
  /// - Parameter field: of a JSON line.
  /// - Throws: `DataError` naming the line that is no object with this field.
  func text(field: String) throws -> [UInt8] {
    guard case .jsonLine(let file, let number) = source else { return bytes }
    let decoder = JSONDecoder()
    decoder.userInfo[JSONField.key] = field
    do {
      return [UInt8](try decoder.decode(JSONField.self, from: Data(bytes)).text.utf8)
    } catch DecodingError.dataCorrupted {
      throw DataError("\(file):\(number)", found: "no valid JSON", remedy: "mend or remove the line")
    } catch {
      throw DataError(
        "\(file):\(number): expected an object with the text field \"\(field)\"; mend or remove the line, or name another field"
      )
    }
  }
}

/// One text field of a JSON object; the others are passed over.
private struct JSONField: Decodable {
  static let key = CodingUserInfoKey(rawValue: "field")!

  let text: String

  private struct Name: CodingKey {
    let stringValue: String
    let intValue: Int? = nil
    init(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
  }

  init(from decoder: any Decoder) throws {
    let name = Name(stringValue: decoder.userInfo[JSONField.key] as? String ?? "")
    text = try decoder.container(keyedBy: Name.self).decode(String.self, forKey: name)
  }
}
