import Foundation
import MMoEFiles

/// What an image folder holds: counts, sizes, pixel statistics, duplicates and bad files. What `mmoe data inspect` shows.
package struct DatasetInspection: Sendable, Codable, Equatable {
  /// The number of images of one class.
  package struct ClassCount: Sendable, Codable, Equatable {
    package var name: String
    package var train: Int
    package var val: Int
  }

  package var path: String
  /// How class folders without splits are divided, and what else training says before it begins.
  package var notes: [String]
  package var classes: [ClassCount]
  /// Sizes of the readable images of both splits, the most frequent first.
  package var sizes: [SizeCount]
  /// Nil without readable images.
  package var sizeRange: SizeRange?
  /// Mean of red, green and blue over all pixels of the readable training images, in units of 0…1.
  package var channelMean: SIMD3<Double>
  /// Standard deviation of the same.
  package var channelDeviation: SIMD3<Double>
  /// Readable images with the same pixels.
  package var duplicates: Duplicates
  /// Files that cannot be decoded, in the folder's order.
  package var badFiles: [BadFile]
  /// Images of formats that are not read, which training refuses.
  package var refused: [String]
  /// Files that are not used, by kind.
  package var leftOut: LeftOut

  package var trainImages: Int { classes.reduce(0) { $0 + $1.train } }
  package var valImages: Int { classes.reduce(0) { $0 + $1.val } }

  /// Decodes every file of a folder, on all cores.
  ///
  /// - Parameter progress: called when another image is done, from several threads, with the number of all.
  /// - Throws: `DataError` for what is wrong with the folder itself; bad files are part of the result.
  package init(
    _ folder: ImageFolder, limits: ImageLimits = .standard, progress: (@Sendable (_ total: Int) -> Void)? = nil
  ) throws {
    let train = try folder[.train]
    let images = train.images + (try folder[.val]).images
    (path, notes, leftOut, refused) = (folder.path, folder.notes, folder.leftOut, folder.refused)
    classes = folder.classes.map { ClassCount(name: $0, train: 0, val: 0) }
    for image in train.images { classes[Int(image.label)].train += 1 }
    for image in images.dropFirst(train.count) { classes[Int(image.label)].val += 1 }

    let facts = try images.mapInParallel { image in
      defer { progress?(images.count) }
      return ImageFacts(image.path, limits: limits)
    }
    badFiles = facts.compactMap { fact in fact.reason.map { BadFile(path: fact.path, reason: $0) } }
    sizes = [SizeCount](counting: facts.lazy.filter { $0.reason == nil }.map(\.size))
    sizeRange = SizeRange(sizes)
    (channelMean, channelDeviation) = DatasetInspection.statistics(facts.prefix(train.count))
    var finder = DuplicateFinder<Int>()
    for (place, fact) in facts.enumerated() {
      guard let content = fact.content else { continue }
      finder.add(content, place < train.count ? .train : .val, label: images[place].label, at: place)
    }
    duplicates = finder.result { images[$0].path }
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
  /// - Throws: `DataError` for what training would stop at: images of formats that are not read, and files that cannot be decoded.
  package func requireUsable() throws(DataError) {
    if let first = refused.first {
      let error = ClassListing.refusal(of: first)
      throw refused.count == 1
        ? error
        : DataError(
          path, found: "\(refused.count) images of formats that are not read, such as \(first)",
          expected: ImageFormat.names, remedy: "training stops at them: \(ImageFormat.conversion())")
    }
    guard let first = badFiles.first else { return }
    throw DataError(
      path, found: "\(badFiles.count) of \(trainImages + valImages) images cannot be decoded, such as \(first.path)",
      remedy: "replace them, or train with --on-bad-image skip")
  }

  /// The inspection for a terminal, at most `limit` classes, sizes and bad files each.
  package func text(limit: Int = 20) -> String {
    var lines = [
      "\(oneLine(path)): \(classes.count) classes, \(trainImages) train and \(valImages) val images",
      "",
      InspectionText.row("class", "train", "val"),
    ]
    lines += classes.prefix(limit).map { InspectionText.row($0.name, "\($0.train)", "\($0.val)") }
    lines += InspectionText.rest(classes.count, limit, "classes")
    lines += ["", InspectionText.row("size", "images")]
    lines += sizes.prefix(limit).map { InspectionText.row("\($0.width) x \($0.height)", "\($0.images)") }
    lines += InspectionText.rest(sizes.count, limit, "sizes")
    if let sizeRange, sizeRange.distinct > 1 { lines.append(sizeRange.text) }
    lines += [
      "", "channel mean (train)       " + channels(channelMean),
      "channel deviation (train)  " + channels(channelDeviation), "",
    ]
    lines += duplicates.lines("images", by: "decoded pixels", limit: 5)
    if let first = refused.first {
      lines.append(
        InspectionText.counted(refused.count, "image of a format that is", "images of formats that are")
          + " not read, at which training stops\(refused.count > 1 ? ", such as" : ":") \(oneLine(first))"
      )
    }
    lines += InspectionText.badFiles(badFiles, limit)
    // What is left out is among the notes.
    lines += notes.map(oneLine)
    return lines.joined(separator: "\n")
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
  /// Of the pixels; nil for a file that cannot be decoded.
  var content: ContentHash?
  /// Why the file cannot be decoded.
  var reason: String?

  init(_ path: String, limits: ImageLimits) {
    self.path = path
    do {
      let image = try RGBImage(contentsOf: path, limits: limits)
      size = SIMD2(image.width, image.height)
      content = ContentHash(image)
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
