import Foundation
import MMoEFiles

/// One item of a split, such as an image, with what is said about it.
public struct PairItem: Sendable, Equatable {
  /// Paths of its files by field (`SampleFormat`); no list is empty. An item may lack fields that others have.
  public let files: [String: [String]]
  /// At least one, none empty.
  public let captions: [String]
  /// Index into the folder's labels; −1 = none.
  public let label: Int32
  /// Number of the group: its items stay on one side, and one of them is drawn in a pass over the data.
  package let group: Int
  /// The set of items that it is ranked among in retrieval; empty where the file names none.
  package let gallery: String
  /// `captions.jsonl:12`, for messages.
  package let place: String

  /// Its files of a field.
  public subscript(field: String) -> [String] { files[field] ?? [] }
}

/// The pairs of one split, in the order of the file.
public struct PairSet: Sendable {
  public let split: DatasetSplit
  public let labels: [String]
  /// Those of them that lines of the folder have, in either part; a model may know others.
  package let ownLabels: [String]
  public let items: [PairItem]

  /// - Parameter ownLabels: nil = all of them.
  package init(split: DatasetSplit, labels: [String], ownLabels: [String]? = nil, items: [PairItem]) {
    (self.split, self.labels, self.ownLabels, self.items) = (split, labels, ownLabels ?? labels, items)
  }

  public var count: Int { items.count }
  /// Fields that any item has, in the order of their registration.
  package var fields: [String] {
    SampleFormat.registry.names.filter { field in items.contains { $0.files[field] != nil } }
  }

  /// Members of every group, in the order of first appearance.
  package var groups: [[Int]] {
    var place: [Int: Int] = [:]
    var groups: [[Int]] = []
    for (index, item) in items.enumerated() {
      if let at = place[item.group] {
        groups[at].append(index)
      } else {
        place[item.group] = groups.count
        groups.append([index])
      }
    }
    return groups
  }

  /// What tells items apart: the hash of each one's picture, or of its first file where it has none.
  ///
  /// - Throws: `DataError` for a file that cannot be read.
  package func identities() throws -> [ContentHash] {
    let fields = SampleFormat.registry.names
    return try items.map { item in
      let path = fields.lazy.compactMap { item.files[$0]?[0] }.first!
      return ContentHash(try readFile(path, limit: 1 << 30))
    }
  }

  /// How many files have more than a model reads of them, such as recordings that are longer; one line for each field with such
  /// files.
  ///
  /// - Parameter shapes: by field, of a model's samples.
  /// - Throws: `DataError` for a file that cannot be looked at.
  package static func cutNotes(_ sets: [PairSet], shapes: [String: [Int]]) throws -> [String] {
    try SampleFormat.registry.values.compactMap { format in
      guard let room = shapes[format.field].flatMap({ format.room?($0) }) else { return nil }
      let files = sets.flatMap { $0.items.flatMap { $0[format.field] } }
      let cut = zip(files, try files.mapInParallel { try room.isCut($0) }).filter(\.1)
      guard let first = cut.first else { return nil }
      return "\(format.plural) cut after \(room.text): \(cut.count) of \(files.count), the first \(first.0)"
    }
  }

  /// Some of the items, in the order of `places`.
  package func selecting(_ places: [Int]) -> PairSet {
    PairSet(split: split, labels: labels, ownLabels: ownLabels, items: places.map { items[$0] })
  }
}

/// A folder of files with `captions.jsonl`: one line an item or a caption,
/// `{"image": "images/1f34e.png", "audio": ["audio/1f34e-a.wav", "audio/1f34e-b.wav"], "caption": "red apple"}`.
///
/// Every registered `SampleFormat` has a field, which names a file, or a list of files where an item may have several. A line
/// has at least one of them. Optional fields: `captions` (more of them), `label` (the class of the picture), `group` (items that must stay on one
/// side: variants, frames of one scene), `split` (`train`, `val`, or `none` for a pair that is left out), `gallery` (items
/// that are ranked among each other in retrieval). Several lines may name one image; their captions and recordings add up.
/// Other fields are passed over, unless they name files. Without `split` the draw of a group's name, or of the image's, divides them; files of the same content
/// stay on one side.
public struct PairFolder: Sendable {
  package static let fileName = "captions.jsonl"
  /// The split of pairs in neither part.
  package static let leftOut = "none"

  package let path: String
  /// Labels of all splits, sorted, or those of a model; empty where no line has one.
  public let labels: [String]
  /// Labels of the model that no line has.
  package let missing: [String]
  /// Files of the folder that are not used.
  package let leftOutFiles: LeftOut
  private let sets: [DatasetSplit: PairSet]

  /// Whether a folder holds pairs.
  package static func isOne(_ path: String) -> Bool {
    FileManager.default.fileExists(atPath: path + "/" + fileName)
  }

