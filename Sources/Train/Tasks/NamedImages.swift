import Foundation
import MMoEConfig
import MMoEData
import MMoEFiles
import MMoEReport

/// A public set of images that a Debian package holds, which `--data NAME` names.
package struct NamedImages: Sendable {
  package let name: String
  package let package: String
  private let source: String
  /// Class names by the source's.
  private let names: [String: String]
  private let license: String

  package static let table = [
    NamedImages(
      name: "fashion-mnist", package: "dataset-fashion-mnist", source: "/usr/share/datasets/fashion-mnist",
      names: [
        "0": "0_t-shirt", "1": "1_trouser", "2": "2_pullover", "3": "3_dress", "4": "4_coat", "5": "5_sandal",
        "6": "6_shirt", "7": "7_sneaker", "8": "8_bag", "9": "9_ankle_boot",
      ], license: "MIT (Zalando SE, arXiv 1708.07747)")
  ]

  /// What `--data` means: the folder of a set that it names, made as PNG files when it is missing; else what it says. A folder
  /// with the name of a set is that folder.
  ///
  /// - Throws: `DataError` where the set's package is missing, or its files cannot be written.
  package static func path(_ given: String, sink: any TextSink) throws -> String {
    guard let set = table.first(where: { $0.name == given }), !FileManager.default.fileExists(atPath: given) else {
      return given
    }
    return try ProjectHome.filling { try set.prepare(sink) }
  }

  private func prepare(_ sink: any TextSink) throws -> String {
    // Other pictures need another version in the folder's name.
    let path = ProjectHome.cached("\(name)-1")
    guard !FileManager.default.fileExists(atPath: path) else { return path }
    guard FileManager.default.fileExists(atPath: source) else {
      throw DataError(
        source, found: "missing",
        remedy: "\(name) comes from a Debian package: sudo apt-get install -y --no-install-recommends \(package)")
    }
    sink.line("making PNG files of \(name) in \(path)")
    var options = ImageImport.Options()
    (options.size, options.names, options.license) = (nil, names, license)
    do {
      _ = try PhaseProgress.during("writing", unit: "images", sink) { progress in
        try ImageImport(options).run(source, to: path, progress: progress)
      }
    } catch {
      // Another process may have made the same files meanwhile.
      guard FileManager.default.fileExists(atPath: path) else { throw error }
    }
    return path
  }
}
