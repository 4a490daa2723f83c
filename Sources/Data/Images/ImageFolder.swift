import Foundation
import MMoEFiles

/// The images of one split, sorted by class and file name.
public struct ImageSet: Sendable {
  public let split: DatasetSplit
  /// Class names, sorted; a label is an index into them.
  public let classes: [String]
  /// Every image's path and label, sorted by class, then by name.
  public let images: [Entry]
  /// Images of which training draws one in a pass over the data, such as the variants of one emoji; nil = every image
  /// stands for itself.
  public let groups: [[Int]]?

  /// One image file.
  public struct Entry: Sendable, Equatable {
    public let path: String
    public let label: Int32

    public init(path: String, label: Int32) {
      self.path = path
      self.label = label
    }
  }

  public init(split: DatasetSplit, classes: [String], images: [Entry], groups: [[Int]]? = nil) {
    self.split = split
    self.classes = classes
    self.images = images
    self.groups = groups
  }

  public var count: Int { images.count }
  /// Images that a pass over the data shows in training.
  public var drawnCount: Int { groups?.count ?? count }
}

/// A folder of PNG files in the ImageFolder layout: `train/<class>/*.png` and `val/<class>/*.png`.
///
/// Files in folders below a class belong to it, and links are followed. What is no PNG file is left out and counted
/// (`leftOut`). An image in another format is an error: leaving it out would train on less than the user thinks.
public struct ImageFolder: Sendable {
  public let path: String
  /// Class names in canonical composition (NFC), sorted by bytes; the same for every split.
  public let classes: [String]
  /// Files and folders that are not used.
  public let leftOut: LeftOut
  /// Classes of the model that an evaluation set has no folder for.
  public let missing: [String]
  private let sets: [DatasetSplit: ImageSet]

  /// Lists the files of the given splits; opens none of them.
  ///
  /// - Parameter known: the class names that a model has, by number; nil = those of the folder. The part for training must
  ///   have them all, and `val` with it; `val` alone may lack some.
  /// - Throws: `DataError` for a missing or empty folder, a class without images, images that are not PNG, classes that
  ///   differ between the splits, and classes that are not known.
  public init(path: String, splits: [DatasetSplit] = DatasetSplit.allCases, known: [String]? = nil) throws {
    let root = try RootListing(path)
    let found = try splits.map { try SplitListing($0, root) }
    for one in found.dropFirst() { try ImageFolder.requireEqualClasses(found[0], one, root: path) }
    let own = found.first?.classes ?? []
    let classes = known ?? own
    let number = Dictionary(classes.enumerated().map { ($1, Int32($0)) }) { first, _ in first }
    missing = classes.filter { !own.contains($0) }
    let unknown = own.filter { number[$0] == nil }
    guard unknown.isEmpty, missing.isEmpty || splits == [.val] else {
      throw ImageFolder.differing(found[0], unknown: unknown, missing: missing, classes, of: path)
    }
    self.path = path
    self.classes = classes
    leftOut = found.reduce(into: root.leftOut(splits)) { $0.add($1.leftOut, below: $1.split.rawValue) }
    sets = Dictionary(
      uniqueKeysWithValues: found.map { listing in
        let images = listing.files.flatMap { name, files in
          files.map { ImageSet.Entry(path: $0, label: number[name] ?? -1) }
        }
        return (listing.split, ImageSet(split: listing.split, classes: classes, images: images))
      })
  }

  /// The images of a split.
  ///
  /// - Throws: `DataError` when the folder was opened without that split.
  public subscript(split: DatasetSplit) -> ImageSet {
    get throws {
      guard let set = sets[split] else {
        throw DataError(path, found: "the split \(split.rawValue) was not opened")
      }
      return set
    }
  }

  /// What should be said about the folder before it is used: what it lacks, and what is left out.
  public var notes: [String] {
    var notes: [String] = []
    if !missing.isEmpty {
      notes.append(
        "\(path) has no images of \(missing.count) of \(classes.count) classes (\(ImageFolder.abbreviated(missing))), which count 0"
      )
    }
    return notes + [leftOut.text].compactMap { $0.map { "\(path): \($0)" } }
  }

  private static func requireEqualClasses(_ train: SplitListing, _ val: SplitListing, root: String) throws {
    guard train.classes != val.classes else { return }
    let onlyTrain = train.classes.filter { !val.classes.contains($0) }
    let onlyVal = val.classes.filter { !train.classes.contains($0) }
    let parts = [("train", onlyTrain), ("val", onlyVal)].filter { !$0.1.isEmpty }
      .map { "only in \($0.0): " + abbreviated($0.1) }
    throw DataError(
      root, found: "the classes of train and val differ (\(parts.joined(separator: "; ")))",
      remedy: "both need the same class folders")
  }

  private static func differing(
    _ listing: SplitListing, unknown: [String], missing: [String], _ classes: [String], of root: String
  ) -> DataError {
    let parts = [("unknown to the model", unknown), ("missing", missing)].filter { !$0.1.isEmpty }
      .map { "\($0.0): \(abbreviated($0.1))" }
    return DataError(
      "\(root)/\(listing.split.rawValue): its \(listing.classes.count) classes differ from the model's \(classes.count) (\(parts.joined(separator: "; "))); expected \(abbreviated(classes)); use the data that the model was trained on, or move other classes out of the folder"
    )
  }

  /// At most five names, then how many more there are.
  static func abbreviated(_ names: [String]) -> String {
    let shown = names.prefix(5).joined(separator: ", ")
    return names.count > 5 ? "\(shown) and \(names.count - 5) more" : shown
  }
}
