import Foundation
import MMoEFiles

/// What lines say of one image.
struct PairRecord {
  enum Split: Equatable {
    case side(DatasetSplit)
    case leftOut
  }

  /// The name in the line, and then that of the file.
  var image: String
  private(set) var captions: [String]
  let label: String?
  let group: String?
  let split: Split?
  let gallery: String?
  let place: String

  /// What the draw of its side goes by.
  var groupName: String { group.map { "group \($0)" } ?? "image \(image)" }

  private struct Line: Decodable {
    let image: String?
    let caption: String?
    let captions: [String]?
    let label: String?
    let group: String?
    let split: String?
    let gallery: String?
  }

  init(_ bytes: ArraySlice<UInt8>, place: String) throws {
    let line: Line
    do {
      line = try JSONDecoder().decode(Line.self, from: Data(bytes))
    } catch DecodingError.typeMismatch(_, let context) {
      let field = context.codingPath.first?.stringValue
      throw DataError(
        place, found: "\(field.map { "the field \($0) is no text" } ?? "no JSON object")",
        expected: "{\"image\": \"a.png\", \"caption\": \"…\"}")
    } catch {
      throw DataError(place, found: "no valid JSON", expected: "{\"image\": \"a.png\", \"caption\": \"…\"} on one line")
    }
    guard let image = line.image, !image.isEmpty else {
      throw DataError(
        place, found: "no field image", expected: "the name of a PNG file", remedy: "add it or remove the line")
    }
    let captions = [line.caption].compactMap { $0 } + (line.captions ?? []).filter { $0 != line.caption }
    guard let first = captions.first else {
      throw DataError(
        place, found: "\(image) has no field caption", expected: "a text", remedy: "add it or remove the line")
    }
    guard captions.allSatisfy({ $0.contains { !$0.isWhitespace } }) else {
      throw DataError(
        place, found: "the caption '\(first)' of \(image) is empty", expected: "a text",
        remedy: "add it or remove the line")
    }
    if let label = line.label, label.isEmpty || label.contains(where: \.isNewline) {
      throw DataError(
        place, found: "the label '\(label)' of \(image)", expected: "a name in one line",
        remedy: "mend it or leave it out")
    }
    switch line.split {
    case nil: split = nil
    case PairFolder.leftOut: split = .leftOut
    case let name?:
      guard let side = DatasetSplit(rawValue: name) else {
        throw DataError(place, field: "split", found: "'\(name)'", expected: "train, val or \(PairFolder.leftOut)")
      }
      split = .side(side)
    }
    (self.image, self.captions, self.place) = (image, captions, place)
    (label, group, gallery) = (line.label, line.group, line.gallery)
  }

  /// Adds the captions of a later line of the same image.
  mutating func add(_ other: PairRecord) throws {
    for (name, own, found) in [
      ("label", label, other.label), ("group", group, other.group), ("gallery", gallery, other.gallery),
    ]
    where own != found {
      throw DataError(
        "\(other.place)", found: "\(image) has the \(name) '\(found ?? "none")'",
        expected: "'\(own ?? "none")' as in \(place)")
    }
    guard split == other.split else {
      throw DataError(
        "\(other.place)", found: "\(image) stands in another split than in \(place)",
        remedy: "give both lines one split")
    }
    captions += other.captions.filter { !captions.contains($0) }
  }
}
