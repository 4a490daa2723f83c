import Foundation
import MMoEData

/// A folder that is removed with its owner.
final class TemporaryFolder {
  let path: String

  init() throws {
    path = FileManager.default.temporaryDirectory.path + "/mmoe-data-" + UUID().uuidString
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  /// Writes a file below the folder, with its parent folders, and returns its path.
  @discardableResult
  func write(_ name: String, _ bytes: [UInt8]) throws -> String {
    let file = path + "/" + name
    let parent = (file as NSString).deletingLastPathComponent
    try FileManager.default.createDirectory(atPath: parent, withIntermediateDirectories: true)
    try Foundation.Data(bytes).write(to: URL(fileURLWithPath: file))
    return file
  }

  /// An image folder of classes a, b, c with `train` and `val` images each; image `i` of class `c` is filled
  /// with a color of its own.
  func makeImages(train: Int = 6, val: Int = 3, side: Int = 8) throws {
    for (split, count) in [("train", train), ("val", val)] {
      for (label, name) in ["a", "b", "c"].enumerated() {
        for i in 0..<count {
          let pixels = (0..<side * side * 3).map { UInt8(truncatingIfNeeded: label * 70 + i * 5 + $0) }
          let image = RGBImage(width: side, height: side, pixels: pixels)
          try write("\(split)/\(name)/\(i).png", image.png())
        }
      }
    }
  }
}

/// The message of the error that a body throws, or nil.
func message(_ body: () throws -> Void) -> String? {
  do {
    try body()
    return nil
  } catch {
    return "\(error)"
  }
}
