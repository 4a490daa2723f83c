import Foundation
import Glibc
import MMoEHDF5
import Testing

/// Whatever happens while a checkpoint is written, the one before it stays.
@Suite struct WriteFailureTests {
  let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  @Test func foldersThatCannotBeWritten() throws {
    let missing = #expect(throws: HDF5Error.self) {
      try CheckpointWriter(path: folder.file("none/a.h5"))
    }
    #expect(missing?.description.contains("there is no folder") == true)
    #expect(throws: HDF5Error.self) { try CheckpointWriter(path: folder.path) }
    // Root may write anywhere else.
    #expect(throws: HDF5Error.self) { try CheckpointWriter(path: "/proc/a.h5") }
  }

  @Test func abandonedWritesLeaveNothing() throws {
    let path = folder.file("a.h5")
    try writeSample(path)
    let before = try bytes(path)
    for leave in [true, false] {
      let writer = try CheckpointWriter(path: path)
      try writer.writeFloats("x", shape: [2_000_000], ramp(2_000_000))
      if leave { continue }
      writer.abandon()
      writer.abandon()
      #expect(throws: HDF5Error.self) { try writer.finish() }
    }
    #expect(folder.names == ["a.h5"])
    #expect(try bytes(path) == before)
  }

  @Test(arguments: [
    ("a//b", [1]), ("", [1]), ("/a", [1]), ("a/", [1]), ("a/../b", [1]), (".", [1]), ("a", [2]),
    ("a", [-1]), ("a", [.max, .max]), ("a", [1, 1, 1, 1, 1, 1, 1, 1, 1]), ("taken", [1]),
    ("taken/below", [1]),
  ])
  func datasetsThatCannotBe(path: String, shape: [Int]) throws {
    let writer = try CheckpointWriter(path: folder.file("a.h5"))
    try writer.writeFloats("taken", shape: [1], [0])
    #expect(throws: HDF5Error.self) { try writer.writeFloats(path, shape: shape, [1]) }
    #expect(throws: HDF5Error.self) { try writer.finish() }
    #expect(folder.names.isEmpty)
  }

  @Test func oneWriterAFile() throws {
    let first = try CheckpointWriter(path: folder.file("a.h5"))
    #expect(throws: HDF5Error.self) { try CheckpointWriter(path: folder.file("a.h5")) }
    try first.finish()
    let second = try CheckpointWriter(path: folder.file("a.h5"))
    #expect(throws: HDF5Error.self) { try first.finish() }
    try second.finish()
    #expect(folder.names == ["a.h5"])
  }

  @Test func leftoversOfDeadWritersGo() throws {
    for name in ["a.h5.tmp-1", "b.h5.tmp-\(getpid())", "notes.tmp-1", "a.h5.tmp-x"] {
      try write([1, 2, 3], to: folder.file(name))
    }
    let living = try CheckpointWriter(path: folder.file("c.h5"))
    try writeSample(folder.file("d.h5"))
    try living.finish()
    #expect(folder.names == ["a.h5.tmp-x", "c.h5", "d.h5", "notes.tmp-1"])
  }

  /// Whether a small disk can be mounted, which needs root.
  private static let canMount: Bool = {
    let place = NSTemporaryDirectory() + "mmoe-mount-" + UUID().uuidString
    defer { rmdir(place) }
    guard mkdir(place, 0o700) == 0, mount("tmpfs", place, "tmpfs", 0, "size=1m") == 0 else { return false }
    return umount(place) == 0
  }()

  @Test(.enabled(if: canMount, "mounting a small disk needs root")) func fullDisk() throws {
    let disk = folder.file("disk")
    try FileManager.default.createDirectory(atPath: disk, withIntermediateDirectories: true)
    try #require(mount("tmpfs", disk, "tmpfs", 0, "size=1m") == 0)
    defer { umount(disk) }
    let path = "\(disk)/a.h5"
    try writeSample(path)
    let before = try bytes(path)
    var failures = 0
    // From sizes that fit to sizes that do not, in steps that make every stage the first to fail:
    // values, the flush of metadata, postponed datasets, the user block.
    for kilobytes in stride(from: 700, through: 980, by: 4) {
      do {
        let writer = try CheckpointWriter(path: path)
        let count = kilobytes * 256
        try writer.writeFloats("large", shape: [count], ramp(count))
        for i in 0..<40 {
          try writer.writeFloats("g\(i)/small", shape: [8], ramp(8), aligned: i % 4 == 0)
        }
        try writer.finish()
        try writeSample("\(path).new")
        #expect(rename("\(path).new", path) == 0)
      } catch let error as HDF5Error {
        failures += 1
        #expect(error.reason == .unwritable)
        #expect(error.description.contains("No space left on device"), "\(error)")
        #expect(try bytes(path) == before)
      }
      #expect(try FileManager.default.contentsOfDirectory(atPath: disk) == ["a.h5"])
    }
    #expect(failures > 20)
    try writeSample(path)
    #expect(try bytes(path) == before)
  }
}
