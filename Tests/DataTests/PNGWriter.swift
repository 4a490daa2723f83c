import Foundation

/// An independent PNG encoder: any color type, depth and interlacing, stored (uncompressed) deflate blocks,
/// filter types in turn. Shares no code with the library.
struct PNGWriter {
  var width: Int
  var height: Int
  var depth: Int
  /// 0 grey, 2 RGB, 3 palette, 4 grey and alpha, 6 RGBA.
  var colorType: Int
  var interlaced = false
  /// Samples, row-major, channels interleaved, at the file's depth.
  var samples: [Int]
  var palette: [[UInt8]] = []
  /// The contents of a tRNS chunk.
  var transparency: [UInt8]?

  static func channels(_ colorType: Int) -> Int { [0: 1, 2: 3, 3: 1, 4: 2, 6: 4][colorType] ?? 0 }

  /// The whole file.
  var file: [UInt8] {
    var file: [UInt8] = [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]
    let header =
      PNGWriter.big(width) + PNGWriter.big(height)
      + [UInt8(depth), UInt8(colorType), 0, 0, interlaced ? 1 : 0]
    file += PNGWriter.chunk("IHDR", header)
    if !palette.isEmpty { file += PNGWriter.chunk("PLTE", palette.flatMap { $0 }) }
    if let transparency { file += PNGWriter.chunk("tRNS", transparency) }
    // Two chunks: readers must join them.
    let stream = PNGWriter.zlib(scanlines)
    let half = stream.count / 2
    file += PNGWriter.chunk("IDAT", Array(stream[..<half]))
    file += PNGWriter.chunk("IDAT", Array(stream[half...]))
    return file + PNGWriter.chunk("IEND", [])
  }

  private var scanlines: [UInt8] {
    guard interlaced else { return pass(x: 0, y: 0, dx: 1, dy: 1) }
    // Adam7.
    return [
      (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2),
    ].flatMap { pass(x: $0.0, y: $0.1, dx: $0.2, dy: $0.3) }
  }

  private func pass(x: Int, y: Int, dx: Int, dy: Int) -> [UInt8] {
    let channels = PNGWriter.channels(colorType)
    let columns = Array(stride(from: x, to: width, by: dx))
    guard !columns.isEmpty else { return [] }
    let pixelBytes = max(1, channels * depth / 8)
    var result: [UInt8] = []
    var above: [UInt8] = []
    for (line, row) in stride(from: y, to: height, by: dy).enumerated() {
      let values = columns.flatMap { column in
        (0..<channels).map { samples[(row * width + column) * channels + $0] }
      }
      let bytes = packed(values)
      if above.isEmpty { above = Array(repeating: 0, count: bytes.count) }
      let filter = line % 5
      result.append(UInt8(filter))
      for i in bytes.indices {
        let left = i >= pixelBytes ? Int(bytes[i - pixelBytes]) : 0
        let up = Int(above[i])
        let corner = i >= pixelBytes ? Int(above[i - pixelBytes]) : 0
        let predicted = [0, left, up, (left + up) / 2, PNGWriter.paeth(left, up, corner)][filter]
        result.append(bytes[i] &- UInt8(predicted))
      }
      above = bytes
    }
    return result
  }

  /// A row's samples as bytes: high bits first, two bytes at 16 bits.
  private func packed(_ values: [Int]) -> [UInt8] {
    var bytes: [UInt8] = []
    var bits = 0
    var filled = 0
    for value in values {
      bits = bits << depth | value
      filled += depth
      while filled >= 8 {
        bytes.append(UInt8(bits >> (filled - 8) & 0xFF))
        filled -= 8
        bits &= (1 << filled) - 1
      }
    }
    if filled > 0 { bytes.append(UInt8(bits << (8 - filled) & 0xFF)) }
    return bytes
  }

  private static func paeth(_ a: Int, _ b: Int, _ c: Int) -> Int {
    let p = a + b - c
    let (pa, pb, pc) = (abs(p - a), abs(p - b), abs(p - c))
    return pa <= pb && pa <= pc ? a : pb <= pc ? b : c
  }

  static func chunk(_ type: String, _ data: [UInt8]) -> [UInt8] {
    let body = Array(type.utf8) + data
    return big(data.count) + body + big(Int(crc(body)))
  }

  static func big(_ value: Int) -> [UInt8] {
    [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> $0) }
  }

  /// A zlib stream of stored blocks.
  static func zlib(_ data: [UInt8]) -> [UInt8] {
    var stream: [UInt8] = [0x78, 0x01]
    var start = 0
    repeat {
      let end = min(start + 65_535, data.count)
      let count = end - start
      stream.append(end == data.count ? 1 : 0)
      stream += [UInt8(count & 0xFF), UInt8(count >> 8), ~UInt8(count & 0xFF), ~UInt8(count >> 8)]
      stream += data[start..<end]
      start = end
    } while start < data.count
    var (a, b) = (1, 0)
    for byte in data {
      a = (a + Int(byte)) % 65_521
      b = (b + a) % 65_521
    }
    return stream + big(b << 16 | a)
  }

  static func crc(_ bytes: [UInt8]) -> UInt32 {
    var crc: UInt32 = 0xFFFF_FFFF
    for byte in bytes {
      crc ^= UInt32(byte)
      for _ in 0..<8 { crc = crc & 1 == 1 ? crc >> 1 ^ 0xEDB8_8320 : crc >> 1 }
    }
    return ~crc
  }
}
