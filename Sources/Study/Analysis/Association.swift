import Foundation

/// How two classifications of the same things go together.
enum Association {
  /// Mutual information of a table of counts in nats, less the bias of the plug-in estimate, (rows − 1)(columns − 1) / 2 N
  /// (Miller 1955), rows and columns counted where something is; at least 0. NaN where the table has more cells than
  /// half the things counted: nothing can be said then.
  static func mutualInformation(_ counts: [[Int]]) -> Double {
    let columns = counts.first?.count ?? 0
    let rowSums = counts.map { $0.reduce(0, +) }
    let columnSums = (0..<columns).map { column in counts.reduce(0) { $0 + $1[column] } }
    let total = rowSums.reduce(0, +)
    let (usedRows, usedColumns) = (rowSums.count { $0 > 0 }, columnSums.count { $0 > 0 })
    guard total > 0, 2 * usedRows * usedColumns <= total else { return .nan }
    let n = Double(total)
    var information = 0.0
    for (row, values) in counts.enumerated() {
      for (column, value) in values.enumerated() where value > 0 {
        information += Double(value) / n * log(Double(value) * n / (Double(rowSums[row]) * Double(columnSums[column])))
      }
    }
    return max(0, information - Double((usedRows - 1) * (usedColumns - 1)) / (2 * n))
  }

  /// How much of the load of two labels falls on the same experts: Σ_e min(share of one's choices, share of the other's),
  /// 0 to 1, a mean over the pairs of labels that occur; NaN where less than two do.
  ///
  /// - Parameter counts: choices, `[E][labels]`.
  static func overlap(_ counts: [[Int]]) -> Double {
    let totals = (0..<(counts.first?.count ?? 0)).map { label in counts.reduce(0) { $0 + $1[label] } }
    let used = totals.indices.filter { totals[$0] > 0 }
    guard used.count >= 2 else { return .nan }
    var (sum, pairs) = (0.0, 0)
    for (place, a) in used.enumerated() {
      for b in used[(place + 1)...] {
        sum += counts.reduce(0) { $0 + min(Double($1[a]) / Double(totals[a]), Double($1[b]) / Double(totals[b])) }
        pairs += 1
      }
    }
    return sum / Double(pairs)
  }

  /// Pearson's correlation; NaN for less than three pairs or where one side does not vary.
  static func correlation(_ pairs: [(x: Double, y: Double)]) -> Double {
    guard pairs.count >= 3 else { return .nan }
    let n = Double(pairs.count)
    let mean = pairs.reduce((x: 0.0, y: 0.0)) { ($0.x + $1.x / n, $0.y + $1.y / n) }
    var (xx, yy, xy) = (0.0, 0.0, 0.0)
    for pair in pairs {
      let (dx, dy) = (pair.x - mean.x, pair.y - mean.y)
      (xx, yy, xy) = (xx + dx * dx, yy + dy * dy, xy + dx * dy)
    }
    return xx > 0 && yy > 0 ? xy / (xx * yy).squareRoot() : .nan
  }
}
