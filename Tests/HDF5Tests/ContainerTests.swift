import CHDF5
import Foundation
import Testing

@testable import MMoEHDF5

/// A checkpoint that is not exactly what was written is recognized before HDF5 opens it.
@Suite struct ContainerTests {
  let folder: TemporaryFolder
  let path: String
  let intact: [UInt8]

  init() throws {
    folder = try TemporaryFolder()
    path = folder.file("a.h5")
    try writeSample(path)
    intact = try bytes(path)
  }

  /// The error of opening `bytes` as a checkpoint.
  private func failure(_ bytes: some Collection<UInt8>) throws -> HDF5Error? {
    try write(bytes, to: path)
    #expect(throws: HDF5Error.self) { try CheckpointFile.verify(path) }
    let error = #expect(throws: HDF5Error.self) { try CheckpointFile.open(path) }
    #expect(error?.description.contains("\n") == false)
    return error
  }

  @Test func summaryDescribesTheFile() throws {
    let summary = try CheckpointFile.verify(path)
    #expect(summary.bytes == intact.count && summary.version == CheckpointFile.version)
    #expect(CheckpointFile.isCheckpoint(path))
    #expect(!CheckpointFile.isCheckpoint(folder.path))
  }

  @Test(arguments: [
    (place: 0, reason: HDF5Error.Reason.notACheckpoint), (7, .notACheckpoint),
    // Version, length, payload checksum, reserved bytes, own checksum.
    (8, .damaged), (11, .damaged), (16, .damaged), (23, .damaged), (24, .damaged), (31, .damaged),
    (32, .damaged), (2000, .damaged), (4087, .damaged), (4088, .damaged), (4095, .damaged),
    // HDF5's own signature and what follows it.
    (4096, .damaged), (4104, .damaged), (9000, .damaged),
  ])
  func changedByte(place: Int, reason: HDF5Error.Reason) throws {
    for bit in 0..<8 {
      var changed = intact
      changed[place] ^= 1 << bit
      #expect(try failure(changed)?.reason == reason)
    }
  }

  @Test func randomChanges() throws {
    var dice = Dice(1)
    for _ in 0..<400 {
      var changed = intact
      for _ in 0...dice.roll(4) {
        changed[dice.roll(changed.count)] ^= UInt8(1 + dice.roll(255))
      }
      guard changed != intact else { continue }
      let error = try failure(changed)
      #expect(error?.reason == .damaged || error?.reason == .notACheckpoint)
    }
  }

  /// Bytes changed on purpose, with a user block that says they are right: every file opens or is refused in one line, and
  /// this process goes on.
  @Test func forgedBlocks() throws {
    var dice = Dice(7)
    var (opened, refused) = (0, 0)
    // Metadata lies at the beginning and at the end.
    for round in 0..<150 {
      var forged = intact
      for _ in 0...dice.roll(3) {
        let place = round % 2 == 0 ? 4096 + dice.roll(3000) : intact.count - 1 - dice.roll(3000)
        forged[min(max(place, 4096), intact.count - 1)] = UInt8(dice.roll(256))
      }
      try write(forged, to: path)
      let sum = try CheckpointFile.checksum(OpenFile(reading: path), path, end: forged.count)
      forged.replaceSubrange(0..<4096, with: UserBlock(fileBytes: forged.count, checksum: sum).encoded)
      try write(forged, to: path)
      _ = try CheckpointFile.verify(path)
      do {
        let reader = try CheckpointFile.open(path)
        _ = reader.datasets.count
        opened += 1
      } catch let error as HDF5Error {
        #expect(!error.description.contains("\n"), "\(error)")
        refused += 1
      }
    }
    #expect(opened > 0 && refused > 0, "\(opened) opened, \(refused) refused")
  }

  @Test func truncation() throws {
    for length in [0, 1, 7] {
      #expect(try failure(intact.prefix(length))?.reason == .notACheckpoint)
    }
    for length in [8, 4095, 4096, intact.count - 1] + stride(from: 9, to: intact.count, by: 611) {
      #expect(try failure(intact.prefix(length))?.reason == .truncated)
    }
    #expect(try failure(intact + [0])?.reason == .damaged)
  }

  /// As its first version was written: one sum over all that follows the user block.
  @Test func firstVersionIsRead() throws {
    let sum = intact[4096...].withUnsafeBytes { mmoe_checksum($0.baseAddress, $0.count) }
    var old = intact
    old.replaceSubrange(0..<4096, with: UserBlock(version: 1, fileBytes: old.count, checksum: sum).encoded)
    try write(old, to: path)
    #expect(try CheckpointFile.verify(path).version == 1)
    #expect(try !CheckpointFile.open(path).datasets.isEmpty)
    old[9000] ^= 1
    #expect(try failure(old)?.reason == .damaged)
  }

  /// The checksum written out again from its definition, over sizes around those of blocks.
  @Test(arguments: [-1, 0, 1, 4096, 100_000]) func checksumOfBlocks(beyond: Int) throws {
    let block = 256 << 10
    for blocks in [1, 2, 17, 33] {
      let content = (0..<blocks * block + beyond).map { UInt8(truncatingIfNeeded: $0 &* 2_654_435_761 >> 13) }
      try write(content, to: path)
      var digests: [UInt64] = []
      for start in stride(from: 0, to: content.count, by: block) {
        let piece = content[max(4096, start)..<min(start + block, content.count)]
        digests.append(piece.withUnsafeBytes { mmoe_checksum($0.baseAddress, $0.count) })
      }
      let expected = digests.withUnsafeBytes { mmoe_checksum($0.baseAddress, $0.count) }
      #expect(try CheckpointFile.checksum(OpenFile(reading: path), path, end: content.count) == expected)
    }
  }

  @Test func newerVersionIsNotCalledDamage() throws {
    // What a later program would write into its user block.
    var newer = intact
    newer[8] = 7
    let checksum = newer.withUnsafeBytes { mmoe_checksum($0.baseAddress, 4088) }
    newer.replaceSubrange(
      4088..<4096, with: withUnsafeBytes(of: checksum.littleEndian) { Array($0) })
    let error = try failure(newer)
    #expect(error?.reason == .newerVersion)
    #expect(error?.description.contains("version 7") == true)
  }

  @Test func otherFilesAreNotCheckpoints() throws {
    #expect(try failure([UInt8]("not at all".utf8))?.reason == .notACheckpoint)
    let foreign = try failure(intact.dropFirst(4096))
    #expect(foreign?.reason == .notACheckpoint)
    #expect(foreign?.description.contains("an HDF5 file") == true)
    let missing = #expect(throws: HDF5Error.self) {
      try CheckpointFile.open(folder.file("absent.h5"))
    }
    #expect(missing?.reason == .missing)
    #expect(throws: HDF5Error.self) { try CheckpointFile.open(folder.path) }
    #expect(mkfifo(folder.file("pipe.h5"), 0o600) == 0)
    #expect(throws: HDF5Error.self) { try CheckpointFile.open(folder.file("pipe.h5")) }
  }
}
