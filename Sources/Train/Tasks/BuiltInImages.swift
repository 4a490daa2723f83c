import Foundation
import MMoEConfig
import MMoEData
import MMoEFiles
import MMoEReport

/// The data set that `imagenet-subset` uses without `--data`: rendered shapes, written as real PNG files once.
package enum BuiltInImages {
  /// Classes, images of a class in each split, and the seed. Another picture needs another version in the folder's
  /// name, or old files would be taken for new ones.
  package static let (classes, train, val, seed) = (10, 1200, 200, UInt64(0))

  /// The folder for images of this size.
  package static func folder(imageSize: Int) -> String {
    ProjectHome.cached("shapes-\(classes)x\(train)-\(imageSize)px")
  }

  /// The folder's path; renders the files first where they are missing.
  ///
  /// - Throws: `DataError` when they cannot be written.
  package static func prepare(imageSize: Int, sink: any TextSink) throws -> String {
    let path = folder(imageSize: imageSize)
    guard !FileManager.default.fileExists(atPath: path) else { return path }
    let parent = FilePath.folder(of: path)
    do {
      try FileManager.default.createDirectory(atPath: parent, withIntermediateDirectories: true)
    } catch {
      throw DataError(
        "\(parent)", found: "cannot be created (\(systemReason(of: error)))", remedy: "name a folder with --data")
    }
    let total = classes * (train + val)
    sink.line("rendering \(HumanFormat.grouped(total)) images of \(imageSize) x \(imageSize) pixels to \(path)")
    do {
      try PhaseProgress.during("rendering", unit: "images", sink) { progress in
        try ShapeSynthesizer(classes: classes, imageSize: imageSize, seed: seed)
          .write(to: path, trainPerClass: train, valPerClass: val, progress: progress)
      }
    } catch {
      // Another process may have rendered the same files meanwhile.
      guard FileManager.default.fileExists(atPath: path) else { throw error }
    }
    return path
  }
}
