/// How many images have a size.
package struct SizeCount: Sendable, Codable, Equatable {
  package var width: Int
  package var height: Int
  package var images: Int
}

/// The ends and the middle of many images' sizes, by area.
package struct SizeRange: Sendable, Codable, Equatable {
  /// Width and height in pixels.
  package struct Size: Sendable, Codable, Equatable {
    package var width: Int
    package var height: Int

    var text: String { "\(width) x \(height)" }
  }

  package let smallest, median, largest: Size
  /// How many different ones there are.
  package let distinct: Int

  /// - Returns: nil without images.
  init?(_ counts: [SizeCount]) {
    let sorted = counts.sorted { ($0.width * $0.height, $0.width) < ($1.width * $1.height, $1.width) }
    guard let first = sorted.first, let last = sorted.last else { return nil }
    // Of an even number the lower one in the middle, so that an image has that size.
    let middle = (counts.reduce(0) { $0 + $1.images } - 1) / 2
    var seen = 0
    let median = sorted.first { size in
      seen += size.images
      return seen > middle
    }
    func size(_ count: SizeCount) -> Size { Size(width: count.width, height: count.height) }
    (smallest, self.median, largest, distinct) = (size(first), size(median ?? last), size(last), counts.count)
  }

  var text: String {
    distinct == 1
      ? "all \(smallest.text)"
      : "\(distinct) sizes: smallest \(smallest.text), median \(median.text), largest \(largest.text) (by area)"
  }
}

extension [SizeCount] {
  /// The most frequent size first.
  init(counting sizes: some Sequence<SIMD2<Int>>) {
    var counts: [SIMD2<Int>: Int] = [:]
    for size in sizes { counts[size, default: 0] += 1 }
    self = counts.map { SizeCount(width: $0.key.x, height: $0.key.y, images: $0.value) }
      .sorted { ($1.images, $0.width, $0.height) < ($0.images, $1.width, $1.height) }
  }
}
