import CHDF5
import MMoEFiles

/// The first 4,096 bytes of a checkpoint, little-endian:
///
///     0     magic "MMOECKPT"
///     8     u32 container version
///     16    u64 length of the whole file
///     24    u64 checksum of everything after this block: version 2 `BlockDigests`, version 1 XXH3-64
///     4088  u64 XXH3-64 of the 4,088 bytes before it
///
/// Everything else is zero. Magic and the last field stay where they are in all versions, so that a
/// newer version can be told from damage.
struct UserBlock {
  static let magic = [UInt8]("MMOECKPT".utf8)
  /// One page: what is aligned inside HDF5 is then aligned in the file.
  static let size = 4096
  private static let versionPlace = 8
  private static let lengthPlace = 16
  private static let checksumPlace = 24
  private static let ownChecksumPlace = size - 8

  var version = CheckpointFile.version
  let fileBytes: Int
  let checksum: UInt64

  var encoded: [UInt8] {
    var block = [UInt8](repeating: 0, count: Self.size)
    block.replaceSubrange(0..<Self.magic.count, with: Self.magic)
    Self.store(UInt32(version), in: &block, at: Self.versionPlace)
    Self.store(UInt64(fileBytes), in: &block, at: Self.lengthPlace)
    Self.store(checksum, in: &block, at: Self.checksumPlace)
    Self.store(Self.ownChecksum(block), in: &block, at: Self.ownChecksumPlace)
    return block
  }

  enum Fault: Error {
    case changed
    case newer(Int)
  }

  /// Takes a block of `size` bytes that begins with the magic.
  static func decode(_ block: [UInt8]) -> Result<UserBlock, Fault> {
    guard load(UInt64.self, block, at: ownChecksumPlace) == ownChecksum(block) else {
      return .failure(.changed)
    }
    let version = Int(load(UInt32.self, block, at: versionPlace))
    guard version <= CheckpointFile.version else { return .failure(.newer(version)) }
    guard version >= 1, let bytes = Int(exactly: load(UInt64.self, block, at: lengthPlace)) else {
      return .failure(.changed)
    }
    return .success(
      UserBlock(
        version: version, fileBytes: bytes, checksum: load(UInt64.self, block, at: checksumPlace)))
  }

  private static func ownChecksum(_ block: [UInt8]) -> UInt64 {
    block.withUnsafeBytes { mmoe_checksum($0.baseAddress, ownChecksumPlace) }
  }

  private static func store<Value: FixedWidthInteger>(
    _ value: Value, in block: inout [UInt8], at place: Int
  ) {
    block.withUnsafeMutableBytes {
      $0.storeBytes(of: value.littleEndian, toByteOffset: place, as: Value.self)
    }
  }

  private static func load<Value: FixedWidthInteger>(
    _ type: Value.Type, _ block: [UInt8], at place: Int
  ) -> Value {
    block.withUnsafeBytes { Value(littleEndian: $0.loadUnaligned(fromByteOffset: place, as: type)) }
  }
}
