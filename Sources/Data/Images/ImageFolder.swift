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

    package init(path: String, label: Int32) {
      self.path = path
      self.label = label
    }
  }

  package init(split: DatasetSplit, classes: [String], images: [Entry], groups: [[Int]]? = nil) {
    self.split = split
    self.classes = classes
    self.images = images
    self.groups = groups
  }

  public var count: Int { images.count }
  /// Images that a pass over the data shows in training.
  package var drawnCount: Int { groups?.count ?? count }
}

/// A folder of images in the ImageFolder layout: `train/<class>/*.jpg` and `val/<class>/*.jpg`, or `<class>/*.jpg` alone, which is
/// divided by content (`ContentSplit`).
///
/// Files in folders below a class belong to it, and links are followed. What is no image is left out and counted
/// (`leftOut`). An image of a format that is not read is an error: leaving it out would train on less than the user thinks.
public struct ImageFolder: Sendable {
  /// The file in which `mmoe data import images` says where a folder's images come from.
  static let manifestName = "manifest.json"

  public let path: String
  /// Images of formats that are not read, in a folder that is only looked at: training refuses it for the first one.
  package let refused: [String]
  /// Class names in canonical composition (NFC), sorted by bytes; the same for every split.
  public let classes: [String]
  /// Files and folders that are not used.
  package let leftOut: LeftOut
  /// Classes of the model that an evaluation set has no folder for.
  package let missing: [String]
  /// How class folders without splits were divided; nil where the folder has splits.
  private let division: String?
  private let sets: [DatasetSplit: ImageSet]

  /// Lists the files of the given splits. Of class folders without splits it reads the beginning of every file, else none.
  ///
  /// - Parameters:
  ///   - known: the class names that a model has, by number; nil = those of the folder. The part for training must
  ///     have them all, and `val` with it; `val` alone may lack some.
  ///   - validationShare: of the images of each class, where the folder has no splits.
  /// - Throws: `DataError` for a missing or empty folder, a class without images, images of formats that are not read, classes that
  ///   differ between the splits, and classes that are not known.
  public init(
    path: String, splits: [DatasetSplit] = DatasetSplit.allCases, known: [String]? = nil, validationShare: Double = 0.1
  ) throws {
    try self.init(path, splits: splits, known: known, validationShare: validationShare, refuses: true)
  }

  /// Lists a folder that is only looked at: images of formats that are not read are in `refused`.
  package init(lookingAt path: String, validationShare: Double) throws {
    try self.init(
      path, splits: DatasetSplit.allCases, known: nil, validationShare: validationShare, refuses: false)
  }

  private init(
    _ path: String, splits: [DatasetSplit], known: [String]?, validationShare: Double, refuses: Bool
  ) throws {
    let root = try RootListing(path)
    let listings: [ClassListing]
    if root.isUndivided {
      let listing = try ClassListing(path, refuses: refuses)
      try ImageFolder.requireClasses(listing)
      listings = [listing]
    } else {
      listings = try splits.map {
        try root.requireSplit($0)
        return try ClassListing("\(path)/\($0.rawValue)", refuses: refuses)
      }
      for one in listings.dropFirst() { try ImageFolder.requireEqualClasses(listings[0], one, root: path) }
    }
    let own = listings.first?.classes ?? []
    let classes = known ?? own
    let number = Dictionary(classes.enumerated().map { ($1, Int32($0)) }) { first, _ in first }
    missing = classes.filter { !own.contains($0) }
    let unknown = own.filter { number[$0] == nil }
    guard unknown.isEmpty, missing.isEmpty || splits == [.val] else {
      throw ImageFolder.differing(listings[0], unknown: unknown, missing: missing, classes)
    }
    self.path = path
    self.classes = classes
    refused = listings.flatMap(\.refused)
    func entries(_ listing: ClassListing) -> [ImageSet.Entry] {
      listing.files.flatMap { name, files in files.map { ImageSet.Entry(path: $0, label: number[name] ?? -1) } }
    }
    if root.isUndivided {
      let images = entries(listings[0])
      let split = try ContentSplit(
        contents: images.mapInParallel { try ContentSplit.content(of: $0.path) },
        labels: listings[0].files.enumerated().flatMap { label, entry in entry.files.map { _ in label } }, classes: own,
        share: validationShare, of: path)
      func part(_ isForValidation: Bool) -> [ImageSet.Entry] {
        zip(images, split.isForValidation).filter { $0.1 == isForValidation }.map(\.0)
      }
      let parts = [DatasetSplit.train: part(false), .val: part(true)]
      leftOut = listings[0].leftOut
      division =
        "\(path) has no train and val folders: \(part(true).count) of \(images.count) images, chosen by their content, are for validation (data.validation_share \(validationShare))"
      sets = Dictionary(
        uniqueKeysWithValues: splits.map { ($0, ImageSet(split: $0, classes: classes, images: parts[$0] ?? [])) })
    } else {
      leftOut = zip(splits, listings).reduce(into: root.leftOut(splits)) { $0.add($1.1.leftOut, below: $1.0.rawValue) }
      division = nil
      sets = Dictionary(
        uniqueKeysWithValues: zip(splits, listings).map {
          ($0, ImageSet(split: $0, classes: classes, images: entries($1)))
        })
    }
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

  /// - Throws: `DataError` for one class, which every model has learned from the beginning.
  package func requireSeveralClasses() throws(DataError) {
    guard classes.count < 2 else { return }
    throw DataError(
      path, found: "one class (\(classes.joined()))", expected: "at least two", remedy: "add images of another class")
  }

  /// What should be said about the folder before it is used: what it lacks, and what is left out.
  public var notes: [String] {
    var notes = [division].compactMap { $0 }
    if !missing.isEmpty {
      notes.append(
        "\(path) has no images of \(missing.count) of \(classes.count) classes (\(ImageFolder.abbreviated(missing))), which count 0"
      )
    }
    return notes + [leftOut.text].compactMap { $0.map { "\(path): \($0)" } }
  }

  /// Class folders without splits might be something else: a folder of pictures, or of data sets.
  private static func requireClasses(_ listing: ClassListing) throws {
    for name in listing.classes {
      let folder = "\(listing.path)/\(name)"
      if DatasetSplit.allCases.allSatisfy({ FileManager.default.fileExists(atPath: "\(folder)/\($0.rawValue)") }) {
        throw DataError(
          listing.path, found: "the folder \(name) has train and val folders", expected: RootListing.layout,
          remedy: "name \(folder)")
      }
    }
    guard listing.classes.count > 1 else {
      throw DataError(
        listing.path, found: "one class folder (\(listing.classes[0]))", expected: "at least two classes",
        remedy: "a folder of the images of each class is needed: DIR/<class>/IMAGES")
    }
  }

  private static func requireEqualClasses(_ train: ClassListing, _ val: ClassListing, root: String) throws {
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
    _ listing: ClassListing, unknown: [String], missing: [String], _ classes: [String]
  ) -> DataError {
    let parts = [("unknown to the model", unknown), ("missing", missing)].filter { !$0.1.isEmpty }
      .map { "\($0.0): \(abbreviated($0.1))" }
    return DataError(
      "\(listing.path): its \(listing.classes.count) classes differ from the model's \(classes.count) (\(parts.joined(separator: "; "))); expected \(abbreviated(classes)); use the data that the model was trained on, or move other classes out of the folder"
    )
  }

  /// At most five names, then how many more there are.
  static func abbreviated(_ names: [String]) -> String {
    let shown = names.prefix(5).joined(separator: ", ")
    return names.count > 5 ? "\(shown) and \(names.count - 5) more" : shown
  }
}
