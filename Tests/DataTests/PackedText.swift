import Foundation

@testable import MMoEData

/// Packed files, made by hand where their shape matters, else by the system's programs.
enum PackedText {
  /// A gzip member whose content is stored, not compressed.
  static func gzip(_ content: [UInt8]) -> [UInt8] {
    var bytes: [UInt8] = [0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 3]
    var rest = content[...]
    repeat {
      let block = rest.prefix(65_535)
      rest = rest.dropFirst(block.count)
      bytes += [rest.isEmpty ? 1 : 0] + little(block.count, 2) + little(~block.count & 0xFFFF, 2) + block
    } while !rest.isEmpty
    return bytes + little(Int(PNGWriter.crc(content)), 4) + little(content.count, 4)
  }

  /// A zstd frame of blocks as they are (RFC 8878, 3.1.1).
  static func zstd(_ content: [UInt8], windowLog: Int = 17) -> [UInt8] {
    var bytes = little(0xFD2F_B528, 4) + [0, UInt8(windowLog - 10) << 3]
    var rest = content[...]
    repeat {
      let block = rest.prefix(1 << 17)
      rest = rest.dropFirst(block.count)
      bytes += little(block.count << 3 | (rest.isEmpty ? 1 : 0), 3) + block
    } while !rest.isEmpty
    return bytes
  }

  /// A zstd frame of `blocks` times 128 kB of one letter, 4 bytes each.
  static func zstdBomb(blocks: Int) -> [UInt8] {
    little(0xFD2F_B528, 4) + [0, 7 << 3]
      + (1...blocks).flatMap { little((1 << 17) << 3 | 1 << 1 | ($0 == blocks ? 1 : 0), 3) + [0x61] }
  }

  /// Whether the programs that pack are installed.
  static let hasPrograms = ["/usr/bin/gzip", "/usr/bin/zstd"].allSatisfy(
    FileManager.default.isExecutableFile(atPath:))

  /// What a program in /usr/bin makes of a file; nil when it fails.
  static func packed(_ program: String, _ file: String) throws -> [UInt8]? {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/" + program)
    process.arguments = ["-q", "-c", file]
    let pipe = Pipe()
    process.standardOutput = pipe
    try process.run()
    let bytes = [UInt8](pipe.fileHandleForReading.readDataToEndOfFile())
    process.waitUntilExit()
    return process.terminationStatus == 0 ? bytes : nil
  }

  private static func little(_ value: Int, _ count: Int) -> [UInt8] {
    (0..<count).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
  }
}
