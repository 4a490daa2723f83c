import Foundation
import MMoEData
import TestSupport

/// The data and the arguments that the tests of the program share.
enum Program {
  /// 4 classes of 16-pixel images, rendered once.
  static let data: (folder: ScratchFolder, path: String) = {
    let folder = ScratchFolder()
    try! ShapeSynthesizer(classes: 4, imageSize: 16, seed: 3).write(
      to: folder("shapes"), trainPerClass: 24, valPerClass: 8)
    return (folder, folder("shapes"))
  }()

  /// `mmoe train` of the debug preset on that data.
  static func training(_ more: [String], data: String = Program.data.path) -> [String] {
    ["train", "--task", "imagenet-subset", "--preset", "debug", "--threads", "2", "--data", data] + more
  }

  /// The object of a `--json` line, the last one of the output.
  static func json(_ output: String) throws -> [String: Any] {
    let line = output.split(separator: "\n").last.map(String.init) ?? ""
    return try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any] ?? [:]
  }
}
