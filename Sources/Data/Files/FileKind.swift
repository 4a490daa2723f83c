import Foundation

/// What a file is that is neither text nor PNG, told by its first bytes: names lie, and everything can be read as bytes.
struct FileKind: Sendable, Equatable {
  /// With its article, such as `a zip archive`.
  let name: String
  /// What makes a text of it.
  let remedy: String
  /// What makes raw token ids of it, if anything does.
  var numbersRemedy: String?
  /// Whether it is a picture, which ImageMagick turns into PNG.
  var isImage = false

  /// Whether it is a table, such as Parquet.
  var isTable: Bool { remedy == FileKind.asLines }

  /// Bytes from the beginning of a file that are enough to tell: a tar header is the longest.
  static let sampleSize = 4096

  /// The kind of a file by its signature; nil for text, PNG and everything unknown.
  ///
  /// - Parameter length: bytes of the shortest signature that is believed.
  static func signed(_ sample: [UInt8], atLeast length: Int = 1) -> FileKind? {
    if let entry = table.first(where: { $0.length >= length && $0.fits(sample) }) { return entry.kind }
    if isTar(sample) {
      return FileKind(name: "a tar archive", remedy: unpack("tar xf FILE"), numbersRemedy: unpack("tar xf FILE"))
    }
    if isSafetensors(sample) {
      return FileKind(name: "a safetensors file", remedy: "weights go to `--init-from FOLDER`; " + noText)
    }
    return nil
  }

  /// Why the beginning of a file, unpacked, is no text in UTF-8; nil where it may be one.
  static func otherThanText(_ sample: [UInt8]) -> FileKind? {
    if let kind = wideUnicode(sample) ?? signed(sample) { return kind }
    if sample.starts(with: png) { return FileKind(name: "a PNG image", remedy: imageRemedy) }
    let controls = sample.count(where: isControl)
    guard controls * 20 > sample.count else { return nil }
    return FileKind(
      name: "binary data of no known kind, \(controls) of the first \(sample.count) bytes are control characters",
      remedy: "token ids go through `mmoe data import-bin FILE --vocabulary N --out DIR`; name a text")
  }

  /// The kind of a regular file; nil where it cannot be read or told.
  static func signed(file path: String) -> FileKind? {
    guard let handle = FileHandle(forReadingAtPath: path) else { return nil }
    defer { try? handle.close() }
    return (try? handle.read(upToCount: sampleSize)).flatMap { signed([UInt8]($0)) }
  }

  /// Whether bytes are printable throughout, as those of a text are, and ids of tokens are not.
  static func isPrintable(_ sample: [UInt8]) -> Bool { !sample.contains(where: isControl) }

  static let byteOrderMark: [UInt8] = [0xEF, 0xBB, 0xBF]
  /// The signature of PNG files.
  static let png: [UInt8] = [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]
  private static let imageRemedy =
    "`mmoe train --task imagenet-subset` learns from folders of images; name a text"

  /// Bytes that texts do not hold: control characters other than white space, backspace and escape.
  private static func isControl(_ byte: UInt8) -> Bool {
    switch byte {
    case 0x08...0x0D, 0x1B: false
    case 0..<0x20, 0x7F: true
    default: false
    }
  }

  // MARK: Unicode of wider units

  private static func wideUnicode(_ sample: [UInt8]) -> FileKind? {
    func kind(_ form: String, _ mark: String) -> FileKind {
      FileKind(name: "a text in \(form)\(mark)", remedy: "convert it (`iconv -f \(form) -t UTF-8 FILE > OUT`)")
    }
    // UTF-32's mark begins with that of UTF-16.
    if sample.starts(with: [0xFF, 0xFE, 0, 0]) || sample.starts(with: [0, 0, 0xFE, 0xFF]) {
      return kind("UTF-32", "")
    }
    if sample.starts(with: [0xFF, 0xFE]) || sample.starts(with: [0xFE, 0xFF]) { return kind("UTF-16", "") }
    guard sample.count >= 16 else { return nil }
    // Without a mark: every character of ASCII has one zero byte, always on the same side.
    for (form, zero) in [("UTF-16LE", 1), ("UTF-16BE", 0)] {
      let zeros = stride(from: zero, to: sample.count, by: 2).count { sample[$0] == 0 }
      let others = stride(from: 1 - zero, to: sample.count, by: 2).map { sample[$0] }
      if zeros * 4 > sample.count, others.count(where: isControl) * 20 <= others.count {
        return kind(form, " without a byte order mark")
      }
    }
    return nil
  }

