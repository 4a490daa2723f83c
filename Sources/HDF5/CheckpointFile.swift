import CHDF5
import Foundation
import MMoEFiles

/// The container of checkpoints: an HDF5 file behind a user block of 4,096 bytes that says how long
/// the file is and what its bytes add up to.
///
/// All of this is verified before the HDF5 library, which may crash on malformed files, sees a
/// byte.
package enum CheckpointFile {
  /// What the user block says of a file that holds it.
  package struct Summary: Sendable, Equatable {
    /// Version of the container.
    package let version: Int
    /// Length of the whole file.
    package let bytes: Int
    /// Of everything after the user block, as its version computes it.
    package let checksum: UInt64
  }

  /// Version of the container that this program writes, and the last one that it reads.
  package static let version = 2

  /// Opens a checkpoint after verifying it.
  ///
  /// - Throws: `HDF5Error`, see `verify`.
  package static func open(_ path: String) throws -> HDF5Reader {
    try HDF5Reader(checkpoint: path)
  }

  /// Whether the file begins as a checkpoint does; false also when it cannot be read.
  package static func isCheckpoint(_ path: String) -> Bool {
    (try? OpenFile(reading: path))?.bytes(at: 0, count: UserBlock.magic.count) == UserBlock.magic
  }

  /// Reads the whole file once and compares it with its user block.
  ///
  /// - Throws: `HDF5Error` of reason `missing`, `unreadable`, `notACheckpoint`, `truncated`,
  ///   `damaged` or `newerVersion`.
  package static func verify(_ path: String) throws -> Summary {
    try verify(OpenFile(reading: path), path)
  }

  static func verify(_ file: OpenFile, _ path: String) throws -> Summary {
    let length = file.length
    let start = file.bytes(at: 0, count: UserBlock.size)
    guard start.starts(with: UserBlock.magic) else {
      throw HDF5Error(.notACheckpoint, path, foreignness(file, length: length))
    }
    guard start.count == UserBlock.size else {
      throw HDF5Error(
        .truncated, path, found: "truncated checkpoint: \(length) bytes found, at least \(UserBlock.size) expected",
        remedy: remedy)
    }
    let block: UserBlock
    switch UserBlock.decode(start) {
    case .success(let decoded): block = decoded
    case .failure(.newer(let version)):
      throw HDF5Error(
        .newerVersion, path, found: "checkpoint of container version \(version)",
        remedy: "this program reads up to \(Self.version), update it")
    case .failure(.changed):
      throw HDF5Error(
        .damaged, path, found: "damaged checkpoint: its user block has changed since it was written", remedy: remedy)
    }
    guard length >= block.fileBytes else {
      throw HDF5Error(
        .truncated, path, found: "truncated checkpoint: \(length) bytes found, \(block.fileBytes) expected",
        remedy: remedy)
    }
    guard length == block.fileBytes else {
      throw HDF5Error(
        .damaged, path, found: "damaged checkpoint: \(length) bytes found, only \(block.fileBytes) expected",
        remedy: remedy)
    }
    let found = try checksum(file, path, end: length, version: block.version)
    guard found == block.checksum else {
      throw HDF5Error(
        .damaged, path,
        found:
          "damaged checkpoint: its bytes have changed since it was written (checksum \(hex(found)), \(hex(block.checksum)) expected)",
        remedy: remedy)
    }
    return Summary(version: block.version, bytes: length, checksum: found)
  }

  /// The checksum of everything after the user block.
  ///
  /// - Parameter known: digests of blocks that need not be read again.
  static func checksum(
    _ file: OpenFile, _ path: String, end: Int, version: Int = version, known: BlockDigests = BlockDigests()
  ) throws -> UInt64 {
    var sum: UInt64 = 0
    let status =
      version == 1
      ? mmoe_checksum_file(
        file.descriptor, UInt64(UserBlock.size), UInt64(max(UserBlock.size, end)), &sum)
      : known.checksum(of: file, end: end, &sum)
    guard status == 0 else {
      throw status < 0
        ? HDF5Error(.truncated, path, found: "became shorter while it was read", remedy: remedy)
        : HDF5Error(.unreadable, path, found: "cannot be read: \(systemReason(status))")
    }
    return sum
  }

  private static let remedy = "copy it again or use an earlier one"

  /// What a file without our magic looks like.
  private static func foreignness(_ file: OpenFile, length: Int) -> String {
    guard length > 0 else { return "not a checkpoint: the file is empty" }
    let signature: [UInt8] = [0x89, 0x48, 0x44, 0x46, 0x0D, 0x0A, 0x1A, 0x0A]
    // Where HDF5 itself looks.
    let places = [0] + (9...16).map { 1 << $0 }
    return places.contains { file.bytes(at: $0, count: 8) == signature }
      ? "not a checkpoint: an HDF5 file, but without the user block that mmoe writes; expected one made by `mmoe train`"
      : "not a checkpoint: neither mmoe's user block nor HDF5; expected a file made by `mmoe train`"
  }

  /// A checksum in 16 digits.
  package static func hex(_ value: UInt64) -> String {
    let digits = String(value, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }
}
