import Foundation
import MMoEFiles

/// The part of a stream that is in memory: text is looked at, taken from the front, and more is read behind it.
final class TextWindow {
  let stream: ByteStream
  /// Position in the stream of the first byte that is not taken.
  private(set) var position = 0
  private var bytes: [UInt8] = []
  private var start = 0
  private(set) var isAtEnd = false

  private static let step = 256 << 10

  init(_ stream: ByteStream) { self.stream = stream }

  /// Bytes in memory that are not taken.
  var count: Int { bytes.count - start }

  /// Looks at what is in memory.
  func withBytes<Result>(_ body: (UnsafeBufferPointer<UInt8>) throws -> Result) rethrows -> Result {
    try bytes.withUnsafeBufferPointer { try body(UnsafeBufferPointer(rebasing: $0[start...])) }
  }

  /// Reads on; false at the end of the stream.
  func readMore() throws -> Bool {
    guard !isAtEnd else { return false }
    if start > 0 {
      bytes.removeSubrange(..<start)
      start = 0
    }
    let before = bytes.count
    bytes.append(contentsOf: repeatElement(0, count: TextWindow.step))
    let count = try bytes.withUnsafeMutableBytes {
      try stream.read(into: UnsafeMutableRawBufferPointer(rebasing: $0[before...]))
    }
    bytes.removeSubrange((before + count)...)
    isAtEnd = count == 0
    return !isAtEnd
  }

  /// Reads on until so many bytes are in memory or the stream ends.
  func fill(_ wanted: Int) throws {
    while count < wanted, try readMore() {}
  }

  /// Takes bytes from the front.
  func take(_ count: Int) -> [UInt8] {
    defer { drop(count) }
    return Array(bytes[start..<start + count])
  }

  /// Passes over bytes at the front.
  func drop(_ count: Int) {
    start += count
    position += count
  }

  /// The place of the first byte of this value from an offset on, reading on as far as needed.
  ///
  /// - Throws: `DataError` when it does not come within `limit` bytes.
  func find(_ byte: UInt8, from offset: Int, limit: Int) throws -> Int? {
    var searched = offset
    while true {
      let found = withBytes { bytes -> Int? in
        guard searched < bytes.count, let base = bytes.baseAddress,
          let place = memchr(base + searched, Int32(byte), bytes.count - searched)
        else { return nil }
        return UnsafeRawPointer(base).distance(to: place)
      }
      if let found { return found }
      searched = count
      guard searched <= limit else {
        throw DataError(
          "\(stream.path)", found: "a line of more than \(limit) bytes after \(position)",
          remedy: "is this the right file?")
      }
      guard try readMore() else { return nil }
    }
  }
}
