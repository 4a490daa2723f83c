/// Classification by the nearest training images, by Euclidean distance between pixels.
struct NearestNeighbors: Sendable {
  private let table: PixelTable
  private let neighbors: Int

  init(_ table: PixelTable, count: Int) {
    self.table = table
    neighbors = count
  }

  /// The share of images whose label the majority of their neighbors has; ties go to the nearer ones.
  func accuracy(on queries: PixelTable) throws -> Double {
    let hits = try Array(0..<queries.count).mapInParallel(grain: 8) { query in
      label(of: queries, query) == queries.labels[query] ? 1 : 0
    }
    return Double(hits.reduce(0, +)) / Double(max(queries.count, 1))
  }

  private func label(of queries: PixelTable, _ query: Int) -> Int32 {
    // Ascending by distance, then by position.
    var nearest: [(distance: Int, member: Int)] = []
    queries.pixels.withUnsafeBufferPointer { queryPixels in
      table.pixels.withUnsafeBufferPointer { pixels in
        guard let a = queryPixels.baseAddress, let b = pixels.baseAddress else { return }
        for member in 0..<table.count {
          let distance = squaredDistance(
            a + query * table.width, b + member * table.width, table.width)
          if nearest.count == neighbors {
            guard distance < nearest[neighbors - 1].distance else { continue }
            nearest.removeLast()
          }
          let place = nearest.firstIndex { distance < $0.distance } ?? nearest.count
          nearest.insert((distance, member), at: place)
        }
      }
    }
    var votes: [Int32: Int] = [:]
    for neighbor in nearest { votes[table.labels[neighbor.member], default: 0] += 1 }
    let most = votes.values.max() ?? 0
    return nearest.lazy.map { table.labels[$0.member] }.first { votes[$0] == most } ?? -1
  }

  /// Exact: 8-bit differences squared fit 16 bits, and 32-bit sums hold 66,000 of them.
  private func squaredDistance(
    _ a: UnsafePointer<UInt8>, _ b: UnsafePointer<UInt8>, _ count: Int
  ) -> Int {
    var sum: UInt32 = 0
    for i in 0..<count {
      let difference = Int32(a[i]) &- Int32(b[i])
      sum &+= UInt32(truncatingIfNeeded: difference &* difference)
    }
    return Int(sum)
  }
}
