import Foundation
import MMoEHDF5
import Testing

@Suite struct RoundTripTests {
  let folder: TemporaryFolder
  let path: String

  init() throws {
    folder = try TemporaryFolder()
    path = folder.file("a.h5")
    try writeSample(path)
  }

  @Test func valuesComeBack() throws {
    let reader = try CheckpointFile.open(path)
    #expect(try reader.shape("model/patch.embed/weight") == [48, 32])
    #expect(try reader.readFloats("/model/patch.embed/weight") == ramp(48 * 32))
    #expect(try reader.readFloats("model/blocks/1/experts/0002/fc1/bias") == ramp(64))
    #expect(try reader.readInt64s("state/random") == [1, -2, .max, .min])
    #expect(try reader.readDoubles("state/average") == [0.1])
    #expect(try reader.readFloats("state/average") == [0.1])
    #expect(try reader.readBytes("state/blob") == [0, 1, 255])
    #expect(try reader.readFloats("state/empty") == [])
    var direct = [Float](repeating: 0, count: 2048)
    try reader.readFloats("model/blocks/1/experts/0001/fc1/weight", into: &direct, count: 2048)
    #expect(direct == ramp(2048))
  }

  /// Large datasets are written and read past the library, which must find the same numbers.
  @Test(arguments: [131_072, 131_073, 262_143, 1_048_576, 3_000_001]) func largeValuesComeBack(count: Int) throws {
    let noise = (0..<count).map { Float(Int32(truncatingIfNeeded: $0 &* 2_654_435_761)) }
    for name in ["a.h5", "b.h5"] {
      let writer = try CheckpointWriter(path: folder.file(name))
      try writer.writeFloats("small", shape: [3], ramp(3))
      // From memory that is not aligned either.
      try noise.withUnsafeBufferPointer { try writer.writeFloats("large/0", shape: [count - 1], $0.baseAddress! + 1) }
      try writer.writeInt64s("large/1", shape: [count / 2], (0..<count / 2).map { Int64($0 &* 7_919) })
      try writer.writeFloats("large/2", shape: [count], noise)
      try writer.setAttribute("unit", "1", of: "large/2")
      try writer.finish()
    }
    #expect(try bytes(folder.file("a.h5")) == bytes(folder.file("b.h5")))
    let reader = try CheckpointFile.open(path)
    #expect(try reader.readFloats("small") == ramp(3))
    #expect(try reader.readFloats("large/0") == Array(noise.dropFirst()))
    #expect(try reader.readFloats("large/2") == noise)
    #expect(try reader.readDoubles("large/2") == noise.map(Double.init))
    #expect(try reader.readInt64s("large/1").last == Int64((count / 2 - 1) * 7_919))
  }

  @Test func attributesComeBack() throws {
    let reader = try CheckpointFile.open(path)
    #expect(try reader.stringAttribute("config") == "model:\n  width: 192 # größer")
    #expect(try reader.intAttribute("step") == 1234)
    #expect(try reader.doubleAttribute("step") == 1234)
    #expect(try reader.doubleAttribute("loss") == 0.1)
    #expect(try reader.stringAttribute("layout", of: "model/patch.embed/weight") == "[out, in]")
    #expect(try reader.stringAttribute("absent") == nil)
    #expect(try reader.attributeNames() == ["config", "loss", "step"])
    #expect(throws: HDF5Error.self) { try reader.intAttribute("loss") }
    #expect(throws: HDF5Error.self) { try reader.stringAttribute("x", of: "nowhere") }
  }

  @Test func longAttributesAreKept() throws {
    let long = String(repeating: "configuration ", count: 20_000)
    let writer = try CheckpointWriter(path: path)
    try writer.setAttribute("config", long)
    try writer.setAttribute("empty", "")
    try writer.finish()
    let reader = try CheckpointFile.open(path)
    #expect(try reader.stringAttribute("config") == long)
    #expect(try reader.stringAttribute("empty") == "")
  }

  @Test func treeIsListed() throws {
    let reader = try CheckpointFile.open(path)
    #expect(try reader.list("").map(\.name) == ["model", "state"])
    #expect(try reader.list("state").map(\.kind) == Array(repeating: .dataset, count: 4))
    #expect(try reader.list("/model/blocks/1/experts/").map(\.name) == ["0000", "0001", "0002"])
    #expect(reader.datasets.count == 11)
    #expect(reader.exists("model/blocks") && reader.exists("state/blob"))
    #expect(!reader.exists("model/patch") && !reader.exists("state/blob/x"))
    #expect(throws: HDF5Error.self) { try reader.list("state/blob") }
  }

  @Test func askingForTheWrongThingIsAnError() throws {
    let reader = try CheckpointFile.open(path)
    var one: Float = 0
    let wrong = #expect(throws: HDF5Error.self) {
      try reader.readFloats("state/random", into: &one, count: 1)
    }
    #expect(wrong?.reason == .mismatch)
    #expect(wrong?.description.contains("4 elements of shape [2, 2] found, 1 expected") == true)
    #expect(throws: HDF5Error.self) { try reader.readInt64s("state/average") }
    #expect(throws: HDF5Error.self) { try reader.readBytes("state/random") }
    let missing = #expect(throws: HDF5Error.self) { try reader.readFloats("model/nothing") }
    #expect(missing?.reason == .missing)
  }

  @Test func everyExpertStartsAtAPage() throws {
    let reader = try CheckpointFile.open(path)
    let file = try bytes(path)
    for dataset in reader.datasets where dataset.path.contains("experts") {
      let offset = try #require(dataset.fileOffset)
      #expect(offset % CheckpointWriter.alignment == 0, "\(dataset.path)")
      // The place counts from the file's first byte, user block included.
      let first = file[offset..<offset + 4].reversed().reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
      #expect(Float(bitPattern: first) == -5)
    }
  }

  @Test func sameContentGivesTheSameBytes() throws {
    let other = folder.file("b.h5")
    try writeSample(other)
    #expect(try bytes(path) == bytes(other))
    try writeSample(other, scale: 2)
    #expect(try bytes(path) != bytes(other))
  }

  @Test func manySmallDatasetsStaySmall() throws {
    let writer = try CheckpointWriter(path: path)
    for i in 0..<500 { try writer.writeFloats("norms/\(i)/bias", shape: [16], ramp(16)) }
    #expect(try writer.finish().bytes < 1 << 20)
    #expect(try CheckpointFile.open(path).datasets.count == 500)
  }

  @Test func threadsMayUseTheLibraryAtOnce() async throws {
    let path = path
    let folder = folder.path
    try await withThrowingTaskGroup(of: Bool.self) { group in
      for task in 0..<8 {
        group.addTask {
          for round in 0..<20 {
            if task % 2 == 0 {
              let reader = try CheckpointFile.open(path)
              guard try reader.readFloats("model/patch.embed/weight") == ramp(48 * 32) else {
                return false
              }
            } else {
              try writeSample("\(folder)/\(task).h5", scale: Float(round))
            }
          }
          return true
        }
      }
      for try await correct in group { #expect(correct) }
    }
  }
}
