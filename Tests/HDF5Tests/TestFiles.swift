@preconcurrency import CLibHDF5
import Foundation
import MMoEHDF5

/// A folder that goes with the value.
final class TemporaryFolder {
  let path: String

  init() throws {
    path = NSTemporaryDirectory() + "mmoe-hdf5-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  func file(_ name: String) -> String { "\(path)/\(name)" }

  var names: [String] {
    ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).sorted()
  }
}

func bytes(_ path: String) throws -> [UInt8] {
  [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
}

func write(_ bytes: some Collection<UInt8>, to path: String) throws {
  try Data(bytes).write(to: URL(fileURLWithPath: path))
}

/// Writes a small checkpoint with everything that the container knows.
func writeSample(_ path: String, scale: Float = 1) throws {
  let writer = try CheckpointWriter(path: path)
  try writer.setAttribute("config", "model:\n  width: 192 # größer")
  try writer.setAttribute("step", 1234)
  try writer.setAttribute("loss", 0.1)
  try writer.writeFloats("model/patch.embed/weight", shape: [48, 32], ramp(48 * 32, scale))
  for expert in 0..<3 {
    let group = "model/blocks/1/experts/000\(expert)"
    try writer.writeFloats(
      "\(group)/fc1/weight", shape: [64, 32], ramp(2048, scale), aligned: true)
    try writer.writeFloats("\(group)/fc1/bias", shape: [64], ramp(64, scale), aligned: true)
  }
  try writer.writeInt64s("state/random", shape: [2, 2], [1, -2, .max, .min])
  try writer.writeDoubles("state/average", shape: [], [0.1])
  try writer.writeBytes("state/blob", [0, 1, 255])
  try writer.writeFloats("state/empty", shape: [0, 4], [])
  try writer.setAttribute("layout", "[out, in]", of: "model/patch.embed/weight")
  try writer.finish()
}

func ramp(_ count: Int, _ scale: Float = 1) -> [Float] {
  (0..<count).map { scale * (Float($0) * 0.37 - 5) }
}

/// A repeatable source of places and bytes.
struct Dice {
  private var state: UInt64

  init(_ seed: UInt64) { state = seed }

  mutating func roll(_ bound: Int) -> Int {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return Int(state >> 33) % bound
  }
}

/// HDF5 files that nobody should send us, made with the library itself.
enum StrangeFile {
  /// Makes a file and lets `body` fill its root group.
  static func make(_ path: String, _ body: (hid_t) -> Void) {
    HDF5Library.shared.sync {
      let truncate: UInt32 = 2
      let file = H5Fcreate(path, truncate, 0, 0)
      dataset(file, "plain", shape: [3])
      body(file)
      H5Fclose(file)
    }
  }

  /// A dataset of int32 without values.
  static func dataset(
    _ file: hid_t, _ name: String, shape: [hsize_t], type: hid_t = H5T_STD_I32LE_g,
    configure: (hid_t) -> Void = { _ in }
  ) {
    let space = H5Screate_simple(Int32(shape.count), shape, nil)
    let creation = H5Pcreate(H5P_CLS_DATASET_CREATE_ID_g)
    configure(creation)
    H5Dclose(H5Dcreate2(file, name, type, space, 0, creation, 0))
    H5Pclose(creation)
    H5Sclose(space)
  }
}
