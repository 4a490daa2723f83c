import Foundation
import Testing

@testable import MMoEData

/// Models on raw pixels, by which a data set's difficulty is judged.
@Suite struct PixelBaselinesTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  /// Better than guessing, far from solving it: what the synthetic task is made for.
  @Test func syntheticShapesAreNeitherBlindNorEasy() throws {
    let path = folder.path + "/shapes"
    try ShapeSynthesizer(imageSize: 16, seed: 1).write(to: path, trainPerClass: 100, valPerClass: 40)
    let found = try PixelBaselines(path: path, imageSize: 12)
    #expect(found.imageSize == 12 && found.trainImages == 1000 && found.valImages == 400)
    #expect(found.chance == 0.1)
    // At least three standard errors of a guess over 400 images above chance: √(0.1 × 0.9 / 400) = 0.015.
    #expect(found.linear > 0.145 && found.linear < 0.5)
    #expect(found.nearestNeighbors > 0.145 && found.nearestNeighbors < 0.5)
    #expect(found.linearTrain > found.linear && found.linearTrain < 1)
    #expect(found.text.hasPrefix("1000 train and 400 val images at 12 x 12, chance 10.0 %\n"))
  }

  /// Where color gives the class away, both find everything.
  @Test func colorsAreEasy() throws {
    for split in ["train", "val"] {
      for (label, name) in ["dark", "light", "red"].enumerated() {
        for i in 0..<10 {
          let noise = RGBImage.random(width: 9, height: 7, seed: UInt64(label * 100 + i + (split == "val" ? 50 : 0)))
          let base: [UInt8] = [[10, 10, 10], [180, 180, 180], [180, 10, 10]][label]
          let pixels = noise.pixels.enumerated().map { base[$0 % 3] + $1 / 4 }
          try folder.write(
            "\(split)/\(name)/\(i).png", RGBImage(width: 9, height: 7, pixels: pixels).png())
        }
      }
    }
    let found = try PixelBaselines(path: folder.path, imageSize: 4)
    #expect(found.linear == 1 && found.linearTrain == 1 && found.nearestNeighbors == 1)
    // However often, and in whatever order the threads end.
    #expect(try PixelBaselines(path: folder.path, imageSize: 4) == found)
  }

  private func table(_ rows: [[UInt8]], _ labels: [Int32]) throws -> PixelTable {
    let images = try rows.enumerated().map { i, row in
      let image = RGBImage.plain(width: 1, height: 1, row)
      return ImageSet.Entry(path: try folder.write("\(UUID()).png", image.png()), label: labels[i])
    }
    return try PixelTable(ImageSet(split: .train, classes: [], images: images), imageSize: 1)
  }

  @Test func tableHoldsThePixels() throws {
    let table = try table([[0, 1, 2], [253, 254, 255]], [1, 0])
    #expect(table.width == 3 && table.labels == [1, 0] && table.pixels == [0, 1, 2, 253, 254, 255])
  }

  /// By hand, with three neighbors: the majority, and at a tie the nearest of those with the most votes.
  @Test func neighborsVote() throws {
    let known = try table(
      [[10, 0, 0], [20, 0, 0], [30, 0, 0], [200, 0, 0], [210, 0, 0], [100, 100, 100]], [0, 1, 1, 2, 3, 4])
    let nearest = NearestNeighbors(known, count: 3)
    func hits(_ row: [UInt8], _ label: Int32) throws -> Bool {
      try nearest.accuracy(on: table([row], [label])) == 1
    }
    // Nearest 10, but 20 and 30 outvote it.
    #expect(try hits([12, 0, 0], 1))
    // 210, 200 and one far away: a tie, 210 is nearest.
    #expect(try hits([209, 0, 0], 3))
    #expect(try !hits([209, 0, 0], 2))
    // Fewer known images than neighbors.
    #expect(try NearestNeighbors(table([[1, 1, 1]], [7]), count: 5).accuracy(on: table([[9, 9, 9]], [7])) == 1)
  }

  @Test func refuses() throws {
    for size in [0, 129] {
      #expect(
        message { _ = try PixelBaselines(path: folder.path, imageSize: size) }
          == "baseline: image size \(size), expected 1 to 128")
    }
    try folder.makeImages(train: 1, val: 1)
    let bad = try folder.write("val/c/0.png", [1, 2, 3])
    #expect(message { _ = try PixelBaselines(path: folder.path) }?.hasPrefix(bad + ": ") == true)
  }
}
