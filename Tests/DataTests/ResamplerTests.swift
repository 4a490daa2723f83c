import MMoETensor
import Testing

@testable import MMoEData

/// Resizing, mirroring, shifting, light and normalization, against hand computations and a stupid reference.
@Suite struct ResamplerTests {
  /// Channels apart, as a renderer writes them.
  private func planar(_ image: RGBImage) -> [Float] {
    (0..<3).flatMap { c in stride(from: c, to: image.pixels.count, by: 3).map { Float(image.pixels[$0]) } }
  }

  private func mirrored(_ picture: [Float], side: Int) -> [Float] {
    picture.indices.map { picture[$0 / side * side + side - 1 - $0 % side] }
  }

  private func render(_ image: RGBImage, side: Int, _ view: ImageView? = nil) -> [Float] {
    Resampler(side: side, normalization: .identity).rendered(image, view ?? ImageView(centerOf: image))
  }

  @Test(arguments: [1, 2, 5, 32, 67]) func equalSizeIsExact(side: Int) {
    let image = RGBImage.random(width: side, height: side)
    #expect(render(image, side: side) == planar(image))
  }

  @Test func cropOfEqualSizeIsExact() {
    let image = RGBImage.random(width: 30, height: 20)
    var view = ImageView(centerOf: image)
    (view.x, view.y, view.width, view.height) = (7, 3, 12, 12)
    var part: [UInt8] = []
    for y in 3..<15 { part += image.pixels[(y * 30 + 7) * 3..<(y * 30 + 19) * 3] }
    #expect(render(image, side: 12, view) == planar(RGBImage(width: 12, height: 12, pixels: part)))
  }

  @Test func flippingTwiceGivesTheImageBack() {
    let image = RGBImage.random(width: 16, height: 16)
    var view = ImageView(centerOf: image)
    view.flipped = true
    let once = render(image, side: 16, view)
    #expect(once != planar(image))
    #expect(once == mirrored(planar(image), side: 16))
    let bytes = (0..<16 * 16).flatMap { i in (0..<3).map { UInt8(once[$0 * 256 + i]) } }
    #expect(render(RGBImage(width: 16, height: 16, pixels: bytes), side: 16, view) == planar(image))
  }

