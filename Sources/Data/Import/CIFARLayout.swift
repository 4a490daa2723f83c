import MMoEFiles

/// CIFAR-10 and CIFAR-100 as their authors publish them: pictures of 32 × 32 pixels, in planes of red, green and blue, many to a file.
enum CIFARLayout {
  static let binary = ImportLayout { source, _ in
    if source.has("batches.meta.txt"), source.has("test_batch.bin") {
      let batches = (1...5).map { "data_batch_\($0).bin" }.filter(source.has)
      return try plan(source, names: "batches.meta.txt", train: batches, val: "test_batch.bin", labelBytes: 1)
    }
    guard source.has("fine_label_names.txt"), source.has("test.bin") else { return nil }
    return try plan(source, names: "fine_label_names.txt", train: ["train.bin"], val: "test.bin", labelBytes: 2)
  }

  static let python = ImportLayout { source, _ in
    if source.has("batches.meta"), source.has("test_batch") {
      let batches = (1...5).map { "data_batch_\($0)" }.filter(source.has)
      return try plan(source, meta: "batches.meta", "label_names", train: batches, val: "test_batch", labels: "labels")
    }
    guard source.has("meta"), source.has("train"), source.has("test") else { return nil }
    return try plan(
      source, meta: "meta", "fine_label_names", train: ["train"], val: "test", labels: "fine_labels")
  }

  private static let largestFile = 1 << 30

  private static func plan(
    _ source: ImportSource, names: String, train: [String], val: String, labelBytes: Int
  ) throws -> ImportPlan {
    let classes = try source.lines(names).map { $0.trimmingSpaces }.filter { !$0.isEmpty }
    var items: [ImportItem] = []
    for (file, split) in train.map({ ($0, DatasetSplit.train) }) + [(val, .val)] {
      let bytes = try source.tree.read(source.prefix + file, limit: largestFile)
      let batch = try BinaryBatch(bytes, labelBytes: labelBytes, place: source.place(file))
      for index in 0..<batch.count {
        items.append(
          try item(
            file, index, label: Int(batch.label(at: index)), classes, split,
            stem: "\(file.dropLast(".bin".count))-\(paddedNumber(index))", place: source.place(file)))
      }
    }
    var plan = ImportPlan(layout: "CIFAR's binary files", items: items)
    plan.openRecords = { file, bytes in try BinaryBatch(bytes, labelBytes: labelBytes, place: file) }
    return plan
  }

  private static func plan(
    _ source: ImportSource, meta: String, _ namesKey: String, train: [String], val: String, labels labelsKey: String
  ) throws -> ImportPlan {
    let place = source.place(meta)
    guard
      case .list(let names)? = try Pickle.dictionary(try source.tree.read(source.prefix + meta, limit: 1 << 20), place)[
        namesKey]
    else { throw DataError(place, field: namesKey, found: "missing", expected: "a list of class names") }
    let classes = names.values.compactMap(\.text)
    var items: [ImportItem] = []
    for (file, split) in train.map({ ($0, DatasetSplit.train) }) + [(val, .val)] {
      let batch = try PickledBatch(
        try source.tree.read(source.prefix + file, limit: largestFile), place: source.place(file), labelsKey: labelsKey)
      for (index, label) in batch.labels.enumerated() {
        let stem = batch.names.map { String(ClassListing.stem(FilePath.name(of: $0[index]))) }
        items.append(
          try item(
            file, index, label: label, classes, split, stem: stem ?? "\(file)-\(paddedNumber(index))",
            place: source.place(file)))
      }
    }
    var plan = ImportPlan(layout: "CIFAR's Python files", items: items)
    plan.openRecords = { file, bytes in try PickledBatch(bytes, place: file, labelsKey: labelsKey) }
    return plan
  }

  private static func item(
    _ file: String, _ index: Int, label: Int, _ classes: [String], _ split: DatasetSplit, stem: String, place: String
  ) throws -> ImportItem {
    guard classes.indices.contains(label) else {
      throw DataError(
        place, field: "label of image \(index)", found: "\(label)", expected: "0 to \(classes.count - 1)",
        remedy: "download it again")
    }
    return ImportItem(file: file, record: index, className: classes[label], split: split, stem: stem)
  }
}

/// Three planes of 32 × 32 bytes as an image.
private func planes(_ bytes: ArraySlice<UInt8>) -> RGBImage {
  let red = bytes.startIndex
  let (green, blue) = (red + 1024, red + 2048)
  var pixels: [UInt8] = []
  pixels.reserveCapacity(3072)
  for place in 0..<1024 { pixels += [bytes[red + place], bytes[green + place], bytes[blue + place]] }
  return RGBImage(width: 32, height: 32, pixels: pixels)
}

/// Labels of one or two bytes, each before its picture.
private struct BinaryBatch: RecordFile {
  private let bytes: [UInt8]
  private let labelBytes: Int
  let count: Int

  init(_ bytes: [UInt8], labelBytes: Int, place: String) throws {
    let record = labelBytes + 3072
    guard !bytes.isEmpty, bytes.count % record == 0 else {
      throw DataError(
        place, found: "\(bytes.count) bytes", expected: "a multiple of the \(record) of an image",
        remedy: "download it again")
    }
    (self.bytes, self.labelBytes, count) = (bytes, labelBytes, bytes.count / record)
  }

  /// CIFAR-100 has the coarse label first; the fine one is the class.
  func label(at index: Int) -> UInt8 { bytes[index * (labelBytes + 3072) + labelBytes - 1] }

  func image(at index: Int) -> RGBImage {
    let start = index * (labelBytes + 3072) + labelBytes
    return planes(bytes[start..<start + 3072])
  }
}

/// A pickled dictionary with an array of pictures, their labels and names.
private struct PickledBatch: RecordFile {
  let labels: [Int]
  let names: [String]?
  private let data: [UInt8]

  init(_ bytes: [UInt8], place: String, labelsKey: String) throws {
    let fields = try Pickle.dictionary(bytes, place)
    guard case .list(let values)? = fields[labelsKey] else {
      throw DataError(place, field: labelsKey, found: "missing", expected: "a list of labels")
    }
    labels = values.values.compactMap(\.integer)
    guard labels.count == values.values.count else {
      throw DataError(place, field: labelsKey, found: "something other than numbers", expected: "a list of labels")
    }
    data = try Pickle.bytes(of: fields["data"], shape: [labels.count, 3072], place)
    if case .list(let values)? = fields["filenames"], values.values.count == labels.count {
      names = values.values.map { $0.text ?? "" }
    } else {
      names = nil
    }
  }

  func image(at index: Int) -> RGBImage { planes(data[index * 3072..<(index + 1) * 3072]) }
}

extension StringProtocol {
  /// Without spaces at either end.
  fileprivate var trimmingSpaces: String {
    var text = self[...]
    while text.first?.isWhitespace == true { text.removeFirst() }
    while text.last?.isWhitespace == true { text.removeLast() }
    return String(text)
  }
}