  /// Reads the lines; opens pictures only to tell those of equal size apart.
  ///
  /// - Parameters:
  ///   - validationShare: of the groups, where lines do not say it.
  ///   - seed: another one divides otherwise.
  ///   - known: the labels that a model has, by number; nil = those of the lines.
  /// - Throws: `DataError` naming the line: broken JSON, a file that is missing or outside of the folder, a field of files that no format reads, a caption that
  ///   is missing or empty, a label that is not known, one picture on both sides; a file without a line; a part without
  ///   pairs.
  public init(path: String, validationShare: Double = 0.1, seed: UInt64 = 0, known: [String]? = nil) throws {
    let file = path + "/" + PairFolder.fileName
    guard PairFolder.isOne(path) else {
      guard OutputPlace.kind(of: path) == S_IFDIR else {
        throw DataError(
          path, found: "no such folder", expected: "one with \(PairFolder.fileName)", remedy: "check the path")
      }
      throw DataError(
        path, found: "no \(PairFolder.fileName) in it",
        expected: "a line {\"image\": \"a.png\", \"caption\": \"…\"} for each item",
        remedy: "write it, or name another folder")
    }
    var files = PairFiles(try FolderWalk(path), in: path)
    var records: [PairRecord] = []
    var byMainFile: [String: Int] = [:]
    let lines = try readText(file, limit: 1 << 30).split(separator: 0x0A, omittingEmptySubsequences: false)
    for (number, bytes) in lines.enumerated() {
      guard bytes.contains(where: { $0 > 0x20 }) else { continue }
      var record = try PairRecord(bytes, place: "\(file):\(number + 1)")
      record.files = try files.find(record)
      guard let known = byMainFile[record.mainFile] else {
        byMainFile[record.mainFile] = records.count
        records.append(record)
        continue
      }
      try records[known].add(record)
    }
    guard !records.isEmpty else { throw DataError(file, found: "no pairs in it", expected: "at least one line") }
    leftOutFiles = try files.requireCaptions(
      named: records.flatMap { $0.files.values.joined() },
      formats: SampleFormat.registry.values.filter { format in records.contains { $0.files[format.field] != nil } })
    let own = Set(records.compactMap(\.label)).sorted()
    let labels = known ?? own
    if let strange = records.first(where: { $0.label.map { !labels.contains($0) } ?? false }) {
      throw DataError(
        "\(strange.place)", found: "the label '\(strange.label ?? "")' is unknown to the model",
        expected: "\(labels.isEmpty ? "none" : ImageFolder.abbreviated(labels))", remedy: "mend or remove the line")
    }
    self.path = path
    self.labels = labels
    missing = labels.filter { !own.contains($0) }
    sets = try PairFolder.divide(records, path: path, labels: labels, share: validationShare, seed: seed)
  }

  /// The pairs of a split.
  public subscript(split: DatasetSplit) -> PairSet { sets[split]! }

  /// What should be said about the folder before it is used.
  public var notes: [String] {
    var notes: [String] = []
    if !missing.isEmpty {
      notes.append(
        "\(path) has no images of \(missing.count) of \(labels.count) labels (\(ImageFolder.abbreviated(missing))), which count 0"
      )
    }
    if let text = leftOutFiles.text { notes.append("\(path): \(text)") }
    return notes
  }

  /// How many images a pass over the data shows in training, where it is not all of them.
  package var groupNote: String? {
    let (images, groups) = (self[.train].count, self[.train].groups.count)
    guard groups < images else { return nil }
    return
      "\(path): the \(images) images for training form \(groups) group\(groups == 1 ? "" : "s"); a pass over the data shows one image of each"
  }

  private static func divide(
    _ records: [PairRecord], path: String, labels: [String], share: Double, seed: UInt64
  ) throws -> [DatasetSplit: PairSet] {
    let labelNumber = Dictionary(labels.enumerated().map { ($1, Int32($0)) }) { first, _ in first }
    let sides = try PairSides(records, path: path, share: share, seed: seed)
    var groupNumber: [String: Int] = [:]
    var items: [DatasetSplit: [PairItem]] = [:]
    for (index, record) in records.enumerated() {
      let number = groupNumber[record.groupName, default: groupNumber.count]
      groupNumber[record.groupName] = number
      guard let side = sides[index] else { continue }
      items[side, default: []].append(
        PairItem(
          files: record.files.mapValues { $0.map { FilePath.join(path, $0) } }, captions: record.captions,
          label: record.label.flatMap { labelNumber[$0] } ?? -1, group: number, gallery: record.gallery ?? "",
          place: record.place))
    }
    let present = Set(records.compactMap(\.label))
    let ownLabels = labels.filter(present.contains)
    return try Dictionary(
      uniqueKeysWithValues: DatasetSplit.allCases.map { split in
        guard let members = items[split] else {
          throw DataError(
            "\(path)/\(fileName)", found: "no pairs for \(split.rawValue)",
            remedy: "name a split in the lines, or set data.validation_share so that both parts get some")
        }
        return (split, PairSet(split: split, labels: labels, ownLabels: ownLabels, items: members))
      })
  }
}
