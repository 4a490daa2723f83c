import Foundation
import MMoEFiles
import MMoETensor
import Synchronization

/// Renders labeled pictures of shapes as an image folder: the data set that comes with the project.
///
/// A class is a shape (up to 20 classes; textures vary freely) or a shape with a texture (up to 100). Every
/// picture is a function of the seed, the split, the class and its number, so no draw is shared by train and
/// val, and a folder can be made again byte for byte.
package struct ShapeSynthesizer: Sendable {
  /// As many as there are shapes with textures.
  package static let maximumClasses = ShapeKind.allCases.count * TextureKind.allCases.count

  /// Folder names in the order of labels as an `ImageFolder` sees them: sorted.
  package let classNames: [String]
  package let imageSize: Int
  package let seed: UInt64
  private let kinds: [Kind]

  private struct Kind: Sendable {
    var name: String
    var shape: ShapeKind
    var texture: TextureKind?
  }

  /// - Parameters:
  ///   - classes: 2 to `maximumClasses`.
  ///   - imageSize: width and height in pixels, 16 to 1024.
  /// - Throws: `DataError` naming the value out of range.
  package init(classes: Int = 10, imageSize: Int = 32, seed: UInt64 = 0) throws {
    guard 2...ShapeSynthesizer.maximumClasses ~= classes else {
      throw DataError("synthesize", found: "\(classes) classes", expected: "2 to \(ShapeSynthesizer.maximumClasses)")
    }
    guard 16...1024 ~= imageSize else {
      throw DataError("synthesize", found: "image size \(imageSize)", expected: "16 to 1024 pixels")
    }
    let shapes = ShapeKind.allCases
    let textures = TextureKind.allCases
    kinds = (0..<classes).map { index in
      let shape = shapes[index % shapes.count]
      guard classes > shapes.count else { return Kind(name: shape.rawValue, shape: shape) }
      let texture = textures[index / shapes.count]
      return Kind(name: "\(shape.rawValue)-\(texture.rawValue)", shape: shape, texture: texture)
    }.sorted { $0.name < $1.name }
    classNames = kinds.map(\.name)
    self.imageSize = imageSize
    self.seed = seed
  }

  /// One picture.
  ///
  /// - Parameters:
  ///   - label: an index into `classNames`.
  ///   - number: the picture's number within its class and split.
  package func image(split: DatasetSplit, label: Int, number: Int) -> RGBImage {
    var draws = RandomSequence(randomness(split: split, label: label, number: number))
    return SceneRenderer(
      side: imageSize, shape: kinds[label].shape, texture: kinds[label].texture
    ).render(&draws)
  }

  /// The source of a picture's draws. The split is a bit of its own in the first coordinate: train and val
  /// can never meet.
  private func randomness(split: DatasetSplit, label: Int, number: Int) -> CounterRandom {
    let splitBit: UInt64 = split == .train ? 0 : 1
    return CounterRandom(
      seed: seed, purpose: .synthesis, a: splitBit << 32 | UInt64(label), b: UInt64(number))
  }

  /// Writes `DIR/train/<class>/00000.png` … and `DIR/val/…`, on all cores.
  ///
  /// The folder appears under its name only when it is complete.
  ///
  /// - Parameter progress: called with the number of files written and their total, from any thread.
  /// - Throws: `DataError` when the folder is not empty or cannot be written.
  package func write(
    to directory: String, trainPerClass: Int = 1000, valPerClass: Int = 200,
    progress: (@Sendable (_ done: Int, _ total: Int) -> Void)? = nil
  ) throws {
    for (name, count) in [("train", trainPerClass), ("val", valPerClass)] {
      guard 1...1_000_000 ~= count else {
        throw DataError("synthesize", found: "\(count) \(name) images per class", expected: "1 to 1000000")
      }
    }
    let folder = try StagedFolder(for: directory)
    try writeFiles(makeFolders(in: folder.path, train: trainPerClass, val: valPerClass), progress: progress)
    try folder.commit()
  }

  private struct Picture: Sendable {
    var path: String
    var split: DatasetSplit
    var label: Int
    var number: Int
  }

  private func makeFolders(in root: String, train: Int, val: Int) throws -> [Picture] {
    var pictures: [Picture] = []
    for (split, count) in [(DatasetSplit.train, train), (.val, val)] {
      for (label, name) in classNames.enumerated() {
        let folder = "\(root)/\(split.rawValue)/\(name)"
        do {
          try FileManager.default.createDirectory(
            atPath: folder, withIntermediateDirectories: true)
        } catch {
          throw DataError(folder, found: "cannot be created", remedy: "check the parent folder's permissions")
        }
        for number in 0..<count {
          let file = String(repeating: "0", count: max(0, 5 - "\(number)".count)) + "\(number).png"
          pictures.append(
            Picture(path: "\(folder)/\(file)", split: split, label: label, number: number))
        }
      }
    }
    return pictures
  }

  private func writeFiles(
    _ pictures: [Picture], progress: (@Sendable (Int, Int) -> Void)?
  ) throws {
    let done = Atomic<Int>(0)
    try parallelFor(pictures.count, grain: 16) { index in
      let picture = pictures[index]
      let image = image(split: picture.split, label: picture.label, number: picture.number)
      try writeFile(picture.path, try image.png(compression: 4))
      let count = done.add(1, ordering: .relaxed).newValue
      if count % 256 == 0 || count == pictures.count { progress?(count, pictures.count) }
    }
  }
}
