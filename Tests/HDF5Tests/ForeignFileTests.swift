@preconcurrency import CLibHDF5
import Foundation
import MMoEHDF5
import Testing

/// Files of other programs are read by a child process; nothing in them reaches this one unchecked.
@Suite struct ForeignFileTests {
  let folder: TemporaryFolder
  let path: String

  init() throws {
    folder = try TemporaryFolder()
    path = folder.file("foreign.h5")
  }

  /// The reference cases beside the checkout, without which some tests are skipped.
  private static let cases: [String] = {
    let package = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .deletingLastPathComponent().deletingLastPathComponent()
    let folder = package.deletingLastPathComponent().appendingPathComponent("shared/cases").path
    let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
    return names.filter { $0.hasSuffix(".h5") }.sorted().map { "\(folder)/\($0)" }
  }()

  /// Reads everything; true when the file was accepted.
  private func survives() throws -> Bool {
    do {
      // Some damage sends the library round in circles.
      let reader = try HDF5Reader(foreign: path, seconds: 1)
      for dataset in reader.datasets { _ = try reader.readDoubles(dataset.path) }
      return true
    } catch let error as HDF5Error {
      #expect(!error.description.contains("\n"))
      return false
    }
  }

  @Test(.enabled(if: !cases.isEmpty, "no reference cases beside the checkout"))
  func referenceCases() throws {
    for file in Self.cases {
      let reader = try HDF5Reader(foreign: file)
      #expect(!reader.datasets.isEmpty)
      #expect(try reader.stringAttribute("kind") != nil)
      for dataset in reader.datasets {
        #expect(try reader.readDoubles(dataset.path).count == dataset.count)
      }
    }
  }

  @Test(.enabled(if: !cases.isEmpty, "no reference cases beside the checkout"))
  func namesMayHaveDots() throws {
    let file = try #require(Self.cases.first { $0.hasSuffix("/pair_top2.h5") })
    let reader = try HDF5Reader(foreign: file)
    #expect(try reader.shape("weights/experts.fc1.weight") == [4, 16, 8])
    #expect(try reader.dataset("inner/experts").type == .int64)
    let doubles = try reader.readDoubles("inputs/x")
    #expect(try reader.readFloats("inputs/x") == doubles.map(Float.init))
  }

  @Test(.enabled(if: !cases.isEmpty, "no reference cases beside the checkout"))
  func damagedReferenceCases() throws {
    var dice = Dice(2)
    var refused = 0
    for file in Self.cases {
      let intact = try bytes(file)
      for part in 0..<8 {
        try write(intact.prefix(intact.count * part / 8 + dice.roll(64)), to: path)
        refused += try survives() ? 0 : 1
      }
      for round in 0..<24 {
        var changed = intact
        // Metadata is where the library trusts what it reads; most of it stands first.
        let reach = round % 3 == 0 ? changed.count : min(changed.count, 3000)
        for _ in 0...dice.roll(12) { changed[dice.roll(reach)] = UInt8(dice.roll(256)) }
        try write(changed, to: path)
        refused += try survives() ? 0 : 1
      }
    }
    #expect(refused > Self.cases.count * 8)
  }

  @Test func checkpointsMayBeReadThisWayToo() throws {
    try writeSample(path)
    let reader = try HDF5Reader(foreign: path)
    #expect(try reader.readFloats("model/patch.embed/weight") == ramp(48 * 32))
    #expect(try reader.readInt64s("state/random") == [1, -2, .max, .min])
    #expect(try reader.readBytes("state/blob") == [0, 1, 255])
    #expect(try reader.stringAttribute("config") == "model:\n  width: 192 # größer")
    #expect(try reader.intAttribute("step") == 1234)
    #expect(try reader.readFloats("state/empty") == [])
  }

  @Test func compressedChunksAreRead() throws {
    StrangeFile.make(path) { file in
      StrangeFile.dataset(file, "packed", shape: [64, 64]) { creation in
        H5Pset_chunk(creation, 2, [16, 16])
        H5Pset_shuffle(creation)
        H5Pset_deflate(creation, 4)
        H5Pset_fletcher32(creation)
      }
    }
    let reader = try HDF5Reader(foreign: path)
    #expect(try reader.readInt64s("packed") == Array(repeating: 0, count: 4096))
  }

  /// What must be refused, and a word of the line that says so.
  enum Refused: String, CaseIterable {
    case softLink = "soft link"
    case externalLink = "external link"
    case virtualStorage = "virtual"
    case externalStorage = "other files"
    case filter = "filter"
    case reference = "object references"
    case rank = "rank 9"
    case size = "malformed"
    case chunkedSize = "can hold"
    case cycle = "deeper"

    func make(_ file: hid_t) {
      switch self {
      case .softLink: H5Lcreate_soft("/plain", file, "link", 0, 0)
      case .externalLink: H5Lcreate_external("other.h5", "/x", file, "link", 0, 0)
      case .virtualStorage:
        StrangeFile.dataset(file, "x", shape: [4]) { creation in
          let space = H5Screate_simple(1, [4], nil)
          H5Pset_virtual(creation, space, "other.h5", "x", space)
          H5Sclose(space)
        }
      case .externalStorage:
        StrangeFile.dataset(file, "x", shape: [4]) { H5Pset_external($0, "/etc/hostname", 0, 16) }
      case .filter:
        StrangeFile.dataset(file, "x", shape: [64]) { creation in
          H5Pset_chunk(creation, 1, [64])
          H5Pset_scaleoffset(creation, H5Z_SO_INT, 0)
        }
      case .reference: StrangeFile.dataset(file, "x", shape: [4], type: H5T_STD_REF_OBJ_g)
      case .rank: StrangeFile.dataset(file, "x", shape: Array(repeating: 1, count: 9))
      case .size: StrangeFile.dataset(file, "x", shape: [1 << 40])
      case .chunkedSize:
        StrangeFile.dataset(file, "x", shape: [1 << 40]) { H5Pset_chunk($0, 1, [1024]) }
      case .cycle: H5Lcreate_hard(file, "/", file, "again", 0, 0)
      }
    }
  }

  @Test(arguments: Refused.allCases)
  func refusals(_ what: Refused) throws {
    StrangeFile.make(path) { what.make($0) }
    let error = #expect(throws: HDF5Error.self) { try HDF5Reader(foreign: path) }
    #expect(error?.reason == .refused)
    #expect(error?.message.contains(what.rawValue) == true, "\(error?.message ?? "")")
  }

  @Test(arguments: [
    (0, "signature not found"), (5, "signature not found"), (700, "truncated file"),
  ])
  func incompleteFilesSaySo(length: Int, message: String) throws {
    StrangeFile.make(path) { StrangeFile.dataset($0, "x", shape: [4]) }
    try write(bytes(path).prefix(length), to: path)
    let error = #expect(throws: HDF5Error.self) { try HDF5Reader(foreign: path) }
    #expect(error?.message.contains(message) == true, "\(error?.message ?? "")")
  }

  @Test func timeIsLimited() throws {
    try writeSample(path)
    let error = #expect(throws: HDF5Error.self) { try HDF5Reader(foreign: path, seconds: 0) }
    #expect(error?.message.contains("took more than") == true)
  }
}
