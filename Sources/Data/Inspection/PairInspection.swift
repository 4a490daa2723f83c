import Foundation
import MMoEFiles

/// What a folder of pairs holds: items, captions, files, duplicates and bad files. What `mmoe data inspect` shows.
package struct PairInspection: Sendable, Codable, Equatable {
  /// Files of one field.
  package struct FieldCount: Sendable, Codable, Equatable {
    package let field: String
    package let files: Int
    /// Items that have at least one.
    package let items: Int
  }

  package struct Part: Sendable, Codable, Equatable {
    package let split: DatasetSplit
    package let items: Int
    /// Of which a pass over the training data shows one item each.
    package let groups: Int
    package let captions: Int
    package let fields: [FieldCount]
  }

  /// The lengths of captions or recordings.
  package struct Lengths: Sendable, Codable, Equatable {
    package let shortest, median, longest: Double

    /// - Returns: nil for no lengths.
    init?(_ lengths: [Double]) {
      guard let first = lengths.min(), let last = lengths.max() else { return nil }
      (shortest, median, longest) = (first, lengths.sorted()[(lengths.count - 1) / 2], last)
    }
  }

  package let path: String
  /// What training says before it begins, such as files that are left out.
  package let notes: [String]
  package let parts: [Part]
  /// Items of each label; empty where none has one.
  package let labels: [DatasetInspection.ClassCount]
  /// Characters of the captions.
  package let captionCharacters: Lengths?
  /// Captions of the part for validation that are captions of the training part as well.
  package let sharedCaptions: Int
  /// Of images, the most frequent size first.
  package let sizes: [SizeCount]
  package let sizeRange: SizeRange?
  /// Of recordings.
  package let seconds: Lengths?
  /// By field: files with the same content once they are decoded.
  package let duplicates: [String: Duplicates]
  /// Files that cannot be decoded.
  package let badFiles: [BadFile]

  /// What is learned from one file.
  private struct Facts: Sendable {
    var size: SIMD2<Int>?
    var seconds: Double?
    var content: ContentHash?
    var reason: String?
  }

  /// Decodes every file, on all cores. Files of fields that other programs have registered are compared by their bytes.
  ///
  /// - Parameter progress: called when another file is done, from several threads, with the number of all.
  /// - Throws: `DataError` for what is wrong with the folder itself; bad files are part of the result.
  package init(_ folder: PairFolder, progress: (@Sendable (_ total: Int) -> Void)? = nil) throws {
    (path, notes) = (folder.path, folder.notes + [folder.groupNote].compactMap { $0 })
    let sets = DatasetSplit.allCases.map { folder[$0] }
    parts = sets.map { set in
      Part(
        split: set.split, items: set.count, groups: set.groups.count,
        captions: set.items.reduce(0) { $0 + $1.captions.count },
        fields: set.fields.map { field in
          FieldCount(
            field: field, files: set.items.reduce(0) { $0 + $1[field].count },
            items: set.items.count { !$0[field].isEmpty })
        })
    }
    labels = folder.labels.indices.map { label in
      func count(_ split: DatasetSplit) -> Int { folder[split].items.count { Int($0.label) == label } }
      return DatasetInspection.ClassCount(name: folder.labels[label], train: count(.train), val: count(.val))
    }
    captionCharacters = Lengths(sets.flatMap { $0.items.flatMap { $0.captions.map { Double($0.count) } } })
    let learned = Set(folder[.train].items.flatMap(\.captions))
    sharedCaptions = folder[.val].items.reduce(0) { $0 + $1.captions.count(where: learned.contains) }

    let files = sets.flatMap { set in
      set.items.flatMap { item in
        set.fields.flatMap { field in item[field].map { (set.split, field, item.label, path: $0) } }
      }
    }
    let facts = try files.mapInParallel { file in
      defer { progress?(files.count) }
      return PairInspection.look(at: file.path, file.1)
    }
    badFiles = zip(files, facts).compactMap { file, fact in fact.reason.map { BadFile(path: file.path, reason: $0) } }
    sizes = [SizeCount](counting: facts.lazy.compactMap(\.size))
    sizeRange = SizeRange(sizes)
    seconds = Lengths(facts.compactMap(\.seconds))
    var finders: [String: DuplicateFinder<Int>] = [:]
    for (place, (file, fact)) in zip(files, facts).enumerated() {
      guard let content = fact.content else { continue }
      finders[file.1, default: DuplicateFinder()].add(content, file.0, label: file.2, at: place)
    }
    duplicates = finders.mapValues { $0.result { files[$0].path } }
  }

  private static func look(at path: String, _ field: String) -> Facts {
    var facts = Facts()
    do {
      switch field {
      case SampleFormat.image.field:
        let image = try RGBImage(contentsOf: path)
        (facts.size, facts.content) = (SIMD2(image.width, image.height), ContentHash(image))
      case SampleFormat.audio.field:
        let recording = try Recording(contentsOf: path)
        facts.seconds = recording.seconds
        facts.content = recording.samples.withUnsafeBytes { ContentHash($0) }
      default: facts.content = try ContentHash(file: path)
      }
    } catch {
      facts.reason = "\(error)"
    }
    return facts
  }

  /// - Throws: `DataError` where there are files that cannot be decoded.
  package func requireUsable() throws(DataError) {
    guard let first = badFiles.first else { return }
    throw DataError(
      path, found: InspectionText.counted(badFiles.count, "file") + " cannot be decoded, such as \(first.path)",
      remedy: "replace them, or train with --on-bad-image skip")
  }

  /// The inspection for a terminal, at most `limit` labels, sizes and bad files each.
  package func text(limit: Int = 20) -> String {
    func count(_ split: DatasetSplit) -> Int { parts.first { $0.split == split }?.items ?? 0 }
    var lines = ["\(oneLine(path)): \(count(.train)) train and \(count(.val)) val items with captions", ""]
    for part in parts {
      let files = part.fields.map { "\($0.files) \($0.field) files" }
      let groups = part.groups < part.items ? ["\(part.groups) groups"] : []
      lines.append(
        "\(part.split.rawValue): "
          + (["\(part.items) items", "\(part.captions) captions"] + files + groups).joined(
            separator: ", "))
    }
    if let lengths = captionCharacters {
      lines.append(
        "characters of a caption: \(Int(lengths.shortest)) to \(Int(lengths.longest)), median \(Int(lengths.median))")
    }
    if sharedCaptions > 0 {
      lines.append(
        InspectionText.counted(sharedCaptions, "caption of val is one", "captions of val are some") + " of train, too")
    }
    if let seconds {
      lines.append(
        String(
          format: "seconds of a recording: %.2f to %.2f, median %.2f", seconds.shortest, seconds.longest, seconds.median
        ))
    }
    if !labels.isEmpty {
      lines += ["", InspectionText.row("label", "train", "val")]
      lines += labels.prefix(limit).map { InspectionText.row($0.name, "\($0.train)", "\($0.val)") }
      lines += InspectionText.rest(labels.count, limit, "labels")
    }
    if let sizeRange {
      lines += ["", InspectionText.row("size", "images")]
      lines += sizes.prefix(limit).map { InspectionText.row("\($0.width) x \($0.height)", "\($0.images)") }
      lines += InspectionText.rest(sizes.count, limit, "sizes")
      if sizeRange.distinct > 1 { lines.append(sizeRange.text) }
    }
    lines.append("")
    for (field, found) in duplicates.sorted(by: { $0.key < $1.key }) {
      lines += found.lines("\(field) files", by: "decoded content", limit: 5)
    }
    lines += InspectionText.badFiles(badFiles, limit)
    lines += notes.map(oneLine)
    return lines.joined(separator: "\n")
  }
}
