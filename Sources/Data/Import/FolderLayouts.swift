import MMoEFiles

/// Folders of image files.
enum FolderLayouts {
  /// `train/<class>/…` with `val/<class>/…`, or with `val/…` and a list that names the class of each image.
  static let divided = ImportLayout { source, options in
    guard let train = folder(.train, of: source) else { return nil }
    let learned = source.classes(in: train)
    guard !learned.images.isEmpty else {
      throw DataError(
        source.place(train), found: "no class folders", expected: ImportLayout.shortForm,
        remedy: "put the images of each class into a folder of their own")
    }
    var leftOut = learned.leftOut
    for name in learned.loose { leftOut.add("images beside class folders", name) }
    guard let val = folder(.val, of: source) else {
      if let list = options.validationList {
        throw DataError(list, found: "a list of validation images, but \(source.place("val")) is missing")
      }
      for name in source.names where !name.hasPrefix(train) { leftOut.add("files beside train", name) }
      return ImportPlan(
        layout: "a train folder", items: items(learned.images, in: train, split: nil), leftOut: leftOut)
    }
    for name in source.names where !name.hasPrefix(train) && !name.hasPrefix(val) {
      leftOut.add("files beside \(train.dropLast()) and \(val.dropLast())", name)
    }
    let held = source.classes(in: val)
    leftOut.add(held.leftOut)
    let classes = Set(learned.images.map(\.className))
    let training = items(learned.images, in: train, split: .train)
    if let list = try ValidationList(of: source, in: val, options) {
      let images = (held.images.map(\.name) + held.loose).sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
      let named = try list.classes(of: images, known: classes.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) })
      return ImportPlan(
        layout: "train folders and a list of validation images",
        items: training + items(named, in: val, split: .val, isFlat: true), leftOut: leftOut, usesList: true)
    }
    guard !held.images.isEmpty else {
      throw DataError(
        source.place(val), found: "images without class folders",
        expected: "class folders, or a list of the images' classes",
        remedy: "name the official list with --validation-list FILE")
    }
    for name in held.loose { leftOut.add("images beside class folders", name) }
    let others = Set(held.images.map(\.className))
    guard classes == others else {
      let parts = [(train, classes.subtracting(others)), (val, others.subtracting(classes))].filter { !$0.1.isEmpty }
        .map { "only in \($0.0.dropLast()): \(ImageFolder.abbreviated($0.1.sorted()))" }
      throw DataError(
        source.place(""),
        found: "the classes of \(train.dropLast()) and \(val.dropLast()) differ (\(parts.joined(separator: "; ")))",
        remedy: "both need the same class folders")
    }
    return ImportPlan(
      layout: "train and val folders", items: training + items(held.images, in: val, split: .val), leftOut: leftOut)
  }

  /// `<class>/…` alone.
  static let classes = ImportLayout { source, _ in
    let found = source.classes(in: "")
    // All of them in one folder: it may hold the class folders, unless it is a class itself.
    guard Set(found.images.map(\.className)).count > 1 else {
      guard found.loose.isEmpty, let below = source.below, below.classes(in: "").images.isEmpty,
        let name = found.images.first?.className
      else { return nil }
      throw DataError(
        source.place(""), found: "one class folder (\(name))", expected: "at least two classes",
        remedy: "a folder of the images of each class is needed")
    }
    try requireOneLevel(found.images, source)
    var leftOut = found.leftOut
    for name in found.loose { leftOut.add("images beside class folders", name) }
    return ImportPlan(layout: "class folders", items: items(found.images, in: "", split: nil), leftOut: leftOut)
  }

  /// Folders below a class belong to it. Where each of them has several and no image beside them, these are the classes, of several
  /// data sets.
  ///
  /// - Throws: `DataError` naming two of the folders.
  private static func requireOneLevel(_ images: [(name: String, className: String)], _ source: ImportSource) throws {
    var below: [String: Set<Substring>] = [:]
    for (name, className) in images {
      let parts = name.split(separator: "/")
      guard parts.count > 2 else { return }
      below[className, default: []].insert(parts[1])
    }
    guard below.values.allSatisfy({ $0.count > 1 }), let first = below.keys.min(), let inside = below[first] else {
      return
    }
    throw DataError(
      source.place(""),
      found:
        "folders of folders of images (such as \(first) with \(ImageFolder.abbreviated(inside.map(String.init).sorted())))",
      expected: "a folder of images per class",
      remedy: "import \(source.place(first)) and the others each by itself, or unpack it and name one")
  }

  /// The folder of a split by one of its names, with a slash behind it.
  private static func folder(_ split: DatasetSplit, of source: ImportSource) -> String? {
    ([split.rawValue] + RootListing.aliases(split)).map { $0 + "/" }.first { folder in
      source.names.contains { $0.hasPrefix(folder) }
    }
  }

  /// - Parameter isFlat: whether the class is no part of the path.
  private static func items(
    _ images: [(name: String, className: String)], in folder: String, split: DatasetSplit?, isFlat: Bool = false
  ) -> [ImportItem] {
    images.map { name, className in
      let rest = name.dropFirst(folder.count + (isFlat ? 0 : className.count + 1))
      // Tiny ImageNet keeps the images of a class in a folder of this name.
      let path = rest.hasPrefix("images/") ? rest.dropFirst("images/".count) : rest
      let stem = ClassListing.stem(String(path).replacing("/", with: "-"))
      return ImportItem(file: name, className: className, split: split, stem: String(stem))
    }
  }
}

