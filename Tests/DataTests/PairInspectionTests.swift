import Foundation
import Testing

@testable import MMoEData

/// What `mmoe data inspect` says about pairs.
@Suite struct PairInspectionTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func make() throws {
    func png(_ name: String, _ color: UInt8, width: Int = 4) throws {
      try folder.write(name, RGBImage.plain(width: width, height: 4, [color, 9, 200]).png())
    }
    try png("0.png", 1)
    try png("1.png", 2, width: 6)
    try png("2.png", 3)
    // The pixels of a training picture in other bytes: equal files would be on one side.
    let samples = (0..<16).flatMap { _ in [1, 9, 200] }
    try folder.write("3.png", PNGWriter(width: 4, height: 4, depth: 8, colorType: 2, samples: samples).file)
    try folder.write("bad.png", Array("GIF89a".utf8))
    let tone = WAVWriter.tones(0.5, rate: 8000, [440])
    try folder.write("0.wav", WAVWriter(rate: 8000).bytes(tone))
    try folder.write("1.wav", WAVWriter(rate: 8000, note: [1, 2]).bytes(tone))
    try folder.write("notes.pdf", [1])
    let lines = [
      #"{"image": "0.png", "audio": ["0.wav", "1.wav"], "caption": "red", "label": "x", "split": "train"}"#,
      #"{"image": "1.png", "captions": ["two", "rot"], "label": "y", "group": "g", "split": "train"}"#,
      #"{"image": "2.png", "caption": "three", "group": "g", "split": "train"}"#,
      #"{"image": "3.png", "caption": "red", "label": "y", "split": "val"}"#,
      #"{"image": "bad.png", "caption": "bad", "split": "val"}"#,
    ]
    try folder.write(PairFolder.fileName, [UInt8](lines.joined(separator: "\n").utf8))
  }

  @Test func countsByHand() throws {
    try make()
    let found = try PairInspection(PairFolder(path: folder.path))
    #expect(found.parts.map(\.items) == [3, 2] && found.parts.map(\.groups) == [2, 2])
    #expect(found.parts.map(\.captions) == [4, 2] && found.sharedCaptions == 1)
    #expect(
      found.parts[0].fields == [.init(field: "image", files: 3, items: 3), .init(field: "audio", files: 2, items: 1)])
    #expect(found.labels == [.init(name: "x", train: 1, val: 0), .init(name: "y", train: 1, val: 1)])
    #expect(found.sizes == [.init(width: 4, height: 4, images: 3), .init(width: 6, height: 4, images: 1)])
    #expect(found.captionCharacters?.longest == 5 && found.seconds?.median == 0.5)
    let image = try #require(found.duplicates["image"])
    #expect((image.across, image.train, image.ofOtherClass) == (1, 0, 1))
    #expect(image.pairs == [.init(kind: .across, first: folder.path + "/3.png", second: folder.path + "/0.png")])
    #expect(found.duplicates["audio"]?.train == 1)
    #expect(found.badFiles.map(\.path) == [folder.path + "/bad.png"])
    #expect(message { try found.requireUsable() }?.contains("1 file cannot be decoded, such as ") == true)
    let text = found.text()
    #expect(text.hasPrefix("\(folder.path): 3 train and 2 val items with captions\n"))
    #expect(text.contains("train: 3 items, 4 captions, 3 image files, 2 audio files, 2 groups"))
    #expect(text.contains("1 caption of val is one of train, too") && text.contains("notes.pdf"))
    #expect(text.contains("seconds of a recording: 0.50 to 0.50, median 0.50"))
  }

  /// Items of training, then those of validation in a row of their own; a recording is drawn where there is no picture.
  @Test func sheet() throws {
    try make()
    let text = try TextDrawer()
    let pairs = try PairFolder(path: folder.path)
    let sheet = try #require(try InspectionSheet.image(pairs, bad: [folder.path + "/bad.png"], text))
    let side = ContactSheet.labeledSide
    let step = side + 8 + 2 * text.lineHeight + 2
    #expect(sheet.height == 2 * step + 8)
    func red(_ row: Int, _ column: Int) -> UInt8 {
      sheet.pixels[((8 + row * step + side / 2) * sheet.width + 8 + column * (side + 8) + side / 2) * 3]
    }
    #expect((0..<4).map { red(0, $0) } == [1, 2, 3, 255] && red(1, 0) == 1 && red(1, 1) == 255)
    // The loudest is white, silence black, low bands below.
    let mel = LogMel.picture([1, 1, -1, -1], bands: 2, frames: 2)
    #expect(mel.width == 128 && mel.pixels[0] == 0 && mel.pixels.last == 255)
  }
}