  // MARK: Signatures

  private struct Entry: Sendable {
    let parts: [(offset: Int, bytes: [UInt8])]
    let kind: FileKind
    /// No text begins like this, though all of it are letters.
    var isSure = false

    var length: Int { parts.reduce(0) { $0 + $1.bytes.count } }

    /// A signature of letters alone may begin a text as well: then something in the file must be no text.
    func fits(_ sample: [UInt8]) -> Bool {
      guard parts.allSatisfy({ sample.dropFirst($0.offset).starts(with: $0.bytes) }) else { return false }
      return isSure || parts.contains { !FileKind.isPrintable($0.bytes) } || !FileKind.isPrintable(sample)
    }
  }

  /// The header of a tar archive, of any age: its checksum is right.
  private static func isTar(_ sample: [UInt8]) -> Bool {
    guard sample.count >= 512 else { return false }
    let digits = sample[148..<156].drop { $0 == 0x20 }.prefix { 0x30...0x37 ~= $0 }
    guard !digits.isEmpty else { return false }
    let sum = sample[..<148].reduce(8 * 0x20) { $0 + Int($1) } + sample[156..<512].reduce(0) { $0 + Int($1) }
    return digits.reduce(0) { $0 * 8 + Int($1 - 0x30) } == sum
  }

  /// Eight bytes of a length, then JSON.
  private static func isSafetensors(_ sample: [UInt8]) -> Bool {
    guard sample.count > 9, sample[8..<10].elementsEqual("{\"".utf8), sample[4..<8].allSatisfy({ $0 == 0 }) else {
      return false
    }
    return sample[..<4].contains { $0 != 0 }
  }

  private static func entry(_ name: String, _ remedy: String, _ parts: (Int, [UInt8])...) -> Entry {
    Entry(parts: parts, kind: FileKind(name: name, remedy: remedy))
  }

  private static func ascii(_ text: String) -> [UInt8] { [UInt8](text.utf8) }

  private static func unpack(_ command: String) -> String { "unpack it (`\(command)`) and name the result" }

  /// A packed file, or an archive.
  private static func packed(_ name: String, _ command: String, _ parts: (Int, [UInt8])...) -> Entry {
    let remedy = unpack(command)
    return Entry(parts: parts, kind: FileKind(name: name, remedy: remedy, numbersRemedy: remedy))
  }

  private static func ids(_ name: String, _ remedy: String, _ signature: [UInt8]) -> Entry {
    Entry(parts: [(0, signature)], kind: FileKind(name: name, remedy: remedy, numbersRemedy: remedy))
  }

  private static let noText = "name a text, a JSONL file, or a folder of them"
  private static let asLines =
    "write its rows as JSON lines (in Python `pandas.read_parquet(FILE).to_json(OUT, orient='records', lines=True)`, or read_feather)"

  private static let table: [Entry] =
    archives + tables + images + [
      Entry(
        parts: [(0, ascii("%PDF-"))],
        kind: FileKind(name: "a PDF file", remedy: "take out its text (`pdftotext FILE`)"),
        isSure: true),
      entry(
        "an HDF5 file", "checkpoints go to --checkpoint, --resume or --init-from; " + noText,
        (0, [0x89, 0x48, 0x44, 0x46, 0x0D, 0x0A, 0x1A, 0x0A])),
      entry("a GGUF file", "weights of llama.cpp, which are not read; " + noText, (0, ascii("GGUF"))),
      entry(
        "a SQLite database", "write its text out (`sqlite3 FILE 'select …' > OUT`)",
        (0, ascii("SQLite format 3") + [0])),
      entry("a program (ELF)", noText, (0, [0x7F] + ascii("ELF"))),
      entry("a program (Windows)", noText, (0, ascii("MZ"))),
      ids(
        "a numpy array",
        "make a raw file of its ids (in Python `numpy.load(FILE).astype('uint16').tofile('train.bin')`) for `mmoe data import-bin`",
        [0x93] + ascii("NUMPY")),
      ids(
        "a shard of llm.c with a header of 1024 bytes",
        "cut it off (`tail -c +1025 FILE > train.bin`) for `mmoe data import-bin`", [0x88, 0xD6, 0x34, 0x01]),
      entry("a token shard", "name the folder that holds it", (0, TokenShardMark.bytes)),
      entry("a Python pickle", noText, (0, [0x80, 2])), entry("a Python pickle", noText, (0, [0x80, 3])),
      entry("a Python pickle", noText, (0, [0x80, 4])), entry("a Python pickle", noText, (0, [0x80, 5])),
      entry("a WAV recording", noText, (0, ascii("RIFF")), (8, ascii("WAVE"))),
      entry("an MP3 recording", noText, (0, ascii("ID3"))), entry("a FLAC recording", noText, (0, ascii("fLaC"))),
      entry("an Ogg recording", noText, (0, ascii("OggS"))),
      entry("a Matroska video", noText, (0, [0x1A, 0x45, 0xDF, 0xA3])),
      entry("an MP4 video", noText, (4, ascii("ftyp"))),
    ]

