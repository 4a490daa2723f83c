import MMoETensor
import PictureSamples
import Testing

@testable import MMoEData

/// Pictures of JPEG and WebP in every form, held to the pixels that they were made of.
@Suite struct PictureTests {
  private static let rgb = sample_form(
    channels: 3, progressive: 0, ycck: 0, adobe: 0, orientation: 0, big_endian: 0)

  /// Four quarters of a color each, and a ramp over them: the corners tell the eight orientations apart.
  static func picture(width: Int = 48, height: Int = 32) -> RGBImage {
    let colors: [[Int]] = [[200, 40, 40], [40, 190, 60], [60, 60, 210], [220, 220, 90]]
    var pixels: [UInt8] = []
    for y in 0..<height {
      for x in 0..<width {
        let color = colors[(2 * y / height) * 2 + 2 * x / width]
        pixels += color.map { UInt8($0 - 20 + 40 * x / width) }
      }
    }
    return RGBImage(width: width, height: height, pixels: pixels)
  }

  static func jpeg(_ samples: [UInt8], _ width: Int, _ height: Int, _ form: sample_form = rgb) -> [UInt8] {
    var count = 0
    let bytes = sample_jpeg(samples, Int32(width), Int32(height), form, &count)
    defer { sample_free(bytes) }
    return [UInt8](UnsafeBufferPointer(start: bytes, count: count))
  }

  static func jpeg(_ image: RGBImage) -> [UInt8] { jpeg(image.pixels, image.width, image.height) }

  static func webp(_ samples: [UInt8], _ width: Int, _ height: Int, channels: Int = 3) -> [UInt8] {
    var count = 0
    let bytes = sample_webp(samples, Int32(width), Int32(height), Int32(channels), &count)
    defer { sample_free(bytes) }
    return [UInt8](UnsafeBufferPointer(start: bytes, count: count))
  }

  /// The largest difference of a sample.
  private func distance(_ a: RGBImage, _ b: RGBImage) -> Int {
    guard a.width == b.width, a.height == b.height else { return .max }
    return zip(a.pixels, b.pixels).map { abs(Int($0) - Int($1)) }.max() ?? 0
  }

  @Test(arguments: [false, true]) func color(isProgressive: Bool) throws {
    let image = Self.picture()
    var form = Self.rgb
    form.progressive = isProgressive ? 1 : 0
    let file = Self.jpeg(image.pixels, image.width, image.height, form)
    #expect(file.contains(isProgressive ? 0xC2 : 0xC0))
    // The name does not matter.
    #expect(distance(try RGBImage(decoding: file, name: "a.png"), image) <= 4)
  }

  @Test func grey() throws {
    let samples = (0..<48 * 32).map { UInt8($0 % 48 * 5) }
    var form = Self.rgb
    form.channels = 1
    let image = try RGBImage(decoding: Self.jpeg(samples, 48, 32, form), name: "a.jpg")
    #expect(distance(image, RGBImage(width: 48, height: 32, pixels: samples.flatMap { [$0, $0, $0] })) <= 3)
  }

  /// Ink by ink: r = 255 · (1 − c) · (1 − k). With Adobe's marker the file holds 255 minus the inks.
  @Test(arguments: [(true, false), (true, true), (false, false)]) func inks(isAdobe: Bool, isYCCK: Bool) throws {
    let (width, height) = (40, 24)
    var inks: [UInt8] = []
    for place in 0..<width * height {
      let x = place % width
      inks += [UInt8(x * 6), UInt8(255 - x * 6), UInt8(place / width * 10), UInt8(60)]
    }
    var form = Self.rgb
    (form.channels, form.adobe, form.ycck) = (4, isAdobe ? 1 : 0, isYCCK ? 1 : 0)
    let stored = isAdobe ? inks.map { 255 - $0 } : inks
    var expected: [UInt8] = []
    for place in 0..<width * height {
      let black = Double(inks[4 * place + 3]) / 255
      for channel in 0..<3 {
        let ink = Double(inks[4 * place + channel]) / 255
        expected.append(UInt8((255 * (1 - ink) * (1 - black)).rounded()))
      }
    }
    let image = try RGBImage(decoding: Self.jpeg(stored, width, height, form), name: "a.jpg")
    #expect(distance(image, RGBImage(width: width, height: height, pixels: expected)) <= 5)
  }

  /// Where a pixel of the upright picture is stored, from EXIF's own words: row 0 and column 0 are seen at these sides.
  private func stored(_ image: RGBImage, orientation: Int) -> RGBImage {
    let isTurned = orientation >= 5
    let (width, height) = isTurned ? (image.height, image.width) : (image.width, image.height)
    var pixels: [UInt8] = []
    for row in 0..<height {
      for column in 0..<width {
        let (x, y): (Int, Int) =
          switch orientation {
          case 1: (column, row)  // row 0 at the top, column 0 at the left
          case 2: (image.width - 1 - column, row)  // top, right
          case 3: (image.width - 1 - column, image.height - 1 - row)  // bottom, right
          case 4: (column, image.height - 1 - row)  // bottom, left
          case 5: (row, column)  // left, top
          case 6: (image.width - 1 - row, column)  // right, top
          case 7: (image.width - 1 - row, image.height - 1 - column)  // right, bottom
          default: (row, image.height - 1 - column)  // left, bottom
          }
        pixels += image.pixels[(y * image.width + x) * 3..<(y * image.width + x) * 3 + 3]
      }
    }
    return RGBImage(width: width, height: height, pixels: pixels)
  }