  @Test(arguments: 0..<20) func flipMirrorsAnyView(number: Int) {
    let (image, drawn, side) = ResamplerTests.scene(number)
    // The shift belongs to the view that is mirrored.
    var straight = drawn
    straight.flipped = false
    var flipped = drawn
    flipped.flipped = true
    let normalization = PixelNormalization.unit
    let a = Resampler(side: side, normalization: normalization).rendered(image, straight)
    let b = Resampler(side: side, normalization: normalization).rendered(image, flipped)
    // The mean grey is summed in another order.
    #expect(zip(mirrored(a, side: side), b).allSatisfy { abs($0 - $1) < 1e-5 })
    if drawn.contrast == 1 { #expect(mirrored(a, side: side) == b) }
  }

  @Test func shiftBringsInBlack() {
    let image = RGBImage.random(width: 6, height: 6)
    var view = ImageView(centerOf: image)
    (view.shiftX, view.shiftY) = (2, -1)
    let plain = planar(image)
    let expected: [Float] = (0..<3 * 36).map { i in
      let (x, y) = (i % 6 + 2, i / 6 % 6 - 1)
      return 0..<6 ~= x && 0..<6 ~= y ? plain[i / 36 * 36 + y * 6 + x] : 0
    }
    #expect(render(image, side: 6, view) == expected)
    for shift in [6, -6, 1000] {
      view.shiftX = shift
      #expect(render(image, side: 6, view).allSatisfy { $0 == 0 })
      (view.shiftX, view.shiftY) = (0, shift)
      #expect(render(image, side: 6, view).allSatisfy { $0 == 0 })
      view.shiftY = 0
    }
  }

  @Test(arguments: [1, 2, 3, 7, 16, 40, 64]) func constantStaysConstant(side: Int) {
    for image in [
      RGBImage.plain(width: 23, height: 23, [10, 128, 255]), .plain(width: 1, height: 1, [10, 128, 255]),
    ] {
      let picture = render(image, side: side)
      let plane = side * side
      for (c, value) in [Float(10), 128, 255].enumerated() {
        #expect(picture[c * plane..<(c + 1) * plane].allSatisfy { abs($0 - value) < 1e-4 })
      }
    }
  }

  /// Without a wider filter a reduced checkerboard would be black, white or a moiré of both.
  @Test(arguments: [(64, 16), (64, 8), (60, 20), (96, 7)]) func checkerboardTurnsGrey(source: Int, side: Int) {
    let bytes = (0..<source * source).flatMap { i in
      [UInt8](repeating: (i % source + i / source) % 2 == 0 ? 0 : 255, count: 3)
    }
    let picture = render(RGBImage(width: source, height: source, pixels: bytes), side: side)
    #expect(picture.allSatisfy { abs($0 - 127.5) < 0.02 * 255 })
    // With an even number of pixels to one, black and white weigh the same wherever the filter is whole.
    if source % (2 * side) == 0 {
      let inner = picture.indices.filter { 1..<side - 1 ~= $0 % side && 1..<side - 1 ~= $0 / side % side }
      #expect(inner.allSatisfy { abs(picture[$0] - 127.5) < 1e-3 })
    }
  }

  /// By hand: 2 pixels enlarged to 4. Centers lie at 0.25, 0.75, 1.25 and 1.75 source pixels, so the weights of
  /// the second pixel are 0 (nothing lies to the left), 1/4, 3/4 and 1.
  @Test func enlargesByHand() {
    let row: [UInt8] = [0, 0, 0, 100, 100, 100]
    let picture = render(RGBImage(width: 2, height: 2, pixels: row + row), side: 4)
    for start in stride(from: 0, to: 48, by: 4) { #expect(Array(picture[start..<start + 4]) == [0, 25, 75, 100]) }
  }

  /// By hand: 4 pixels reduced to 2. The triangle around 1 and 3 has a radius of 2: weights of the pixels are
  /// (3, 3, 1) / 7 and mirrored.
  @Test func reducesByHand() {
    let row: [UInt8] = [70, 70, 70, 0, 0, 0, 0, 0, 0, 140, 140, 140]
    let picture = render(RGBImage(width: 4, height: 4, pixels: row + row + row + row), side: 2)
    for start in stride(from: 0, to: 12, by: 2) {
      #expect(abs(picture[start] - 30) < 1e-4 && abs(picture[start + 1] - 60) < 1e-4)
    }
  }

  /// A random image, a random view of it and an output size.
  private static func scene(_ number: Int) -> (RGBImage, ImageView, Int) {
    let random = CounterRandom(seed: 5, purpose: .test, a: UInt64(number))
    func integer(_ index: UInt64, _ range: ClosedRange<Int>) -> Int {
      range.lowerBound + random.integer(index, below: range.count)
    }
    let image = RGBImage.random(width: integer(0, 1...40), height: integer(1, 1...40), seed: UInt64(number))
    let side = integer(2, 1...20)
    var view = ImageView(centerOf: image)
    view.width = integer(3, 1...image.width)
    view.height = integer(4, 1...image.height)
    view.x = integer(5, 0...image.width - view.width)
    view.y = integer(6, 0...image.height - view.height)
    view.flipped = number % 2 == 0
    if number % 3 == 0 { (view.shiftX, view.shiftY) = (integer(7, -3...3), integer(8, -3...3)) }
    if number % 4 > 1 { view.brightness = random.uniform(9, 0.5, 1.5) }
    if number % 4 == 3 { view.contrast = random.uniform(10, 0.5, 1.5) }
    return (image, view, side)
  }

  @Test(arguments: 0..<40) func agreesWithTheReference(number: Int) {
    let (image, view, side) = ResamplerTests.scene(number)
    let normalization = PixelNormalization(mean: [0.4, 0.5, 0.6], deviation: [0.3, 0.25, 0.5])
    let found = Resampler(side: side, normalization: normalization).rendered(image, view)
    let expected = referenceRender(image, view, side: side, normalization)
    let worst = zip(found, expected).map { abs(Double($0) - $1) }.max() ?? .infinity
    #expect(worst < 1e-4)
  }

  /// A resampler's scratch and taps hold nothing from the call before.
  @Test func callsDoNotMix() {
    let resampler = Resampler(side: 9, normalization: .unit)
    let scenes = (0..<12).map { ResamplerTests.scene($0) }
    for (image, view, _) in scenes + scenes.reversed() {
      let fresh = Resampler(side: 9, normalization: .unit).rendered(image, view)
      #expect(resampler.rendered(image, view) == fresh)
    }
  }

  @Test func brightnessAndContrastByHand() {
    // Grey 100 and grey 200: the mean is 150.
    let row: [UInt8] = [100, 100, 100, 200, 200, 200]
    let image = RGBImage(width: 2, height: 2, pixels: row + row)
    func pair(brightness: Float = 1, contrast: Float = 1) -> [Float] {
      var view = ImageView(centerOf: image)
      (view.brightness, view.contrast) = (brightness, contrast)
      return Array(render(image, side: 2, view).prefix(2)).map { ($0 * 1000).rounded() / 1000 }
    }
    #expect(pair(brightness: 0.5) == [50, 100])
    #expect(pair(brightness: 0) == [0, 0])
    #expect(pair(contrast: 0) == [150, 150])
    #expect(pair(contrast: 0.5) == [125, 175])
    #expect(pair(contrast: 1.5) == [75, 225])
    #expect(pair(brightness: 0.5, contrast: 2) == [25, 125])
    // Clamped.
    #expect(pair(brightness: 2) == [200, 255])
    #expect(pair(contrast: 4) == [0, 255])
    // The mean grey weighs the channels: 0.299, 0.587, 0.114.
    var view = ImageView(centerOf: image)
    view.contrast = 0
    let red = render(.plain(width: 2, height: 2, [200, 0, 0]), side: 2, view)
    #expect(red.allSatisfy { abs($0 - 59.8) < 1e-3 })
  }

  @Test func normalizationValues() {
    func values(_ color: [UInt8], _ normalization: PixelNormalization) -> [Float] {
      let image = RGBImage.plain(width: 1, height: 1, color)
      return Resampler(side: 1, normalization: normalization).rendered(image, ImageView(centerOf: image))
    }
    #expect(values([0, 255, 0], .unit) == [-1, 1, -1])
    #expect(abs(values([127, 0, 0], .unit)[0] + 1 / 255) < 1e-6)
    // (v / 255 − mean) / deviation, as published models were trained with.
    for (found, expected) in zip(
      values([255, 0, 128], .imageNet),
      [(1 - 0.485) / 0.229, (0 - 0.456) / 0.224, (128.0 / 255 - 0.406) / 0.225])
    {
      #expect(abs(Double(found) - expected) < 1e-5)
    }
    #expect(values([3, 2, 1], .identity) == [3, 2, 1])
  }
}
