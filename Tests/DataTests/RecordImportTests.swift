import Foundation
import MMoEFiles
import Testing

@testable import MMoEData

/// Sources that keep many images in a file: CIFAR's, and idx files.
@Suite struct RecordImportTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private var out: String { folder.path + "/out" }

  private func importing(_ source: String) throws -> ImageImport.Summary {
    try ImageImport().run(folder.path + "/" + source, to: out)
  }

  private func image(_ name: String) throws -> RGBImage { try RGBImage(contentsOf: "\(out)/\(name)") }

  /// Planes of red, green and blue for image `number`.
  private func planes(_ number: Int) -> [UInt8] {
    (0..<3072).map { UInt8(truncatingIfNeeded: number * 7 + $0 * ($0 / 1024 + 1)) }
  }

  private func interleaved(_ planes: [UInt8]) -> [UInt8] {
    (0..<3072).map { planes[1024 * ($0 % 3) + $0 / 3] }
  }

  @Test(arguments: [1, 2]) func binary(labelBytes: Int) throws {
    let names =
      labelBytes == 1
      ? ["batches.meta.txt", "data_batch_1.bin", "test_batch.bin"] : ["fine_label_names.txt", "train.bin", "test.bin"]
    let classes = ["cat", "dog", "frog"]
    try folder.write("c/x/" + names[0], Array((classes.joined(separator: "\n") + "\n\n").utf8))
    for (part, name) in names.dropFirst().enumerated() {
      var bytes: [UInt8] = []
      for number in 0..<6 {
        bytes += [UInt8](repeating: 9, count: labelBytes - 1)
        bytes.append(UInt8(number % 3))
        bytes += planes(number + 10 * part)
      }
      try folder.write("c/x/" + name, bytes)
    }
    let summary = try importing("c")
    #expect((summary.layout, summary.train, summary.val) == ("CIFAR's binary files", 6, 6))
    let stem = labelBytes == 1 ? "test_batch" : "test"
    #expect(try image("val/dog/\(stem)-00004.png").pixels == interleaved(planes(14)))
    try FileManager.default.removeItem(atPath: out)
    try folder.write("c/x/" + names[1], [1, 2, 3])
    #expect(
      message { _ = try importing("c") }?.contains("3 bytes, expected a multiple of the \(3072 + labelBytes)") == true)
    try folder.write("c/x/" + names[1], [UInt8](repeating: 77, count: 3072 + labelBytes))
    #expect(message { _ = try importing("c") }?.contains("label of image 0 is 77, expected 0 to 2") == true)
  }

  /// Pickles as Python 2 (strings of bytes) and Python 3 (texts of Latin 1) write them with protocol 2.
  @Test(arguments: [false, true]) func pickles(isPython3: Bool) throws {
    var meta = PickleWriter()
    meta.dictionary { $0.entry("label_names") { $0.list(["cat", "dog"]) } }
    try folder.write("c/batches.meta", meta.file)
    for (part, name) in ["data_batch_1", "test_batch"].enumerated() {
      var batch = PickleWriter()
      batch.dictionary {
        $0.entry("batch_label") { $0.text("x") }
        $0.entry("labels") { $0.list([0, 1, 1]) }
        $0.entry("data") {
          $0.array((0..<3).flatMap { planes($0 + 10 * part) }, shape: [3, 3072], isLatin1: isPython3)
        }
        $0.entry("filenames") { $0.list(["tabby_\(part).png", "poodle_\(part).png", "pug_\(part).png"]) }
      }
      try folder.write("c/" + name, batch.file)
    }
    let summary = try importing("c")
    #expect((summary.layout, summary.train, summary.val) == ("CIFAR's Python files", 3, 3))
    #expect(try image("val/dog/pug_1.png").pixels == interleaved(planes(12)))
  }

  @Test func hostilePickles() throws {
    var evil = PickleWriter()
    evil.bytes += Array("cposix\nsystem\n".utf8)
    try folder.write("c/batches.meta", evil.file)
    try folder.write("c/test_batch", evil.file)
    #expect(
      message { _ = try importing("c") }?.contains("a pickle that calls posix.system, expected arrays alone") == true)
    // Whatever the bytes are, there is an answer.
    var good = PickleWriter()
    good.dictionary { $0.entry("label_names") { $0.list(["cat", "dog"]) } }
    for length in 0..<good.file.count {
      #expect(throws: DataError.self) { try Pickle.dictionary(Array(good.file.prefix(length)), "a") }
    }
    let deep = [UInt8](repeating: 0x85, count: 1 << 20)
    #expect(
      message { _ = try Pickle.dictionary([0x80, 2, 0x7D] + deep + [UInt8(ascii: ".")], "a") }?.contains("4096") == true
    )
    for code in UInt8.min...UInt8.max {
      _ = try? Pickle.dictionary([0x80, 2, code, code, 0x7D, code, UInt8(ascii: "."), UInt8(ascii: ".")], "a")
    }
  }

  @Test(arguments: [false, true]) func idx(isPacked: Bool) throws {
    func number(_ value: Int) -> [UInt8] { (0..<4).map { UInt8(value >> (24 - 8 * $0) & 255) } }
    func write(_ name: String, _ bytes: [UInt8]) throws {
      try folder.write("m/" + name + (isPacked ? ".gz" : ""), isPacked ? PackedText.gzip(bytes) : bytes)
    }
    for (part, count) in [("train", 12), ("t10k", 11)] {
      let pixels = (0..<count * 20).map { UInt8($0 % 251) }
      try write("\(part)-images-idx3-ubyte", number(0x803) + number(count) + number(4) + number(5) + pixels)
      try write("\(part)-labels-idx1-ubyte", number(0x801) + number(count) + (0..<count).map { UInt8($0 % 11) })
    }
    let summary = try importing("m")
    #expect((summary.layout, summary.classes, summary.train, summary.val) == ("idx files", 11, 12, 11))
    // Names sort as numbers do.
    #expect(try ImageFolder(path: out).classes.prefix(3) == ["00", "01", "02"])
    let image = try image("val/03/t10k-00003.png")
    #expect((image.width, image.height) == (5, 4))
    #expect(image.pixels == (60..<80).flatMap { [UInt8](repeating: UInt8($0), count: 3) })
    try FileManager.default.removeItem(atPath: out)
    try write("t10k-labels-idx1-ubyte", number(0x801) + number(10) + [UInt8](repeating: 0, count: 10))
    #expect(message { _ = try importing("m") }?.contains("11 images, expected as many as the 10 labels") == true)
    try write("t10k-images-idx3-ubyte", number(0x803) + number(1 << 30) + number(1 << 30) + number(1 << 30))
    #expect(message { _ = try importing("m") }?.contains("0 bytes for the sizes") == true)
  }
}

