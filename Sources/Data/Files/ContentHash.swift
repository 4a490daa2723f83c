import CHash
import Foundation
import MMoEFiles

/// 128 bits that stand for a content: equal contents have equal hashes, on every machine.
package struct ContentHash: Hashable, Sendable {
  package let low: UInt64
  package let high: UInt64

  init(low: UInt64, high: UInt64) { (self.low, self.high) = (low, high) }

  init(_ hash: mmoe_hash) { (low, high) = (hash.low, hash.high) }

  /// The hash of bytes in memory.
  package init(_ bytes: UnsafeRawBufferPointer) {
    self.init(mmoe_hash_bytes(bytes.baseAddress, bytes.count))
  }

  /// The hash of bytes in memory.
  package init(_ bytes: [UInt8]) {
    self = bytes.withUnsafeBytes { ContentHash($0) }
  }

  /// The hash of a file's content, which may be larger than memory. It is read, not mapped: a file that became shorter
  /// meanwhile would end the process.
  ///
  /// - Throws: `DataError` for a file that cannot be read.
  init(file path: String) throws {
    // Without O_NONBLOCK opening a named pipe would wait for a writer.
    let descriptor = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
    guard descriptor >= 0 else { throw DataError(path, found: "cannot be read: \(systemReason(errno))") }
    defer { close(descriptor) }
    let hasher = ContentHasher()
    let size = 1 << 20
    let buffer = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 64)
    defer { buffer.deallocate() }
    while true {
      let count = read(descriptor, buffer, size)
      if count < 0, errno == EINTR { continue }
      guard count >= 0 else { throw DataError(path, found: "cannot be read: \(systemReason(errno))") }
      guard count > 0 else { break }
      hasher.add(UnsafeRawBufferPointer(start: buffer, count: count))
    }
    self = hasher.value
  }

  /// All 32 hexadecimal digits.
  package var name: String { ContentHash.digits(high) + ContentHash.digits(low) }

  /// 16 hexadecimal digits: enough to tell a few thousand things apart.
  package var shortName: String { ContentHash.digits(low) }

  private static func digits(_ value: UInt64) -> String {
    let digits = String(value, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }
}

/// The hash of a content that comes in parts.
final class ContentHasher {
  private let state: OpaquePointer

  init() {
    guard let state = mmoe_hash_begin() else { fatalError("no memory for the 600 bytes of a hash") }
    self.state = state
  }

  deinit { mmoe_hash_end(state) }

  func add(_ bytes: UnsafeRawBufferPointer) { mmoe_hash_add(state, bytes.baseAddress, bytes.count) }

  /// Adds a text with its length, so that texts that are added one after the other cannot be cut elsewhere.
  func add(_ text: String) {
    let bytes = Array(text.utf8)
    withUnsafeBytes(of: UInt64(bytes.count).littleEndian) { add($0) }
    bytes.withUnsafeBytes { add($0) }
  }

  /// The hash of all so far.
  var value: ContentHash { ContentHash(mmoe_hash_now(state)) }
}
