import Foundation
import MMoEFiles

/// What one part of a data set holds: a digest of its content, and counts.
///
/// The digest depends on nothing but what is learned from: neither on where files are nor on when they were written. Parts of equal
/// digests give the same batches.
public struct DataPart: Sendable, Equatable, Codable {
  /// XXH3-128 in 32 hexadecimal digits.
  public let digest: String
  /// How much there is, by its unit, such as `images`.
  public let counts: [String: Int]

  public init(digest: String, counts: [String: Int]) { (self.digest, self.counts) = (digest, counts) }

  /// `12,000 images, 10 classes, digest 0123abcd`.
  package var summary: String {
    let numbers = counts.sorted { ($1.value, $0.key) < ($0.value, $1.key) }
    func unit(_ name: String) -> String { String(name.dropLast(name.hasSuffix("classes") ? 2 : 1)) }
    let words = numbers.map { "\($0.value) \($0.value == 1 ? unit($0.key) : $0.key), " }
    return words.joined() + "digest " + digest.prefix(8)
  }

  /// The part together with others that are mixed into it.
  ///
  /// - Parameter others: by a name that says what they are for.
  package func mixed(with others: [(name: String, part: DataPart)]) -> DataPart {
    guard !others.isEmpty else { return self }
    let hasher = ContentHasher()
    hasher.add(digest)
    var counts = counts
    for (name, part) in others {
      hasher.add(name)
      hasher.add(part.digest)
      for (unit, count) in part.counts { counts["\(name) \(unit)"] = count }
    }
    return DataPart(digest: hasher.value.name, counts: counts)
  }
}

extension DataPart {
  /// What is read of pictures. Up to `wholeBytes` in a split all of them are. Beyond it the names and sizes of all count, and
  /// the content of at most `files`, evenly spread: reading a hundred gigabytes before every run would cost more than it tells.
  struct Sampling {
    var wholeBytes = 1 << 30
    var files = 4096
  }

  /// The images of a split: names below the split's folder, labels and content.
  ///
  /// - Parameter root: the data set's folder.
  /// - Throws: `DataError` for a file that cannot be read.
  public init(_ set: ImageSet, root: String) throws { try self.init(set, root: root, Sampling()) }

  init(_ set: ImageSet, root: String, _ sampling: Sampling) throws {
    let files = try DataPart.hashes(set.images.map(\.path), sampling)
    let hasher = ContentHasher()
    for name in set.classes { hasher.add(name) }
    for (image, file) in zip(set.images, files) {
      hasher.add(DataPart.relative(image.path, to: root))
      hasher.add("\(image.label) \(file)")
    }
    self.init(digest: hasher.value.name, counts: ["images": set.count, "classes": set.classes.count])
  }

  /// The pairs of a split: names, captions, labels, groups, galleries and files.
  ///
  /// - Throws: `DataError` for a file that cannot be read.
  public init(_ set: PairSet, root: String) throws {
    let formats = SampleFormat.registry.values
    let paths = formats.flatMap { format in set.items.flatMap { $0[format.field] } }
    let hashes = Dictionary(zip(paths, try DataPart.hashes(paths, Sampling()))) { first, _ in first }
    let hasher = ContentHasher()
    for name in set.ownLabels { hasher.add(name) }
    var counts = ["captions": 0]
    for item in set.items {
      let files = formats.flatMap { format in item[format.field].map { (format, $0) } }
      // Pictures came first, and folders of pictures alone keep the digests that checkpoints have of them.
      for (number, (format, path)) in files.enumerated() {
        hasher.add(DataPart.relative(path, to: root))
        hasher.add(number == 0 ? "\(item.label) \(item.group) \(hashes[path]!)" : "\(format.field) \(hashes[path]!)")
        counts[format.plural, default: 0] += 1
      }
      hasher.add(item.gallery)
      for caption in item.captions { hasher.add(caption) }
      counts["captions"]! += item.captions.count
    }
    self.init(digest: hasher.value.name, counts: counts)
  }

  /// The tokens of a split. Shards carry checksums of their content, so nothing is read.
  public init(_ corpus: TokenCorpus) {
    let hasher = ContentHasher()
    hasher.add("\(corpus.fingerprint) \(corpus.vocabularySize)")
    for shard in corpus.shards { hasher.add("\(shard.tokens) \(shard.checksum)") }
    self.init(digest: hasher.value.name, counts: ["tokens": corpus.tokens, "documents": corpus.documents])
  }

  /// What tells files apart: size and content, or size alone of those that are not read.
  private static func hashes(_ paths: [String], _ sampling: Sampling) throws -> [String] {
    let sizes = try paths.mapInParallel { try fileSize($0) }
    let isWhole = sizes.reduce(0, +) <= sampling.wholeBytes
    let step = max(1, (paths.count + sampling.files - 1) / sampling.files)
    return try Array(zip(paths, sizes).enumerated()).mapInParallel { index, file in
      guard isWhole || index % step == 0 else { return "\(file.1)" }
      return "\(file.1) \(try ContentHash(file: file.0).name)"
    }
  }

  private static func relative(_ path: String, to root: String) -> String {
    let (path, root) = (Array(path.utf8), Array((root + "/").utf8))
    return String(decoding: path.starts(with: root) ? path[root.count...] : path[...], as: UTF8.self)
  }
}
