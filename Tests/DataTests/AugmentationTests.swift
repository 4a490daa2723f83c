import Foundation
import MMoETensor
import Testing

@testable import MMoEData

/// What a sample's draw may be, and that it is a function of `(seed, epoch, index)` alone.
@Suite struct AugmentationTests {
  private let draws = 2000

  private func views(_ augmentation: Augmentation, width: Int, height: Int, seed: UInt64 = 1) -> [ImageView] {
    let image = RGBImage.plain(width: width, height: height, [0, 0, 0])
    return (0..<draws).map {
      augmentation.view(
        of: image, random: CounterRandom(seed: seed, purpose: .augmentation, a: 3, b: UInt64($0)))
    }
  }

  private func mean(_ values: [Double]) -> Double { values.reduce(0, +) / Double(values.count) }

  @Test func sameCoordinatesSameView() {
    let image = RGBImage.plain(width: 50, height: 40, [0, 0, 0])
    let augmentation = Augmentation(crop: .randomResized(minimumScale: 0.1), brightness: 0.4, contrast: 0.4)
    func view(seed: UInt64 = 1, epoch: UInt64 = 2, index: UInt64 = 3) -> ImageView {
      augmentation.view(
        of: image, random: CounterRandom(seed: seed, purpose: .augmentation, a: epoch, b: index))
    }
    #expect(view() == view())
    #expect(view() != view(seed: 2))
    #expect(view() != view(epoch: 3))
    #expect(view() != view(index: 4))
    // Epoch and index are not one number.
    #expect(view(epoch: 3, index: 2) != view(epoch: 2, index: 3))
  }

