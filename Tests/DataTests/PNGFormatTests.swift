import MMoETensor
import Testing

@testable import MMoEData

/// Every kind of PNG file, written by an independent encoder, against expectations by definition.
@Suite struct PNGFormatTests {
  struct Kind: CustomTestStringConvertible, Sendable {
    var colorType: Int
    var depth: Int
    var interlaced: Bool
    var transparent: Bool
    var testDescription: String {
      "type \(colorType), \(depth) bits\(interlaced ? ", interlaced" : "")\(transparent ? ", tRNS" : "")"
    }
  }

  static let kinds: [Kind] = {
    let depths = [0: [1, 2, 4, 8, 16], 2: [8, 16], 3: [1, 2, 4, 8], 4: [8, 16], 6: [8, 16]]
    var kinds: [Kind] = []
    for (type, depths) in depths.sorted(by: { $0.key < $1.key }) {
      for depth in depths {
        for interlaced in [false, true] {
          for transparent in type < 4 ? [false, true] : [false] {
            kinds.append(
              Kind(colorType: type, depth: depth, interlaced: interlaced, transparent: transparent))
          }
        }
      }
    }
    return kinds
  }()

  /// A file of random samples; some samples equal the transparent one.
  static func writer(_ kind: Kind, width: Int = 13, height: Int = 11) -> PNGWriter {
    let random = CounterRandom(seed: 7, purpose: .test, a: UInt64(kind.colorType * 100 + kind.depth))
    let channels = PNGWriter.channels(kind.colorType)
    var samples = (0..<width * height * channels).map {
      random.integer(UInt64($0), below: 1 << kind.depth)
    }
    var writer = PNGWriter(
      width: width, height: height, depth: kind.depth, colorType: kind.colorType,
      interlaced: kind.interlaced, samples: samples)
    if kind.colorType == 3 {
      writer.palette = (0..<1 << kind.depth).map { i in
        (0..<3).map { UInt8(random.integer(UInt64(100_000 + 3 * i + $0), below: 256)) }
      }
    }
    guard kind.transparent else { return writer }
    switch kind.colorType {
    case 3: writer.transparency = (0..<(1 << kind.depth) / 2).map { UInt8($0 * 37 % 256) }
    default:
      // The second pixel has the transparent color; at 16 bits the third differs in the low byte only.
      let key = Array(samples[channels..<2 * channels])
      if kind.depth == 16 { for c in 0..<channels { samples[2 * channels + c] = key[c] ^ 1 } }
      writer.samples = samples
      writer.transparency = key.flatMap { [UInt8($0 >> 8), UInt8($0 & 0xFF)] }
    }
    return writer
  }

  /// RGBA by definition: high byte of 16 bits, 255 / (2^depth − 1) below 8.
  static func expectedRGBA(_ writer: PNGWriter) -> [UInt8] {
    func eight(_ sample: Int) -> UInt8 {
      writer.depth == 16 ? UInt8(sample >> 8) : UInt8(sample * 255 / ((1 << writer.depth) - 1))
    }
    let channels = PNGWriter.channels(writer.colorType)
    let key = writer.transparency.map { bytes in
      stride(from: 0, to: bytes.count - 1, by: 2).map { Int(bytes[$0]) << 8 | Int(bytes[$0 + 1]) }
    }
    var result: [UInt8] = []
    for pixel in 0..<writer.width * writer.height {
      let s = Array(writer.samples[pixel * channels..<(pixel + 1) * channels])
      let alpha: UInt8 = key == s ? 0 : 255
      switch writer.colorType {
      case 0: result += [eight(s[0]), eight(s[0]), eight(s[0]), alpha]
      case 2: result += [eight(s[0]), eight(s[1]), eight(s[2]), alpha]
      case 3:
        let table = writer.transparency ?? []
        result += writer.palette[s[0]] + [s[0] < table.count ? table[s[0]] : 255]
      case 4: result += [eight(s[0]), eight(s[0]), eight(s[0]), eight(s[1])]
      default: result += s.map(eight)
      }
    }
    return result
  }

  @Test(arguments: kinds) func decodes(_ kind: Kind) throws {
    let writer = PNGFormatTests.writer(kind)
    let rgba = PNGFormatTests.expectedRGBA(writer)
    let decoded = try PNGCodec.decode(writer.file, form: .rgba, name: "t", limits: .standard) { $0 }
    #expect(decoded.width == 13 && decoded.height == 11)
    #expect(decoded.bitDepth == kind.depth && decoded.interlaced == kind.interlaced)
    #expect(decoded.bytes == rgba)

    let samples = try PNGCodec.decode(writer.file, form: .samples, name: "t", limits: .standard) { $0 }
    let raw = writer.samples.flatMap {
      kind.depth == 16 ? [UInt8($0 >> 8), UInt8($0 & 0xFF)] : [UInt8($0)]
    }
    #expect(samples.bytes == raw)

    let image = try RGBImage(decoding: writer.file, name: "t")
    var white: [UInt8] = []
    for pixel in 0..<13 * 11 {
      let alpha = Double(rgba[4 * pixel + 3]) / 255
      for c in 0..<3 {
        white.append(UInt8((Double(rgba[4 * pixel + c]) * alpha + 255 * (1 - alpha)).rounded()))
      }
    }
    #expect(image.pixels == white)
  }

  @Test(arguments: kinds) func decodesOnePixel(_ kind: Kind) throws {
    let writer = PNGWriter(
      width: 1, height: 1, depth: kind.depth, colorType: kind.colorType,
      interlaced: kind.interlaced,
      samples: Array(repeating: (1 << kind.depth) - 1, count: PNGWriter.channels(kind.colorType)),
      palette: kind.colorType == 3
        ? Array(repeating: [255, 255, 255], count: 1 << kind.depth) : [])
    let image = try RGBImage(decoding: writer.file, name: "t")
    #expect(image.width == 1 && image.height == 1 && image.pixels == [255, 255, 255])
  }

  @Test(arguments: [0, 1, 6, 9]) func encodesWhatItDecodes(level: Int) throws {
    let pixels = (0..<17 * 5 * 3).map { UInt8(truncatingIfNeeded: $0 * $0) }
    let image = RGBImage(width: 17, height: 5, pixels: pixels)
    #expect(try RGBImage(decoding: image.png(compression: level), name: "t") == image)
    let grey = try PNGCodec.encode([0, 128, 255], width: 3, height: 1, channels: 1, compression: level)
    #expect(
      try RGBImage(decoding: grey, name: "t").pixels == [0, 0, 0, 128, 128, 128, 255, 255, 255])
  }

  @Test func encoderRefuses() throws {
    let image = RGBImage(width: 1, height: 1, pixels: [1, 2, 3])
    #expect(message { _ = try image.png(compression: 10) }?.contains("expected 0 to 9") == true)
    #expect(
      message { _ = try PNGCodec.encode([1], width: 2, height: 1, channels: 1, compression: 1) } != nil)
    #expect(
      message { _ = try PNGCodec.encode([1, 2], width: 1, height: 1, channels: 2, compression: 1) }?
        .contains("expected 1 or 3") == true)
    #expect(message { _ = try PNGCodec.encode([], width: 0, height: 0, channels: 3, compression: 1) } != nil)
  }
}
