import Foundation
import MMoEFiles

/// What an image folder holds: counts, sizes, pixel statistics and bad files. What `mmoe data inspect` shows.
package struct DatasetInspection: Sendable, Codable, Equatable {
  /// The number of images of one class.
  package struct ClassCount: Sendable, Codable, Equatable {
    package var name: String
    package var train: Int
    package var val: Int
  }

  /// How many images have a size.
  package struct SizeCount: Sendable, Codable, Equatable {
    package var width: Int
    package var height: Int
    package var images: Int
  }

  /// A file that cannot be decoded.
  package struct BadFile: Sendable, Codable, Equatable {
    package var path: String
    package var reason: String
  }

  package var path: String
  package var classes: [ClassCount]
  /// Sizes of the readable images of both splits, the most frequent first.
  package var sizes: [SizeCount]
  /// Mean of red, green and blue over all pixels of the readable training images, in units of 0…1.
  package var channelMean: SIMD3<Double>
  /// Standard deviation of the same.
  package var channelDeviation: SIMD3<Double>
  /// Files that cannot be decoded, in the folder's order.
  package var badFiles: [BadFile]
  /// Files that are not used, by kind.
  package var leftOut: LeftOut

  package var trainImages: Int { classes.reduce(0) { $0 + $1.train } }
  package var valImages: Int { classes.reduce(0) { $0 + $1.val } }

  /// Decodes every file of a folder, on all cores.
  ///
  /// - Throws: `DataError` for what is wrong with the folder itself; bad files are part of the result.
  package init(path: String, limits: ImageLimits = .standard) throws {
    let folder = try ImageFolder(path: path)
    let train = try folder[.train]
    let val = try folder[.val]
    self.path = path
    leftOut = folder.leftOut
    classes = folder.classes.map { ClassCount(name: $0, train: 0, val: 0) }
    for image in train.images { classes[Int(image.label)].train += 1 }
    for image in val.images { classes[Int(image.label)].val += 1 }

    let facts = try (train.images + val.images).mapInParallel { image in
      ImageFacts(image.path, limits: limits)
    }
    badFiles = facts.compactMap { fact in fact.reason.map { BadFile(path: fact.path, reason: $0) } }
    sizes = DatasetInspection.histogram(facts)
    (channelMean, channelDeviation) = DatasetInspection.statistics(facts.prefix(train.count))
  }

  private static func histogram(_ facts: [ImageFacts]) -> [SizeCount] {
    var counts: [SIMD2<Int>: Int] = [:]
    for fact in facts where fact.reason == nil { counts[fact.size, default: 0] += 1 }
    return counts.map { SizeCount(width: $0.key.x, height: $0.key.y, images: $0.value) }
      .sorted { ($1.images, $0.width, $0.height) < ($0.images, $1.width, $1.height) }
  }

  private static func statistics(_ facts: ArraySlice<ImageFacts>) -> (SIMD3<Double>, SIMD3<Double>) {
    var pixels = 0.0
    var sum = SIMD3<Double>.zero
    var squares = SIMD3<Double>.zero
    for fact in facts where fact.reason == nil {
      pixels += Double(fact.size.x * fact.size.y)
      sum += SIMD3<Double>(fact.sum)
      squares += SIMD3<Double>(fact.squares)
    }
    guard pixels > 0 else { return (.zero, .zero) }
    let mean = sum / (255 * pixels)
    let variance = squares / (255 * 255 * pixels) - mean * mean
    return (mean, variance.clamped(lowerBound: .zero, upperBound: .one).squareRoot())
  }
}

extension DatasetInspection {
  /// - Throws: `DataError` where there are files that cannot be decoded.
  package func requireReadable() throws {
    guard let first = badFiles.first else { return }
    throw DataError(
      path, found: "\(badFiles.count) of \(trainImages + valImages) images cannot be decoded, such as \(first.path)",
      remedy: "replace them, or train with --on-bad-image skip")
  }

  /// The inspection for a terminal, at most `limit` classes, sizes and bad files each.
  package func text(limit: Int = 20) -> String {
    var lines = [
      "\(path): \(classes.count) classes, \(trainImages) train and \(valImages) val images",
      "",
      row("class", "train", "val"),
    ]
    lines += classes.prefix(limit).map { row($0.name, "\($0.train)", "\($0.val)") }
    lines += rest(classes.count, limit, "classes")
    lines += ["", row("size", "images")]
    lines += sizes.prefix(limit).map { row("\($0.width) x \($0.height)", "\($0.images)") }
    lines += rest(sizes.count, limit, "sizes")
    lines += [
      "", "channel mean (train)       " + channels(channelMean),
      "channel deviation (train)  " + channels(channelDeviation), "",
    ]
    lines.append(badFiles.isEmpty ? "no bad files" : "\(badFiles.count) bad files:")
    // A reason begins with the file's path.
    lines += badFiles.prefix(limit).map { "  " + $0.reason }
    lines += rest(badFiles.count, limit, "bad files")
    if let text = leftOut.text { lines.append(text) }
    return lines.joined(separator: "\n")
  }

  /// One line of a table: a name and right-aligned columns.
  private func row(_ name: String, _ columns: String...) -> String {
    columns.reduce(name.padding(toLength: max(28, name.count), withPad: " ", startingAt: 0)) {
      $0 + String(repeating: " ", count: max(1, 9 - $1.count)) + $1
    }
  }

  private func rest(_ count: Int, _ limit: Int, _ what: String) -> [String] {
    count > limit ? ["… and \(count - limit) more \(what)"] : []
  }

  private func channels(_ values: SIMD3<Double>) -> String {
    (0..<3).map { String(format: "%.4f", values[$0]) }.joined(separator: " ")
  }
}

/// What one file contributes: exact integer sums, so that the order of threads does not matter.
private struct ImageFacts: Sendable {
  var path: String
  var size = SIMD2<Int>.zero
  var sum = SIMD3<Int>.zero
  var squares = SIMD3<Int>.zero
  /// Why the file cannot be decoded.
  var reason: String?

  init(_ path: String, limits: ImageLimits) {
    self.path = path
    do {
      let image = try RGBImage(contentsOf: path, limits: limits)
      size = SIMD2(image.width, image.height)
      image.pixels.withUnsafeBufferPointer { pixels in
        for channel in 0..<3 {
          var total = 0
          var totalSquares = 0
          for i in stride(from: channel, to: pixels.count, by: 3) {
            let value = Int(pixels[i])
            total += value
            totalSquares += value * value
          }
          sum[channel] = total
          squares[channel] = totalSquares
        }
      }
    } catch {
      reason = "\(error)"
    }
  }
}