  @Test(arguments: 1...8) func orientation(value: Int) throws {
    let image = Self.picture()
    let turned = stored(image, orientation: value)
    for isBigEndian in [false, true] {
      var form = Self.rgb
      (form.orientation, form.big_endian) = (Int32(value), isBigEndian ? 1 : 0)
      let file = Self.jpeg(turned.pixels, turned.width, turned.height, form)
      #expect(distance(try RGBImage(decoding: file, name: "a.jpg"), image) <= 4)
    }
  }

  @Test func webp() throws {
    let image = Self.picture()
    #expect(try RGBImage(decoding: Self.webp(image.pixels, 48, 32), name: "a") == image)
    // Over white: 255 − a · (255 − c) / 255.
    var samples: [UInt8] = []
    for place in 0..<48 * 32 {
      samples += image.pixels[3 * place..<3 * place + 3]
      samples.append(UInt8(place % 256))
    }
    let seen = try RGBImage(decoding: Self.webp(samples, 48, 32, channels: 4), name: "a")
    var expected: [UInt8] = []
    for place in 0..<48 * 32 * 3 {
      let alpha = Double(place / 3 % 256) / 255
      expected.append(UInt8((Double(image.pixels[place]) * alpha + 255 * (1 - alpha)).rounded()))
    }
    #expect(distance(seen, RGBImage(width: 48, height: 32, pixels: expected)) <= 1)
  }

  /// A part of the size is decoded where that is enough, and nothing smaller.
  @Test(arguments: [(0, 96), (96, 96), (49, 96), (48, 48), (24, 24), (12, 12), (1, 12)])
  func scaled(atLeast: Int, side: Int) throws {
    let file = Self.jpeg(Self.picture(width: 144, height: 96))
    let image = try RGBImage(decoding: file, name: "a.jpg", atLeast: atLeast)
    #expect(image.height == side && image.width == side * 3 / 2)
    let mean = { (image: RGBImage) in image.pixels.reduce(0) { $0 + Double($1) } / Double(image.pixels.count) }
    #expect(abs(mean(image) - mean(Self.picture(width: 144, height: 96))) < 2)
  }

  @Test func cutFilesAreRefused() throws {
    let image = Self.picture()
    for (name, file) in [("a.jpg", Self.jpeg(image)), ("a.webp", Self.webp(image.pixels, 48, 32))] {
      for length in [0, 3, 12, file.count / 3, file.count / 2, file.count - 20] {
        let text = message { _ = try RGBImage(decoding: Array(file[..<length]), name: name) }
        #expect(text?.hasPrefix(name + ": ") == true, "\(length) bytes of \(name): \(text ?? "decoded")")
      }
    }
    // Noise in the middle is no picture either, wherever libjpeg would go on.
    var broken = Self.jpeg(image)
    for place in broken.count / 2..<broken.count / 2 + 40 { broken[place] = 0xFF }
    #expect(message { _ = try RGBImage(decoding: broken, name: "a.jpg") } != nil)
  }

  @Test func limits() throws {
    let file = Self.jpeg(Self.picture(width: 144, height: 96))
    let side = message { _ = try RGBImage(decoding: file, name: "a.jpg", limits: ImageLimits(side: 100)) }
    #expect(side == "a.jpg: 144 x 96 pixels, the limit is 100 a side")
    // What is scaled down is decoded whole inside.
    let bytes = message {
      _ = try RGBImage(decoding: file, name: "a.jpg", limits: ImageLimits(bytes: 40_000), atLeast: 1)
    }
    #expect(bytes == "a.jpg: 144 x 96 pixels take 41472 bytes, the limit is 40000")
  }

  @Test func animationsAreRefused() {
    let extended: [UInt8] = [0x02, 0, 0, 0, 9, 0, 0, 9, 0, 0]
    let file =
      Array("RIFF".utf8) + [40, 0, 0, 0] + Array("WEBPVP8X".utf8) + [10, 0, 0, 0] + extended + Array("ANIM".utf8)
      + [6, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    let text = message { _ = try RGBImage(decoding: file, name: "a.webp") }
    #expect(text?.contains("an animated WebP image, expected a single picture") == true, "\(text ?? "")")
  }

  @Test func sizesByHeader() throws {
    let image = Self.picture()
    for (index, file) in [try image.png(), Self.jpeg(image), Self.webp(image.pixels, 48, 32)].enumerated() {
      let size = try #require(ImageFormat.table[index].size(file))
      #expect(size == (48, 32))
      #expect(ImageFormat.table[index].size(Array(file.prefix(9))) == nil)
    }
  }

  /// What a model of an input side is chosen by.
  @Test func samples() throws {
    let folder = try TemporaryFolder()
    for number in 0..<5 {
      try folder.write("a/\(number).jpg", Self.jpeg(Self.picture(width: 60 + 10 * number, height: 40 + 10 * number)))
    }
    let sample = try #require(try ImageSample(of: folder.path))
    #expect((sample.count, sample.shorterSide, sample.isGrey) == (5, 60, false))
    try folder.write("b/0.png", RGBImage.plain(width: 9, height: 9, [7, 7, 7]).png())
    #expect(try ImageSample(of: folder.path + "/b")?.isGrey == true)
    try folder.write("c/0.png", [1, 2, 3])
    #expect(try ImageSample(of: folder.path + "/c") == nil)
  }
}