  @Test(arguments: [(10, 6, 2, 0), (6, 10, 0, 2), (7, 4, 1, 0), (5, 5, 0, 0), (1, 9, 0, 4), (1, 1, 0, 0)])
  func noneIsTheCenteredSquare(width: Int, height: Int, x: Int, y: Int) {
    let image = RGBImage.plain(width: width, height: height, [0, 0, 0])
    var expected = ImageView(centerOf: image)
    (expected.x, expected.y) = (x, y)
    (expected.width, expected.height) = (min(width, height), min(width, height))
    for view in views(.none, width: width, height: height).prefix(20) { #expect(view == expected) }
  }

  @Test(arguments: [
    (200, 200, Float(0.2), Float(0.6)), (640, 480, 0.08, 1), (30, 90, 0.05, 1), (7, 5, 0.3, 0.9),
    (2, 2, 0.001, 1), (1, 1, 0.08, 1),
  ]) func randomCropStaysInside(width: Int, height: Int, minimum: Float, maximum: Float) {
    let crop = Augmentation.Crop.randomResized(minimumScale: minimum, maximumScale: maximum)
    let area = Double(width * height)
    let found = views(Augmentation(crop: crop), width: width, height: height)
    #expect(found.first { $0.x < 0 || $0.y < 0 || $0.width < 1 || $0.height < 1 } == nil)
    #expect(found.first { $0.x + $0.width > width || $0.y + $0.height > height } == nil)
    #expect(found.first { $0.shiftX != 0 || $0.shiftY != 0 } == nil)
    // Sides are rounded: the area may be off by half a pixel along them.
    let badArea = found.first { view in
      let slack = 0.5 * Double(view.width + view.height) + 0.25
      let pixels = Double(view.width * view.height)
      return pixels + slack < Double(minimum) * area || pixels - slack > Double(maximum) * area * 1.000001
    }
    #expect(badArea == nil)
    let badRatio = found.first { view in
      let (longest, shortest) = (max(view.width, view.height), min(view.width, view.height))
      return (Double(longest) - 0.5) / (Double(shortest) + 0.5) > 4 / 3 * 1.000001
    }
    #expect(badRatio == nil)
  }

  /// Every attempt fits here (0.6 × 4/3 < 1), so that the area is uniform and the ratio log-uniform.
  @Test func randomCropIsUniform() {
    let side = 1000.0
    let crop = Augmentation.Crop.randomResized(minimumScale: 0.2, maximumScale: 0.6)
    let found = views(Augmentation(crop: crop), width: 1000, height: 1000)
    let shares = found.map { Double($0.width * $0.height) / (side * side) }
    // Five standard errors: 0.4 / √12 / √2000, and so on.
    #expect(abs(mean(shares) - 0.4) < 0.013)
    let deviation = mean(shares.map { ($0 - 0.4) * ($0 - 0.4) }).squareRoot()
    #expect(abs(deviation - 0.1155) < 0.006)
    #expect(shares.min()! < 0.21 && shares.max()! > 0.59)
    let ratios = found.map { log(Double($0.width) / Double($0.height)) }
    #expect(abs(mean(ratios)) < 0.019)
    #expect(ratios.min()! < -0.27 && ratios.max()! > 0.27)
    for positions in [
      found.map { Double($0.x) / Double(1000 - $0.width) }, found.map { Double($0.y) / Double(1000 - $0.height) },
    ] {
      #expect(abs(mean(positions) - 0.5) < 0.033)
      #expect(positions.min()! < 0.01 && positions.max()! > 0.99)
    }
    #expect(Set(found.map(\.x)).count > 300 && found.contains { $0.x > $0.y } && found.contains { $0.x < $0.y })
  }

  /// In a strip no rectangle of the wanted area and ratio fits.
  @Test func randomCropGivesUp() {
    let crop = Augmentation.Crop.randomResized(minimumScale: 0.9)
    for view in views(Augmentation(crop: crop, flip: 0), width: 1, height: 1000).prefix(50) {
      #expect(view == ImageView(centerOf: .plain(width: 1, height: 1000, [0, 0, 0])))
    }
  }

  @Test func paddedCropReachesEveryShift() {
    let found = views(Augmentation(crop: .padded(pixels: 4)), width: 40, height: 32)
    #expect(Set(found.map(\.shiftX)) == Set(-4...4) && Set(found.map(\.shiftY)) == Set(-4...4))
    #expect(Set(found.map { $0.shiftX * 9 + $0.shiftY }).count == 81)
    // Five standard errors of a uniform integer: 2.58 / √2000.
    #expect(abs(mean(found.map { Double($0.shiftX) })) < 0.29)
    #expect(abs(mean(found.map { Double($0.shiftY) })) < 0.29)
    #expect(found.allSatisfy { $0.x == 4 && $0.y == 0 && $0.width == 32 && $0.height == 32 })
    let still = views(Augmentation(crop: .padded(pixels: 0)), width: 4, height: 4)
    #expect(still.allSatisfy { $0.shiftX == 0 && $0.shiftY == 0 })
  }

  @Test func flipsAsOftenAsAsked() {
    func share(_ flip: Float) -> Double {
      mean(views(Augmentation(crop: .center, flip: flip), width: 4, height: 4).map { $0.flipped ? 1 : 0 })
    }
    #expect(share(0) == 0)
    #expect(share(1) == 1)
    // Five standard errors.
    #expect(abs(share(0.5) - 0.5) < 0.056)
    #expect(abs(share(0.1) - 0.1) < 0.034)
  }

  @Test func brightnessAndContrastFillTheirRange() {
    let found = views(Augmentation(crop: .center, brightness: 0.4, contrast: 0.2), width: 4, height: 4)
    for (values, reach) in [(found.map(\.brightness), Float(0.4)), (found.map(\.contrast), Float(0.2))] {
      #expect(values.allSatisfy { abs($0 - 1) <= reach * 1.000001 })
      #expect(values.min()! < 1 - 0.98 * reach && values.max()! > 1 + 0.98 * reach)
      #expect(abs(mean(values.map(Double.init)) - 1) < 0.065 * Double(reach))
    }
    let off = views(Augmentation(crop: .center), width: 4, height: 4)
    #expect(off.allSatisfy { $0.brightness == 1 && $0.contrast == 1 })
  }

  /// An ablation that switches one part off leaves the other parts' draws alone.
  @Test func partsDrawIndependently() {
    let crop = Augmentation.Crop.randomResized(minimumScale: 0.2)
    let all = views(Augmentation(crop: crop, brightness: 0.3, contrast: 0.3), width: 60, height: 40)
    let onlyCrop = views(Augmentation(crop: crop, flip: 0), width: 60, height: 40)
    let onlyFlip = views(Augmentation(crop: .center), width: 60, height: 40)
    for (a, b) in zip(all, onlyCrop) {
      #expect(a.x == b.x && a.y == b.y && a.width == b.width && a.height == b.height)
    }
    #expect(zip(all, onlyFlip).allSatisfy { $0.flipped == $1.flipped })
    // A flip says nothing about the place.
    let flipped = mean(all.filter(\.flipped).map { Double($0.x) })
    let straight = mean(all.filter { !$0.flipped }.map { Double($0.x) })
    #expect(abs(flipped - straight) < 2)
  }

  @Test(arguments: [
    (Augmentation(crop: .center, flip: 1.5), "flip is 1.5, expected 0.0 to 1.0"),
    (Augmentation(crop: .center, flip: .nan), "flip is nan"),
    (Augmentation(crop: .center, brightness: -0.1), "brightness is -0.1"),
    (Augmentation(crop: .center, contrast: 2), "contrast is 2.0"),
    (Augmentation(crop: .padded(pixels: -1)), "padding is -1.0, expected 0.0 to 1024.0"),
    (Augmentation(crop: .randomResized(minimumScale: 0)), "minimum scale is 0.0"),
    (Augmentation(crop: .randomResized(minimumScale: 0.5, maximumScale: 0.4)), "maximum scale is 0.4, expected 0.5"),
    (Augmentation(crop: .randomResized(minimumScale: 0.5, aspect: 0.5)), "aspect is 0.5, expected 1.0"),
  ]) func refuses(_ augmentation: Augmentation, _ text: String) throws {
    let found = try #require(message { try augmentation.validate() })
    #expect(found.contains(text) && !found.contains("\n"))
  }

  @Test func accepts() throws {
    try Augmentation.none.validate()
    try Augmentation(crop: .padded(pixels: 4), flip: 1, brightness: 1, contrast: 1).validate()
    try Augmentation(crop: .randomResized(minimumScale: 1, maximumScale: 1, aspect: 1)).validate()
  }
}
