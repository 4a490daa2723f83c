import Foundation
import MMoEFiles

/// Image files that a command line names: files as they are, and of folders all images below them.
package struct ImageFiles: Sendable {
  /// In the order of the command line, those of a folder sorted by their names' bytes, folder by folder. A file that is named
  /// twice is there twice; whether files can be read is not known yet.
  package let paths: [String]
  /// What is left out of each folder, one line each.
  package let notes: [String]

  /// - Throws: `DataError` for a folder that cannot be read or has no image below it, and for an empty name.
  package init(_ names: [String]) throws {
    var paths: [String] = []
    var notes: [String] = []
    for name in names {
      guard !name.isEmpty else {
        throw DataError("an empty name, expected image files or folders of them; leave it out")
      }
      guard OutputPlace.kind(of: name) == S_IFDIR else {
        paths.append(name)
        continue
      }
      let walk = try FolderWalk(name)
      let images = walk.files.filter(ImageFormat.reads)
      var leftOut = walk.leftOut
      for file in walk.files where !ImageFormat.reads(file) {
        leftOut.add("files that are no \(ImageFormat.names) images by their names", file)
      }
      guard !images.isEmpty else {
        throw DataError(
          name, found: "no \(ImageFormat.names) images in it\(leftOut.text.map { " (\($0))" } ?? ", it is empty")",
          expected: "a folder of images", remedy: "name another one")
      }
      paths += images.map { FilePath.join(name, $0) }
      if let text = leftOut.text { notes.append("\(name): \(text)") }
    }
    (self.paths, self.notes) = (paths, notes)
  }
}
