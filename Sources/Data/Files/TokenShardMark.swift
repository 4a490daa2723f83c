import Foundation

/// What every shard of tokens begins with.
enum TokenShardMark {
  static let bytes = [UInt8]("MMoETOK\n".utf8)

  /// Whether a file begins as a shard does.
  static func begins(_ path: String) -> Bool {
    guard let file = FileHandle(forReadingAtPath: path) else { return false }
    return (try? file.read(upToCount: bytes.count)) == Data(bytes)
  }
}
