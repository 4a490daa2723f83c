import Foundation
import Testing

@testable import MMoEData

/// What `mmoe data inspect` and `mmoe data baseline` say about a folder.
@Suite struct InspectionTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

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
    let found = try DatasetInspection(path: folder.path)
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
  }

  @Test func text() throws {
    try makeTinyFolder()
    let lines = try DatasetInspection(path: folder.path).text().split(
      separator: "\n", omittingEmptySubsequences: false)
    #expect(lines.first == "\(folder.path): 2 classes, 4 train and 4 val images")
    func columns(_ start: String) -> [Substring]? { lines.first { $0.hasPrefix(start) }?.split(separator: " ") }
    #expect(columns("a ") == ["a", "2", "2"] && columns("b ") == ["b", "2", "2"])
    #expect(columns("1 x 1") == ["1", "x", "1", "3"])
    #expect(columns("channel mean")?.suffix(3) == ["0.5000", "0.5000", "1.0000"])
    #expect(columns("channel deviation")?.suffix(3) == ["0.5000", "0.2236", "0.0000"])
    #expect(lines.contains("2 bad files:"))
    #expect(lines.contains { $0.hasPrefix("  \(folder.path)/train/b/bad.png: ") })

    let short = try DatasetInspection(path: folder.path).text(limit: 1)
    for rest in ["1 more classes", "2 more sizes", "1 more bad files"] { #expect(short.contains("… and \(rest)")) }
    for path in ["train/b/bad.png", "val/a/empty.png"] {
      try FileManager.default.removeItem(atPath: folder.path + "/" + path)
    }
    #expect(try DatasetInspection(path: folder.path).text().hasSuffix("no bad files"))
  }

  @Test func survivesJSON() throws {
    try makeTinyFolder()
    let found = try DatasetInspection(path: folder.path)
    #expect(try JSONDecoder().decode(DatasetInspection.self, from: JSONEncoder().encode(found)) == found)
  }

  @Test func nothingReadable() throws {
    for name in ["train/a/0.png", "val/a/0.png"] { try folder.write(name, []) }
    let found = try DatasetInspection(path: folder.path)
    #expect(found.sizes.isEmpty && found.badFiles.count == 2)
    #expect(found.channelMean == .zero && found.channelDeviation == .zero)
  }

  @Test func folderItselfIsWrong() throws {
    let path = folder.path + "/absent"
    #expect(message { _ = try DatasetInspection(path: path) }?.hasPrefix("\(path): no such folder") == true)
    #expect(message { _ = try PixelBaselines(path: path) }?.hasPrefix("\(path): no such folder") == true)
  }
}
