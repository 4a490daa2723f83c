import Foundation
import Testing

@testable import MMoEData

/// What `mmoe data inspect` and `mmoe data baseline` say about a folder.
@Suite struct InspectionTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func inspection(_ path: String? = nil) throws -> DatasetInspection {
    try DatasetInspection(ImageFolder(lookingAt: path ?? folder.path, validationShare: 0.1))
  }

  private func write(_ name: String, _ width: Int, _ height: Int, _ pixels: [UInt8]) throws {
    try folder.write(name, RGBImage(width: width, height: height, pixels: pixels).png())
  }

  /// Three good training images, 1 × 1, 1 × 1 and 2 × 1, and three of val; one bad file each.
  private func makeTinyFolder() throws {
    try write("train/a/0.png", 1, 1, [0, 51, 255])
    try write("train/a/1.png", 1, 1, [0, 102, 255])
    try write("train/b/0.png", 2, 1, [255, 153, 255, 255, 204, 255])
    try folder.write("train/b/bad.png", Array("GIF89a".utf8))
    try write("val/a/0.png", 1, 1, [7, 7, 7])
    try folder.write("val/a/empty.png", [])
    for name in ["0", "1"] { try write("val/b/\(name).png", 3, 2, [UInt8](repeating: 9, count: 18)) }
  }

  @Test func countsSizesAndStatisticsByHand() throws {
    try makeTinyFolder()
    let found = try inspection()
    #expect(found.path == folder.path)
    // Bad files are listed too.
    #expect(found.classes == [.init(name: "a", train: 2, val: 2), .init(name: "b", train: 2, val: 2)])
    #expect(found.trainImages == 4 && found.valImages == 4)
    // Most frequent first, then by width and height.
    #expect(
      found.sizes == [
        .init(width: 1, height: 1, images: 3), .init(width: 3, height: 2, images: 2),
        .init(width: 2, height: 1, images: 1),
      ])
    // Four training pixels. Red 0, 0, 1, 1: mean 1/2, deviation 1/2. Green 0.2, 0.4, 0.6, 0.8: mean 0.5, squared
    // distances 0.09, 0.01, 0.01, 0.09, deviation √0.05. Blue is 1 throughout.
    let distance = found.channelMean - SIMD3(0.5, 0.5, 1)
    #expect((distance * distance).sum() < 1e-24)
    let spread = found.channelDeviation - SIMD3(0.5, 0.05.squareRoot(), 0)
    #expect((spread * spread).sum() < 1e-14)
    #expect(
      found.badFiles.map(\.path) == [folder.path + "/train/b/bad.png", folder.path + "/val/a/empty.png"])
    #expect(found.badFiles[0].reason.hasPrefix(found.badFiles[0].path + ": not a PNG file"))
    #expect(found.badFiles[1].reason == found.badFiles[1].path + ": the file is empty")
    // By area 1, 1, 1, 2, 6, 6: of two in the middle the lower one.
    let range = try #require(found.sizeRange)
    #expect(range.smallest == .init(width: 1, height: 1) && range.median == .init(width: 1, height: 1))
    #expect(range.largest == .init(width: 3, height: 2) && range.distinct == 3)
    #expect(found.duplicates.val == 1 && found.duplicates.train == 0 && found.duplicates.across == 0)
  }

  @Test func text() throws {
    try makeTinyFolder()
    let lines = try inspection().text().split(
      separator: "\n", omittingEmptySubsequences: false)
    #expect(lines.first == "\(folder.path): 2 classes, 4 train and 4 val images")
    func columns(_ start: String) -> [Substring]? { lines.first { $0.hasPrefix(start) }?.split(separator: " ") }
    #expect(columns("a ") == ["a", "2", "2"] && columns("b ") == ["b", "2", "2"])
    #expect(columns("1 x 1") == ["1", "x", "1", "3"])
    #expect(columns("channel mean")?.suffix(3) == ["0.5000", "0.5000", "1.0000"])
    #expect(columns("channel deviation")?.suffix(3) == ["0.5000", "0.2236", "0.0000"])
    #expect(lines.contains("3 sizes: smallest 1 x 1, median 1 x 1, largest 3 x 2 (by area)"))
    #expect(lines.contains("2 bad files:"))
    #expect(lines.contains("duplicate images (by decoded pixels): 1 of val repeats another of val"))
    #expect(lines.contains("  val: \(folder.path)/val/b/0.png = \(folder.path)/val/b/1.png"))
    #expect(lines.contains { $0.hasPrefix("  \(folder.path)/train/b/bad.png: ") })

    let short = try inspection().text(limit: 1)
    for rest in ["1 more classes", "2 more sizes", "1 more bad files"] { #expect(short.contains("… and \(rest)")) }
    for path in ["train/b/bad.png", "val/a/empty.png"] {
      try FileManager.default.removeItem(atPath: folder.path + "/" + path)
    }
    #expect(try inspection().text().hasSuffix("no bad files"))
  }

  @Test func survivesJSON() throws {
    try makeTinyFolder()
    let found = try inspection()
    #expect(try JSONDecoder().decode(DatasetInspection.self, from: JSONEncoder().encode(found)) == found)
  }

  @Test func nothingReadable() throws {
    for name in ["train/a/0.png", "val/a/0.png"] { try folder.write(name, []) }
    let found = try inspection()
    #expect(found.sizes.isEmpty && found.badFiles.count == 2)
    #expect(found.channelMean == .zero && found.channelDeviation == .zero)
  }

  @Test func folderItselfIsWrong() throws {
    let path = folder.path + "/absent"
    #expect(message { _ = try inspection(path) }?.hasPrefix("\(path): no such folder") == true)
    #expect(message { _ = try PixelBaselines(path: path) }?.hasPrefix("\(path): no such folder") == true)
  }

  // MARK: Duplicates

  /// The same pixels in another format or compression are the same; across the parts first, with all counts.
  @Test func duplicatesAreFoundByPixels() throws {
    let (red, blue, green) = ([UInt8]([200, 0, 0]), [UInt8]([0, 0, 200]), [UInt8]([0, 99, 0]))
    func png(_ name: String, _ color: [UInt8]) throws {
      try folder.write(name, RGBImage.plain(width: 2, height: 2, color).png())
    }
    /// Other bytes for the same pixels.
    func otherwise(_ name: String, _ color: [UInt8]) throws {
      let samples = (0..<4).flatMap { _ in color.map(Int.init) }
      try folder.write(name, PNGWriter(width: 2, height: 2, depth: 8, colorType: 2, samples: samples).file)
    }
    try png("train/a/1.png", red)
    try otherwise("train/a/2.png", red)
    try png("train/b/1.png", blue)
    try png("val/a/1.png", green)
    try otherwise("val/b/1.png", blue)
    try png("val/b/2.png", red)
    // Of another shape.
    try folder.write("val/a/2.png", RGBImage.plain(width: 4, height: 1, red).png())
    let found = try inspection().duplicates
    #expect((found.train, found.val, found.across, found.ofOtherClass) == (1, 0, 2, 1))
    func pair(_ kind: Duplicates.Kind, _ first: String, _ second: String) -> Duplicates.Pair {
      .init(kind: kind, first: folder.path + "/" + first, second: folder.path + "/" + second)
    }
    #expect(
      found.pairs == [
        pair(.across, "val/b/1.png", "train/b/1.png"), pair(.across, "val/b/2.png", "train/a/1.png"),
        pair(.train, "train/a/1.png", "train/a/2.png"),
      ])
    #expect(
      found.lines("images", by: "x", limit: 1)[0]
        == "duplicate images (by x): 2 of val are in train, too, and test nothing new; 1 of train repeats another of train; 1 of these has another class"
    )
    #expect(found.lines("images", by: "x", limit: 1).last == "  … and 2 more")
  }

  /// In any order of the parts.
  @Test func duplicatesAcrossDoNotDependOnTheOrder() {
    let (one, two) = (ContentHash([1]), ContentHash([2]))
    var finder = DuplicateFinder<Int>(limit: 1)
    for (place, (hash, split)) in [
      (one, DatasetSplit.val), (two, .val), (one, .val), (one, .train), (two, .train), (two, .train), (one, .train),
    ].enumerated() {
      finder.add(hash, split, at: place)
    }
    let found = finder.result { "\($0)" }
    #expect((found.train, found.val, found.across, found.ofOtherClass) == (2, 1, 3, 0))
    #expect(
      found.pairs == [
        .init(kind: .across, first: "0", second: "3"), .init(kind: .val, first: "0", second: "2"),
        .init(kind: .train, first: "4", second: "5"),
      ])
  }

  // MARK: Formats that are not read

  /// They are noted, and everything else is looked at; what is said last is what training says first.
  @Test(arguments: [1, 2]) func otherFormatsDoNotStopIt(count: Int) throws {
    try folder.makeImages(train: 2, val: 1)
    for number in 0..<count { try folder.write("train/b/x\(number).tiff", Array("II*".utf8) + [0]) }
    // A class of nothing else.
    try folder.write("train/d/1.bmp", Array("BM".utf8))
    try folder.write("val/d/1.bmp", Array("BM".utf8))
    let found = try inspection()
    #expect(
      found.refused == (0..<count).map { "\(folder.path)/train/b/x\($0).tiff" }
        + ["train", "val"].map { "\(folder.path)/\($0)/d/1.bmp" })
    #expect(found.trainImages == 6 && found.valImages == 3 && found.badFiles.isEmpty)
    #expect(found.classes.last == .init(name: "d", train: 0, val: 0))
    #expect(
      found.text().contains("\(2 + count) images of formats that are not read, at which training stops, such as "))
    let last = message { try found.requireUsable() }
    #expect(last?.hasPrefix("\(folder.path): \(2 + count) images of formats that are not read, such as ") == true)
    let training = message { _ = try ImageFolder(path: folder.path) }
    #expect(training?.hasPrefix("\(folder.path)/train/b/x0.tiff: a .tiff file, expected ") == true)
    // Of a single one it is the same line.
    for (number, file) in found.refused.enumerated() where number > 0 {
      try FileManager.default.removeItem(atPath: file)
    }
    for part in ["train", "val"] { try FileManager.default.removeItem(atPath: "\(folder.path)/\(part)/d") }
    #expect(message { try inspection().requireUsable() } == training)
  }

  @Test func otherFormatsInClassFoldersAlone() throws {
    for (label, name) in ["a", "b"].enumerated() {
      for i in 0..<4 {
        try folder.write("\(name)/\(i).png", RGBImage.plain(width: 1, height: 1, [UInt8(label), UInt8(i), 0]).png())
      }
      try folder.write("\(name)/x.heic", [1])
    }
    let found = try inspection()
    #expect(found.refused.count == 2 && found.trainImages == 6 && found.valImages == 2)
    #expect(found.text().contains("are for validation (data.validation_share 0.1)"))
  }

  // MARK: Sheets

  /// A row for each class: eight places for training images, two for those of validation, which may stay empty.
  @Test func sheetHasARowForEachClass() throws {
    let colors: [[UInt8]] = [[200, 0, 0], [0, 200, 0]]
    for (label, name) in ["a", "b"].enumerated() {
      for i in 0..<20 {
        try folder.write("train/\(name)/\(i).png", RGBImage.plain(width: 3, height: 2, colors[label]).png())
      }
      try folder.write("val/\(name)/0.png", RGBImage.plain(width: 3, height: 2, [0, 0, 200]).png())
    }
    try folder.write("val/b/0.png", [])
    let set = try ImageFolder(lookingAt: folder.path, validationShare: 0.1)
    let bad = Set(try DatasetInspection(set).badFiles.map(\.path))
    let text = try TextDrawer()
    let sheet = try InspectionSheet.image(set, bad: bad, text)
    let (side, gap) = (ContactSheet.labeledSide, 8)
    let step = side + gap + text.lineHeight + 2
    #expect(sheet.width == 10 * (side + gap) + gap && sheet.height == 2 * step + gap)
    func color(_ row: Int, _ column: Int) -> [UInt8] {
      let at = ((gap + row * step + side / 2) * sheet.width + gap + column * (side + gap) + side / 2) * 3
      return Array(sheet.pixels[at..<at + 3])
    }
    let white: [UInt8] = [255, 255, 255]
    #expect((0..<8).allSatisfy { color(0, $0) == colors[0] } && (0..<8).allSatisfy { color(1, $0) == colors[1] })
    #expect(color(0, 8) == [0, 0, 200] && color(0, 9) == white && color(1, 8) == white)
    // Many classes have smaller pictures, and no more rows than can be looked at.
    for number in 0..<60 {
      for part in ["train", "val"] {
        try folder.write("many/\(part)/\(number)/a.png", RGBImage.plain(width: 1, height: 1, [1, 2, 3]).png())
      }
    }
    let many = try InspectionSheet.image(
      ImageFolder(lookingAt: folder.path + "/many", validationShare: 0.1), bad: [], text)
    #expect(many.width == 10 * (side / 2 + gap) + gap)
  }

  /// A name may be as wide as several pictures.
  @Test func captionsSpanPictures() throws {
    let text = try TextDrawer()
    func width(_ columns: Int) -> Int {
      let sheet = ContactSheet(columns: 3, side: 40).image(3, lines: 1, text) { place in
        (nil, place == 0 ? [ContactSheet.Caption("a name that is much longer than that", columns: columns)] : [])
      }
      return sheet.pixels.indices.filter { sheet.pixels[$0] < 128 }.map { $0 / 3 % sheet.width }.max() ?? 0
    }
    #expect(width(1) < 8 + 40 && width(3) > 100 && width(3) < 8 + 3 * 48)
  }
}
