import Foundation
import MMoEHDF5
import Testing

/// Links between the files of a checkpoint: only to parts beside it.
@Suite struct PartTests {
  let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  /// A checkpoint that links `path` to a part under the name that a stranger chose.
  private func write(linkTo name: String, checksum: UInt64? = nil) throws -> HDF5Error? {
    let part = try CheckpointWriter(path: folder.file("a.r00.h5"))
    try part.writeFloats("model/x", shape: [3], [1, 2, 3])
    let made = try part.finish()
    let writer = try CheckpointWriter(path: folder.file("a.h5"))
    try writer.writeFloats("model/y", shape: [1], [4])
    try writer.link(["model/x"], to: CheckpointPart(name: name, bytes: made.bytes, checksum: checksum ?? made.checksum))
    try writer.finish()
    do {
      let reader = try CheckpointFile.open(folder.file("a.h5"))
      #expect(try reader.readFloats("model/x") == [1, 2, 3])
      #expect(try reader.list("model").map(\.name) == ["x", "y"] && reader.shape("model/x") == [3])
      return nil
    } catch let error as HDF5Error {
      return error
    }
  }

  @Test func aPartBesideIsRead() throws { #expect(try write(linkTo: "a.r00.h5") == nil) }

  @Test(arguments: [
    "../a.r00.h5", "/etc/passwd", "sub/a.r00.h5", "b.h5", "..", ".r00.h5", "a.r00.h5 ", "a.rx0.h5", "a.r0.h5",
  ])
  func othersAreRefused(name: String) throws {
    let error = try write(linkTo: name)
    #expect(error?.description.contains("refused") == true, "\(error?.description ?? "read")")
  }

  @Test func wrongContentIsRefused() throws {
    #expect(try write(linkTo: "a.r00.h5", checksum: 7)?.description.contains("of another step") == true)
    #expect(try write(linkTo: "a.r01.h5")?.description.contains("a.r01.h5: no such file") == true)
  }

  /// A part may not have parts itself: no chain, no cycle.
  @Test func aPartHasNoParts() throws {
    _ = try write(linkTo: "a.r00.h5")
    let inner = try CheckpointWriter(path: folder.file("b.r00.h5"))
    let owner = try CheckpointFile.verify(folder.file("a.r00.h5"))
    try inner.link(["model/x"], to: CheckpointPart(name: "a.r00.h5", bytes: owner.bytes, checksum: owner.checksum))
    let made = try inner.finish()
    let writer = try CheckpointWriter(path: folder.file("b.h5"))
    try writer.link(["model/x"], to: made)
    try writer.finish()
    #expect { try CheckpointFile.open(folder.file("b.h5")) } throws: {
      "\($0)".contains("an external link, which is refused")
    }
    // Nor is one in a file of others followed.
    #expect { try HDF5Reader(foreign: folder.file("b.h5")) } throws: { "\($0)".contains("external link") }
  }
}
