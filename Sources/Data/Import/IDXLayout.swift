import CCompress
import MMoEFiles

/// MNIST, Fashion-MNIST and others like them: grey images in `…images-idx3-ubyte` and their labels in `…labels-idx1-ubyte`, packed with
/// gzip or not; `train` and `t10k` (or `test`) in the names say the part. Classes are called by their numbers.
enum IDXLayout {
  static let layout = ImportLayout { source, options in
    var items: [ImportItem] = []
    var largest = 0
    for name in source.names {
      guard let place = name.range(of: "images-idx3-ubyte") ?? name.range(of: "images.idx3-ubyte") else { continue }
      let start = name[..<place.lowerBound]
      let split: DatasetSplit
      if start.contains("train") {
        split = .train
      } else if start.contains("t10k") || start.contains("test") {
        split = .val
      } else {
        continue
      }
      let labels = try labels(of: name, start, source)
      let file = try IDXFile(source.tree.read(source.prefix + name, limit: largestFile), source.place(name), sides: 3)
      guard file.sizes[0] == labels.count else {
        throw DataError(
          source.place(name), found: "\(file.sizes[0]) images",
          expected: "as many as the \(labels.count) labels beside them",
          remedy: "download both again")
      }
      largest = max(largest, labels.max() ?? 0)
      let word = String(start.drop { $0 == "/" }).split(separator: "/").last.map(String.init) ?? ""
      for (index, label) in labels.enumerated() {
        items.append(
          ImportItem(
            file: name, record: index, className: "\(label)", split: split, stem: "\(word)\(paddedNumber(index))")
        )
      }
    }
    guard !items.isEmpty else { return nil }
    guard Set(items.map { $0.split }).count == 2 else {
      throw DataError(
        source.place(""), found: "idx files of \(items[0].split == .train ? "train" : "t10k") alone",
        expected: "those of train and of t10k")
    }
    // Names sort as the numbers do.
    let digits = "\(largest)".count
    for index in items.indices {
      let name = items[index].className
      items[index].className = String(repeating: "0", count: digits - name.count) + name
    }
    var plan = ImportPlan(layout: "idx files", items: items)
    plan.openRecords = { file, bytes in try IDXFile(bytes, file, sides: 3) }
    return plan
  }

  private static let largestFile = 1 << 30

  private static func labels(of images: String, _ start: Substring, _ source: ImportSource) throws -> [Int] {
    let names = ["labels-idx1-ubyte", "labels.idx1-ubyte"].flatMap { ["\(start)\($0)", "\(start)\($0).gz"] }
    guard let name = names.first(where: source.has) else {
      throw DataError(source.place(images), found: "no \(names[0]) beside it", expected: "the labels of its images")
    }
    let file = try IDXFile(source.tree.read(source.prefix + name, limit: largestFile), source.place(name), sides: 1)
    return file.content.map(Int.init)
  }
}

/// An idx file of bytes: two zeros, the type, the number of sides, the sides as big-endian numbers, the bytes.
private struct IDXFile: RecordFile {
  let sizes: [Int]
  let content: ArraySlice<UInt8>

  init(_ file: [UInt8], _ place: String, sides: Int) throws {
    let bytes = file.starts(with: [0x1F, 0x8B]) ? try gunzip(file, place) : file
    let header = 4 + 4 * sides
    guard bytes.count >= header, bytes.starts(with: [0, 0, 8, UInt8(sides)]) else {
      throw DataError(
        place, found: "another beginning (\(hex(bytes.prefix(4))))", expected: "0000080\(sides), an idx file of bytes",
        remedy: "download it again")
    }
    sizes = (0..<sides).map { side in bytes[4 + 4 * side..<8 + 4 * side].reduce(0) { $0 << 8 | Int($1) } }
    let expected = sizes.reduce((value: 1, overflow: false)) { product, side in
      let (value, overflow) = product.value.multipliedReportingOverflow(by: side)
      return (value, product.overflow || overflow)
    }
    guard !expected.overflow, bytes.count - header == expected.value, !sizes.contains(0) else {
      throw DataError(
        place, found: "\(bytes.count - header) bytes for the sizes \(sizes)", expected: "their product",
        remedy: "download it again")
    }
    content = bytes[header...]
  }

  func image(at index: Int) -> RGBImage {
    let (height, width) = (sizes[1], sizes[2])
    let start = content.startIndex + index * height * width
    return RGBImage(
      width: width, height: height, pixels: content[start..<start + height * width].flatMap { [$0, $0, $0] })
  }
}

/// Unpacks a gzip file in memory.
///
/// - Throws: `DataError` for one that is damaged, cut, or unpacks to more than a gigabyte.
private func gunzip(_ bytes: [UInt8], _ place: String) throws -> [UInt8] {
  guard let decoder = mmoe_gzip_decoder() else { throw DataError(place, found: "no memory to unpack it") }
  defer { mmoe_decoder_free(decoder) }
  var result: [UInt8] = []
  var next = 0
  var chunk = [UInt8](repeating: 0, count: 1 << 20)
  while true {
    var (consumed, produced) = (0, 0)
    let status = bytes.withUnsafeBufferPointer { input in
      chunk.withUnsafeMutableBufferPointer {
        mmoe_decode(
          decoder, input.baseAddress! + next, bytes.count - next, &consumed, $0.baseAddress!, $0.count, &produced)
      }
    }
    guard status == MMOE_DECODED else {
      throw DataError(place, found: "a damaged gzip file", remedy: "download it again")
    }
    next += consumed
    result += chunk[..<produced]
    guard result.count <= 1 << 30 else { throw DataError(place, found: "more than a gigabyte when unpacked") }
    if consumed == 0 && produced == 0 { break }
  }
  guard next == bytes.count, mmoe_decoder_is_complete(decoder) else {
    throw DataError(place, found: "a gzip file that was cut", remedy: "download it again")
  }
  return result
}