  private static let archives: [Entry] = [
    packed("a gzip file", "gunzip -k FILE", (0, [0x1F, 0x8B, 8])),
    packed("a zstd file", "unzstd FILE", (0, [0x28, 0xB5, 0x2F, 0xFD])),
    packed("an xz file", "unxz -k FILE", (0, [0xFD, 0x37, 0x7A, 0x58, 0x5A, 0])),
    packed("an lzma file", "unlzma -k FILE", (0, [0x5D, 0, 0])),
    packed("a bzip2 file", "bunzip2 -k FILE", (0, ascii("BZh")), (4, [0x31, 0x41, 0x59, 0x26, 0x53, 0x59])),
    packed("an lz4 file", "lz4 -d FILE OUT", (0, [0x04, 0x22, 0x4D, 0x18])),
    packed("an lzip file", "lzip -dk FILE", (0, ascii("LZIP"))),
    packed("a compress file", "uncompress -k FILE", (0, [0x1F, 0x9D])),
    packed("a zip archive", "unzip FILE -d DIR", (0, ascii("PK") + [3, 4])),
    entry("an empty zip archive", noText, (0, ascii("PK") + [5, 6])),
    packed("a 7z archive", "7z x FILE", (0, [0x37, 0x7A, 0xBC, 0xAF, 0x27, 0x1C])),
    packed("a rar archive", "unar FILE", (0, ascii("Rar!") + [0x1A, 7])),
  ]

  private static let tables: [Entry] = [
    entry("a Parquet file", asLines, (0, ascii("PAR1"))), entry("an Arrow file", asLines, (0, ascii("ARROW1"))),
    entry("a Feather file", asLines, (0, ascii("FEA1"))),
    entry(
      "an Arrow stream",
      "write its rows as JSON lines (in Python `datasets.Dataset.from_file(FILE).to_json(OUT)`)",
      (0, [0xFF, 0xFF, 0xFF, 0xFF])), entry("an Avro file", asLines, (0, ascii("Obj") + [1])),
    entry("an ORC file", asLines, (0, ascii("ORC"))),
  ]

  private static func image(_ name: String, _ parts: (Int, [UInt8])...) -> Entry {
    Entry(parts: parts, kind: FileKind(name: name, remedy: imageRemedy, isImage: true))
  }

  private static let images: [Entry] =
    [
      image("a JPEG image", (0, [0xFF, 0xD8, 0xFF])), image("a GIF image", (0, ascii("GIF87a"))),
      image("a GIF image", (0, ascii("GIF89a"))), image("a WebP image", (0, ascii("RIFF")), (8, ascii("WEBP"))),
      image("a BMP image", (0, ascii("BM")), (6, [0, 0, 0, 0])), image("a TIFF image", (0, ascii("II*") + [0])),
      image("a TIFF image", (0, ascii("MM") + [0, 0x2A])), image("a JPEG XL image", (0, [0xFF, 0x0A])),
      image("a JPEG XL image", (4, ascii("JXL ")), (0, [0, 0, 0, 0x0C])),
      image("a JPEG 2000 image", (4, ascii("jP  ")), (0, [0, 0, 0, 0x0C])),
      image("a Photoshop image", (0, ascii("8BPS"))),
    ]
    + ["avif", "avis"].map { image("an AVIF image", (4, ascii("ftyp" + $0))) }
    + ["heic", "heix", "heim", "heis", "hevc", "hevx", "mif1", "msf1"].map {
      image("a HEIC image", (4, ascii("ftyp" + $0)))
    }
}
