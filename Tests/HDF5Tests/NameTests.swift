import Foundation
import Testing

@testable import MMoEHDF5

/// Names are their bytes, and numbers are what the file says.
@Suite struct NameTests {
  let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  /// Names that a `String` holds for equal, of datasets and of groups.
  @Test func namesThatLookAlike() throws {
    let names = ["m/\u{E9}", "m/e\u{301}", "g\u{E9}/x", "ge\u{301}/x", "m/norm.weight", "m/norm/weight"]
    let writer = try CheckpointWriter(path: folder.file("a.h5"))
    for (index, name) in names.enumerated() { try writer.writeFloats(name, shape: [1], [Float(index)]) }
    try writer.finish()
    let reader = try CheckpointFile.open(folder.file("a.h5"))
    #expect(reader.datasets.count == 6)
    for (index, name) in names.enumerated() { #expect(try reader.readFloats("/" + name) == [Float(index)], "\(index)") }
    #expect(
      try reader.list("m").count == 4 && reader.list("g\u{E9}").count == 1 && reader.list("ge\u{301}/").count == 1)
  }

  /// A slash stays one when an accent follows it.
  @Test(arguments: [
    ("a.r00.h5", true), ("my run.r01.h5", true), ("\u{E9}.r00.h5", true), ("b/\u{301}.r00.h5", false),
    ("../\u{301}.r00.h5", false), ("a\n.r00.h5", false), ("a.r0\u{661}.h5", false), ("a.r00.h\u{301}5", false),
  ]) func namesOfParts(name: String, isOne: Bool) { #expect(CheckpointPart.isName(name) == isOne) }

  @Test func partsWithBlanks() throws {
    let part = try CheckpointWriter(path: folder.file("my run.r00.h5"))
    try part.writeFloats("model/x", shape: [1], [3])
    let made = try part.finish()
    #expect(CheckpointPart(line: made.line) == made && CheckpointPart(line: "a.r00.h5 -1 a") == nil)
    let writer = try CheckpointWriter(path: folder.file("my run.h5"))
    try writer.link(["model/x"], to: made)
    try writer.finish()
    #expect(try CheckpointFile.open(folder.file("my run.h5")).readFloats("model/x") == [3])
  }

  /// The file again with right checksums.
  private func seal(_ bytes: [UInt8], to path: String) throws {
    try write(bytes, to: path)
    let checksum = try CheckpointFile.checksum(OpenFile(reading: path), path, end: bytes.count)
    try write(UserBlock(fileBytes: bytes.count, checksum: checksum).encoded + bytes.dropFirst(UserBlock.size), to: path)
  }

  /// 2⁶⁴ − 1 does not become 2⁶³ − 1.
  @Test func unsignedNumbers() throws {
    let path = folder.file("a.h5")
    let writer = try CheckpointWriter(path: path)
    try writer.setAttribute("steps", -1)
    try writer.finish()
    var content = try bytes(path)
    let name = try #require(Data(content).range(of: Data("steps\0".utf8))).upperBound
    // The type's description: little-endian, signed, eight bytes.
    let type = Data([0x10, 0x08, 0, 0, 8, 0, 0, 0])
    content[try #require(Data(content).range(of: type, in: name..<content.count)).lowerBound + 1] = 0
    try seal(content, to: path)
    #expect { try CheckpointFile.open(path).intAttribute("steps") } throws: {
      "\($0)".contains(
        "attribute 'steps': neither one string nor one number of at most 63 bits found, an integer expected")
    }
  }
}
