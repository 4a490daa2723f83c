import Foundation
import MMoETensor

/// One image of a split with what is said about it.
public struct PairImage: Sendable, Equatable {
  public let path: String
  /// At least one, none empty.
  public let captions: [String]
  /// Index into the folder's labels; −1 = none.
  public let label: Int32
  /// Number of the group: its images stay on one side, and one of them is drawn in a pass over the data.
  public let group: Int
  /// The set of images that it is ranked among in retrieval; empty where the file names none.
  public let gallery: String
  /// `captions.jsonl:12`, for messages.
  public let place: String
}

/// The pairs of one split, in the order of the file.
public struct PairSet: Sendable {
  public let split: DatasetSplit
  public let labels: [String]
  public let images: [PairImage]

  public var count: Int { images.count }

  /// Members of every group, in the order of first appearance.
  public var groups: [[Int]] {
    var place: [Int: Int] = [:]
    var groups: [[Int]] = []
    for (index, image) in images.enumerated() {
      if let at = place[image.group] {
        groups[at].append(index)
      } else {
        place[image.group] = groups.count
        groups.append([index])
      }
    }
    return groups
  }

  /// What tells pictures apart: the hash of each image's file.
  ///
  /// - Throws: `DataError` for a file that cannot be read.
  public func pictureHashes() throws -> [ContentHash] {
    try images.map { ContentHash(try readFile($0.path, limit: 1 << 30)) }
  }

  /// The pictures as the image loaders take them.
  public var imageSet: ImageSet {
    ImageSet(
      split: split, classes: labels, images: images.map { ImageSet.Entry(path: $0.path, label: $0.label) },
      groups: groups)
  }
}

/// A folder of PNG files with `captions.jsonl`: one line an image or a caption,
/// `{"image": "images/1f34e.png", "caption": "red apple"}`.
///
/// Optional fields: `captions` (more of them), `label` (the class of the picture), `group` (images that must stay on one
/// side: variants, frames of one scene), `split` (`train`, `val`, or `none` for a pair that is left out), `gallery` (images
/// that are ranked among each other in retrieval). Several lines may name one image; their captions add up. Other fields
/// are passed over. Without `split` the draw of a group's name, or of the image's, divides them.
public struct PairFolder: Sendable {
  public static let fileName = "captions.jsonl"
  /// The split of pairs in neither part.
  public static let leftOut = "none"

  public let path: String
  /// Labels of all splits, sorted; empty where no line has one.
  public let labels: [String]
  private let sets: [DatasetSplit: PairSet]

  /// Whether a folder holds pairs.
  public static func isOne(_ path: String) -> Bool {
    FileManager.default.fileExists(atPath: path + "/" + fileName)
  }

  /// Reads the lines; opens no picture.
  ///
  /// - Parameters:
  ///   - validationShare: of the groups, where lines do not say it.
  ///   - seed: another one divides otherwise.
  /// - Throws: `DataError` naming the line: broken JSON, an image that is missing, a caption that is missing or empty; a
  ///   picture without a line; a part without pairs.
  public init(path: String, validationShare: Double = 0.1, seed: UInt64 = 0) throws {
    let file = path + "/" + PairFolder.fileName
    guard PairFolder.isOne(path) else {
      throw DataError(
        "\(path): no \(PairFolder.fileName) in it, expected PNG files and a line {\"image\": \"a.png\", \"caption\": \"…\"} for each"
      )
    }
    var records: [Record] = []
    var byImage: [String: Int] = [:]
    let lines = try readFile(file, limit: 1 << 30).split(separator: 0x0A, omittingEmptySubsequences: false)
    for (number, bytes) in lines.enumerated() {
      guard bytes.contains(where: { $0 > 0x20 }) else { continue }
      let record = try Record(bytes, place: "\(file):\(number + 1)")
      guard let known = byImage[record.image] else {
        byImage[record.image] = records.count
        records.append(record)
        continue
      }
      try records[known].add(record)
    }
    guard !records.isEmpty else { throw DataError("\(file): no pairs in it, expected at least one line") }
    for record in records { try record.requireFile(in: path) }
    try PairFolder.requireCaptions(of: path, named: Set(records.map(\.image)))
    labels = Set(records.compactMap(\.label)).sorted()
    self.path = path
    sets = try PairFolder.divide(records, path: path, labels: labels, share: validationShare, seed: seed)
  }

  /// The pairs of a split.
  public subscript(split: DatasetSplit) -> PairSet { sets[split]! }

