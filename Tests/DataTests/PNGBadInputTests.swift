import Foundation
import Testing

@testable import MMoEData

/// Damaged, foreign and oversized files: one line each, never a crash.
@Suite struct PNGBadInputTests {
  private let writer = PNGFormatTests.writer(
    .init(colorType: 6, depth: 8, interlaced: false, transparent: false))

  private func failure(_ bytes: [UInt8], limits: ImageLimits = .standard) -> String? {
    message { _ = try RGBImage(decoding: bytes, name: "some.png", limits: limits) }
  }

  @Test func everyTruncationFails() throws {
    let file = writer.file
    for count in 0..<file.count {
      let text = try #require(failure(Array(file[..<count])), "a prefix of \(count) bytes decoded")
      #expect(text.hasPrefix("some.png: ") && !text.contains("\n"))
    }
    #expect(failure(Array(file[..<(file.count - 5)]))?.contains("truncated") == true)
  }

  @Test func everyFlippedBitFailsOrDecodes() {
    let file = writer.file
    for position in file.indices {
      for bit in 0..<8 {
        var damaged = file
        damaged[position] ^= 1 << UInt8(bit)
        // Every byte is covered by a checksum, the signature or a length. An ancillary bit may turn a chunk
        // into an unknown one, but its checksum is then wrong too.
        #expect(failure(damaged) != nil, "byte \(position), bit \(bit)")
      }
    }
  }

  @Test func foreignFiles() {
    #expect(failure([])?.contains("empty") == true)
    #expect(failure(Array("GIF89a and more".utf8))?.contains("not a PNG") == true)
  }

  @Test func limits() throws {
    let wide = PNGWriter(
      width: 20_000, height: 1, depth: 8, colorType: 0,
      samples: Array(repeating: 9, count: 20_000))
    #expect(failure(wide.file)?.contains("20000 x 1 pixels, the limit is 16384") == true)
    #expect(failure(wide.file, limits: ImageLimits(side: 20_000)) == nil)
    #expect(failure(writer.file, limits: ImageLimits(bytes: 100))?.contains("limit is 100") == true)
    // A header that promises 16384 x 16384 pixels of 4 bytes, backed by nothing.
    let header = PNGWriter.big(16_384) + PNGWriter.big(16_384) + [8, 6, 0, 0, 0]
    let file =
      Array(writer.file[..<8]) + PNGWriter.chunk("IHDR", header)
      + PNGWriter.chunk("IDAT", PNGWriter.zlib([0])) + PNGWriter.chunk("IEND", [])
    #expect(failure(file)?.contains("1073741824 bytes when decoded") == true)
  }

  @Test func unreadableFiles() throws {
    let folder = try TemporaryFolder()
    func failure(_ path: String) -> String? { message { _ = try RGBImage(contentsOf: path) } }
    #expect(failure(folder.path + "/absent.png")?.contains("No such file") == true)
    #expect(failure(folder.path)?.contains("not a regular file") == true)
    mkfifo(folder.path + "/pipe.png", 0o644)
    #expect(failure(folder.path + "/pipe.png")?.contains("not a regular file") == true)
    let large = try folder.write("large.png", writer.file)
    truncate(large, 3 << 30)
    #expect(failure(large)?.contains("the limit for a file") == true)
  }
}
