import Foundation
import MMoEFiles

/// Divides the images of classes into a part for training and one for validation by their content alone, so that equal files are on
/// one side, the same files give the same parts in any place and under any names, and few change sides when images are added.
///
/// Contents are sorted by their hash. Of each class the first ones, its share of them and at least one, are for validation, and so is
/// every other image with such a content.
struct ContentSplit {
  /// Whether an image is for validation, by its place in the list.
  let isForValidation: [Bool]

  /// - Parameters:
  ///   - contents: of every image.
  ///   - labels: of every image, below the number of classes.
  ///   - share: of the contents of each class that are for validation.
  /// - Throws: `DataError` naming a class that cannot be on both sides.
  init(contents: [ContentHash], labels: [Int], classes: [String], share: Double, of path: String) throws {
    var ofClass = Array(repeating: Set<ContentHash>(), count: classes.count)
    for (content, label) in zip(contents, labels) { ofClass[label].insert(content) }
    var held = Set<ContentHash>()
    for contents in ofClass {
      let count = max(1, Int((share * Double(contents.count)).rounded()))
      for content in contents.sorted(by: { ($0.high, $0.low) < ($1.high, $1.low) }).prefix(count) {
        held.insert(content)
      }
    }
    // A class of which nothing can be read is refused, or only looked at.
    for (name, contents) in zip(classes, ofClass) where !contents.isEmpty && contents.isSubset(of: held) {
      throw DataError(
        "\(path)/\(name)",
        found: contents.count == 1
          ? "one image only, or copies of one" : "none of its \(contents.count) different images left for training",
        expected: "enough for training and validation",
        remedy: "add images, remove the folder, or make train and val folders")
    }
    isForValidation = contents.map(held.contains)
  }

  /// The hash of a file by which it is told from others: its size and its first 64 KiB, so that large photos need not be read whole.
  ///
  /// - Throws: `DataError` for a file that cannot be read.
  static func content(of path: String) throws -> ContentHash {
    let descriptor = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
    guard descriptor >= 0 else { throw DataError(path, found: "cannot be read: \(systemReason(errno))") }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
      throw DataError(path, found: "not a regular file")
    }
    var failure: Int32 = 0
    var bytes = [UInt8](unsafeUninitializedCapacity: headBytes) { buffer, count in
      while count < headBytes {
        let got = read(descriptor, buffer.baseAddress! + count, headBytes - count)
        if got < 0, errno == EINTR { continue }
        if got < 0 { failure = errno }
        guard got > 0 else { break }
        count += got
      }
    }
    guard failure == 0 else { throw DataError(path, found: "cannot be read: \(systemReason(failure))") }
    withUnsafeBytes(of: UInt64(status.st_size).littleEndian) { bytes.append(contentsOf: $0) }
    return ContentHash(bytes)
  }

  /// The same hash of a file in memory.
  static func content(of file: [UInt8]) -> ContentHash {
    var bytes = Array(file.prefix(headBytes))
    withUnsafeBytes(of: UInt64(file.count).littleEndian) { bytes.append(contentsOf: $0) }
    return ContentHash(bytes)
  }

  private static let headBytes = 1 << 16
}