/// Which class every image of a flat validation folder has, in the forms in which lists are published:
/// lines of an image's name and its class (Tiny ImageNet's `val_annotations.txt`, Caffe's `val.txt` with class numbers),
/// the comma-separated `LOC_val_solution.csv` of ImageNet's competition, or lines of classes alone, in the order of the images' names.
struct ValidationList {
  private let file: String
  private let lines: [String]

  /// Found in the source, or named.
  init?(of source: ImportSource, in folder: String, _ options: ImageImport.Options) throws {
    if let named = options.validationList {
      file = named
      lines = String(decoding: try readFile(named, limit: 256 << 20), as: UTF8.self)
        .split(whereSeparator: \.isNewline).map(String.init)
      return
    }
    let usual = ["\(folder)val_annotations.txt", "LOC_val_solution.csv", "val.txt", "\(folder)val.txt"]
    guard let name = usual.first(where: source.has) else { return nil }
    file = source.place(name)
    lines = try source.lines(name)
  }

  /// The images with their classes, in the images' order.
  ///
  /// - Parameters:
  ///   - images: paths, sorted.
  ///   - known: the classes that there are, sorted; numbers count in this order.
  /// - Throws: `DataError` for a line that names a missing image or an unknown class, and an image without a line.
  func classes(of images: [String], known: [String]) throws -> [(name: String, className: String)] {
    let classes = Set(known)
    func className(_ text: some StringProtocol, _ line: Int) throws -> String {
      let name = String(text)
      if classes.contains(name) { return name }
      if let number = Int(name), known.indices.contains(number) { return known[number] }
      throw DataError(
        "\(file):\(line)", found: "the class \(name)",
        expected: "one of the \(known.count) of the training images, such as \(known[0])")
    }
    var rows = lines.enumerated().map { (number: $0 + 1, fields: fields($1)) }.filter { !$0.fields.isEmpty }
    if rows.first?.fields.first == "ImageId" { rows.removeFirst() }
    guard rows.contains(where: { $0.fields.count > 1 }) else {
      guard rows.count == images.count else {
        throw DataError(
          file, found: "\(rows.count) classes", expected: "one for each of the \(images.count) validation images")
      }
      return try zip(images, rows).map { ($0, try className($1.fields[0], $1.number)) }
    }
    var byStem: [String: String] = [:]
    for image in images { byStem[String(ClassListing.stem(FilePath.name(of: image)))] = image }
    var found: [String: String] = [:]
    for row in rows {
      let name = FilePath.name(of: row.fields[0])
      guard let image = byStem[ImageFormat.reads(name) ? String(ClassListing.stem(name)) : name] else {
        throw DataError(
          "\(file):\(row.number)", found: "the image \(row.fields[0]), which is missing",
          expected: "names of validation images")
      }
      guard row.fields.count > 1 else {
        throw DataError("\(file):\(row.number)", found: "no class", expected: "an image's name and its class")
      }
      found[image] = try className(row.fields[1], row.number)
    }
    return try images.map { image in
      guard let name = found[image] else {
        throw DataError(file, found: "no line for \(image)", expected: "one for each validation image")
      }
      return (image, name)
    }
  }

  /// The words of a line, between commas, tabs or spaces.
  private func fields(_ line: String) -> [String] {
    line.split { $0 == "," || $0 == " " || $0 == "\t" }.map(String.init)
  }
}