/// Writes the part of Python's pickles that data sets of arrays use, by protocol 2.
struct PickleWriter {
  var bytes: [UInt8] = [0x80, 2]

  var file: [UInt8] { bytes + [UInt8(ascii: ".")] }

  mutating func dictionary(_ entries: (inout PickleWriter) -> Void) {
    bytes += Array("}(".utf8)
    entries(&self)
    bytes.append(UInt8(ascii: "u"))
  }

  mutating func entry(_ name: String, _ value: (inout PickleWriter) -> Void) {
    text(name)
    value(&self)
  }

  mutating func text(_ value: String) { bytes += [UInt8(ascii: "U"), UInt8(value.utf8.count)] + Array(value.utf8) }

  mutating func list(_ values: [String]) {
    bytes += Array("](".utf8)
    for value in values { text(value) }
    bytes.append(UInt8(ascii: "e"))
  }

  mutating func list(_ values: [Int]) {
    bytes += Array("](".utf8)
    for value in values { bytes += [UInt8(ascii: "K"), UInt8(value)] }
    bytes.append(UInt8(ascii: "e"))
  }

  /// As numpy reduces an array of bytes: `_reconstruct(ndarray, (0,), b'b')` and a state.
  mutating func array(_ content: [UInt8], shape: [Int], isLatin1: Bool) {
    bytes += Array("cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\u{0}".utf8) + [0x85]
    string(Array("b".utf8), isLatin1: isLatin1)
    bytes += [0x87, UInt8(ascii: "R"), UInt8(ascii: "("), UInt8(ascii: "K"), 1]
    for side in shape { bytes += [UInt8(ascii: "M"), UInt8(side & 255), UInt8(side >> 8)] }
    bytes += [0x86] + Array("cnumpy\ndtype\n".utf8)
    text("u1")
    bytes += Array("K\u{0}K\u{1}".utf8) + [0x87, UInt8(ascii: "R")]
    // The state of a dtype is not looked at.
    bytes += Array("(K\u{3}".utf8)
    text("|")
    bytes += Array("NNNtb".utf8) + [0x89]
    string(content, isLatin1: isLatin1)
    bytes += Array("tb".utf8)
  }

  private mutating func string(_ content: [UInt8], isLatin1: Bool) {
    let coded = isLatin1 ? Array(String(String.UnicodeScalarView(content.map { UnicodeScalar($0) })).utf8) : content
    if isLatin1 { bytes += Array("c_codecs\nencode\n".utf8) }
    bytes.append(UInt8(ascii: isLatin1 ? "X" : "T"))
    bytes += (0..<4).map { UInt8(coded.count >> (8 * $0) & 255) } + coded
    if isLatin1 {
      bytes += Array("X\u{6}\u{0}\u{0}\u{0}latin1".utf8) + [0x86, UInt8(ascii: "R")]
    }
  }
}

/// Tar archives, the form of 1988 (POSIX ustar), by hand.
struct TarWriter {
  private var bytes: [UInt8] = []

  var file: [UInt8] { bytes + [UInt8](repeating: 0, count: 1024) }

  /// - Parameter claimed: the size that the header says, where it lies.
  mutating func add(_ name: String, _ content: [UInt8], type: Character = "0", link: String = "", claimed: Int? = nil) {
    var header = [UInt8](repeating: 0, count: 512)
    func put(_ text: String, _ place: Int) { header.replaceSubrange(place..<place + text.utf8.count, with: text.utf8) }
    func octal(_ value: Int, _ digits: Int) -> String {
      let text = String(value, radix: 8)
      return String(repeating: "0", count: digits - text.count) + text
    }
    put(name, 0)
    put("0000644", 100)
    put(octal(claimed ?? content.count, 11), 124)
    put("        ", 148)
    put(String(type), 156)
    put(link, 157)
    put("ustar", 257)
    put("00", 263)
    put(octal(header.reduce(0) { $0 + Int($1) }, 6), 148)
    header[154] = 0
    bytes += header + content + [UInt8](repeating: 0, count: (512 - content.count % 512) % 512)
  }
}
