import Foundation
import MMoEFiles

/// What lines say of one item.
struct PairRecord {
  enum Split: Equatable {
    case side(DatasetSplit)
    case leftOut
  }

  /// By field the names in the line, and then those of the files; at least one, no list empty.
  var files: [String: [String]]
  private(set) var captions: [String]
  let label: String?
  let group: String?
  let split: Split?
  let gallery: String?
  let place: String
  /// Texts of fields that nothing is known of.
  let otherFields: [(name: String, values: [String])]

  /// The field of its first file: what lines of one item share, and what it is called by.
  private var mainField: String { SampleFormat.registry.names.first { files[$0] != nil }! }
  var mainFile: String { files[mainField]![0] }
  /// What the draw of its side goes by.
  var groupName: String { group.map { "group \($0)" } ?? "\(mainField) \(mainFile)" }

  private struct Key: CodingKey {
    let stringValue: String
    var intValue: Int? { nil }
    init(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
  }

  /// A text or a list of texts.
  private struct Texts: Decodable {
    let values: [String]

    init(from decoder: any Decoder) throws {
      let container = try decoder.singleValueContainer()
      if let one = try? container.decode(String.self) {
        values = [one]
      } else {
        values = try container.decode([String].self)
      }
    }
  }

  private struct Line: Decodable {
    var files: [String: [String]] = [:]
    var texts: [String: String] = [:]
    var captions: [String] = []
    var others: [(name: String, values: [String])] = []

    init(from decoder: any Decoder) throws {
      let container = try decoder.container(keyedBy: Key.self)
      let formats = SampleFormat.registry.names
      for key in container.allKeys.sorted(by: { $0.stringValue < $1.stringValue })
      where try !container.decodeNil(forKey: key) {
        switch key.stringValue {
        case let field where formats.contains(field):
          files[field] = try container.decode(Texts.self, forKey: key).values.filter { !$0.isEmpty }
        case "caption", "label", "group", "split", "gallery":
          texts[key.stringValue] = try container.decode(String.self, forKey: key)
        case "captions": captions = try container.decode([String].self, forKey: key)
        default:
          if let found = try? container.decode(Texts.self, forKey: key) {
            others.append((key.stringValue, found.values))
          }
        }
      }
      files = files.filter { !$1.isEmpty }
    }
  }

  init(_ bytes: ArraySlice<UInt8>, place: String) throws {
    let line: Line
    do {
      line = try JSONDecoder().decode(Line.self, from: Data(bytes))
    } catch DecodingError.typeMismatch(_, let context), DecodingError.valueNotFound(_, let context) {
      guard let field = context.codingPath.first?.stringValue else {
        throw DataError(
          place, found: "no JSON object", expected: "{\"image\": \"a.png\", \"caption\": \"…\"}",
          remedy: "mend the line")
      }
      let isList = field == "captions"
      throw DataError(
        place, field: "the field \(field)", found: isList ? "no list of texts" : "no text",
        expected: isList
          ? "[\"…\", \"…\"]" : SampleFormat.registry[field] == nil ? "\"…\"" : "a file's name, or a list of such",
        remedy: "mend the line")
    } catch {
      throw DataError(place, found: "no valid JSON", expected: "{\"image\": \"a.png\", \"caption\": \"…\"} on one line")
    }
    let formats = SampleFormat.registry.values
    guard let main = formats.lazy.compactMap({ line.files[$0.field]?[0] }).first else {
      throw DataError(
        place, found: "no field \(formats.map(\.field).joined(separator: " or "))",
        expected: "the name of a file (\(formats.map { "\($0.field): \($0.kinds)" }.joined(separator: ", ")))",
        remedy: "add it or remove the line")
    }
    let captions = [line.texts["caption"]].compactMap { $0 } + line.captions.filter { $0 != line.texts["caption"] }
    guard let first = captions.first else {
      throw DataError(
        place, found: "\(main) has no field caption", expected: "a text", remedy: "add it or remove the line")
    }
    guard captions.allSatisfy({ $0.contains { !$0.isWhitespace } }) else {
      throw DataError(
        place, found: "the caption '\(first)' of \(main) is empty", expected: "a text",
        remedy: "add it or remove the line")
    }
    if let label = line.texts["label"], label.isEmpty || label.contains(where: \.isNewline) {
      throw DataError(
        place, found: "the label '\(label)' of \(main)", expected: "a name in one line",
        remedy: "mend it or leave it out")
    }
    switch line.texts["split"] {
    case nil: split = nil
    case PairFolder.leftOut: split = .leftOut
    case let name?:
      guard let side = DatasetSplit(rawValue: name) else {
        throw DataError(place, field: "split", found: "'\(name)'", expected: "train, val or \(PairFolder.leftOut)")
      }
      split = .side(side)
    }
    (files, self.captions, self.place) = (line.files, captions, place)
    (label, group, gallery) = (line.texts["label"], line.texts["group"], line.texts["gallery"])
    otherFields = line.others.sorted { $0.name < $1.name }
  }

  /// Adds the captions and files of a later line of the same item.
  mutating func add(_ other: PairRecord) throws {
    for (name, own, found) in [
      ("label", label, other.label), ("group", group, other.group), ("gallery", gallery, other.gallery),
    ]
    where own != found {
      throw DataError(
        "\(other.place)", found: "\(mainFile) has the \(name) '\(found ?? "none")'",
        expected: "'\(own ?? "none")' as in \(place)")
    }
    guard split == other.split else {
      throw DataError(
        "\(other.place)", found: "\(mainFile) stands in another split than in \(place)",
        remedy: "give both lines one split")
    }
    captions += other.captions.filter { !captions.contains($0) }
    for (field, names) in other.files {
      files[field, default: []] += names.filter { !(files[field] ?? []).contains($0) }
    }
  }
}
