/// One part of a data set.
public enum DatasetSplit: String, Sendable, Codable, CaseIterable {
  case train
  case val
}

/// At most `samples` places of `count`, evenly spread, ascending.
package func spread(_ samples: Int, over count: Int) -> [Int] {
  let taken = min(samples, count)
  return (0..<taken).map { $0 * count / taken }
}