  /// Every PNG file below the folder must be named: one that is not would be passed over silently.
  private static func requireCaptions(of path: String, named: Set<String>) throws {
    let files = FileManager.default.enumerator(atPath: path)?.compactMap { $0 as? String } ?? []
    let missing = files.filter { name in
      name.lowercased().hasSuffix(".png") && !named.contains(name)
        && !name.split(separator: "/").contains { $0.hasPrefix(".") }
    }.sorted()
    guard let first = missing.first else { return }
    throw DataError(
      "\(path)/\(first): no line of \(fileName) names it\(missing.count > 1 ? " (nor \(missing.count - 1) other PNG files)" : ""); add captions, or remove the file"
    )
  }

  private static func divide(
    _ records: [Record], path: String, labels: [String], share: Double, seed: UInt64
  ) throws -> [DatasetSplit: PairSet] {
    let labelNumber = Dictionary(uniqueKeysWithValues: labels.enumerated().map { ($1, Int32($0)) })
    var groupNumber: [String: Int] = [:]
    var images: [DatasetSplit: [PairImage]] = [:]
    for record in records {
      let name = record.group.map { "group \($0)" } ?? "image \(record.image)"
      let number = groupNumber[name, default: groupNumber.count]
      groupNumber[name] = number
      let drawn = CounterRandom(seed: seed, purpose: .split, a: CounterRandom.hash(name)).uniform(0)
      let split = record.split ?? (drawn < Float(share) ? .side(.val) : .side(.train))
      guard case .side(let side) = split else { continue }
      images[side, default: []].append(
        PairImage(
          path: path + "/" + record.image, captions: record.captions,
          label: record.label.flatMap { labelNumber[$0] } ?? -1, group: number, gallery: record.gallery ?? "",
          place: record.place))
    }
    return try Dictionary(
      uniqueKeysWithValues: DatasetSplit.allCases.map { split in
        guard let members = images[split] else {
          throw DataError(
            "\(path)/\(fileName): no pairs for \(split.rawValue); name a split in the lines, or set text.validation_share so that both parts get some"
          )
        }
        return (split, PairSet(split: split, labels: labels, images: members))
      })
  }
}

/// What lines say of one image.
private struct Record {
  enum Split: Equatable {
    case side(DatasetSplit)
    case leftOut
  }

  let image: String
  private(set) var captions: [String]
  let label: String?
  let group: String?
  let split: Split?
  let gallery: String?
  let place: String

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
        "\(place): \(field.map { "the field \($0) is no text" } ?? "no JSON object"), expected {\"image\": \"a.png\", \"caption\": \"…\"}"
      )
    } catch {
      throw DataError("\(place): no valid JSON, expected {\"image\": \"a.png\", \"caption\": \"…\"} on one line")
    }
    guard let image = line.image, !image.isEmpty else {
      throw DataError("\(place): no field image, expected the name of a PNG file; add it or remove the line")
    }
    let captions = [line.caption].compactMap { $0 } + (line.captions ?? []).filter { $0 != line.caption }
    guard let first = captions.first else {
      throw DataError("\(place): \(image) has no field caption, expected a text; add it or remove the line")
    }
    guard captions.allSatisfy({ $0.contains { !$0.isWhitespace } }) else {
      throw DataError(
        "\(place): the caption '\(first)' of \(image) is empty, expected a text; add it or remove the line")
    }
    switch line.split {
    case nil: split = nil
    case PairFolder.leftOut: split = .leftOut
    case let name?:
      guard let side = DatasetSplit(rawValue: name) else {
        throw DataError("\(place): split is '\(name)', expected train, val or \(PairFolder.leftOut)")
      }
      split = .side(side)
    }
    (self.image, self.captions, self.place) = (image, captions, place)
    (label, group, gallery) = (line.label, line.group, line.gallery)
  }

  /// Adds the captions of a later line of the same image.
  mutating func add(_ other: Record) throws {
    for (name, own, found) in [
      ("label", label, other.label), ("group", group, other.group), ("gallery", gallery, other.gallery),
    ]
    where own != found {
      throw DataError(
        "\(other.place): \(image) has the \(name) '\(found ?? "none")', expected '\(own ?? "none")' as in \(place)")
    }
    guard split == other.split else {
      throw DataError("\(other.place): \(image) stands in another split than in \(place); give both lines one split")
    }
    captions += other.captions.filter { !captions.contains($0) }
  }

  func requireFile(in folder: String) throws {
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: folder + "/" + image, isDirectory: &isFolder), !isFolder.boolValue
    else { throw DataError("\(place): the file \(folder)/\(image) is missing; add it or remove the line") }
  }
}
