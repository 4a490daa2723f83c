/// The number of single-character insertions, deletions, replacements and swaps of neighbors that
/// turn one word into the other, ignoring case.
func editDistance(_ first: some StringProtocol, _ second: some StringProtocol) -> Int {
  let a = Array(first.lowercased().unicodeScalars)
  let b = Array(second.lowercased().unicodeScalars)
  var beforePrevious: [Int] = []
  var previous = Array(0...b.count)
  for i in a.indices {
    var current = [i + 1]
    for j in b.indices {
      var best = min(
        previous[j] + (a[i] == b[j] ? 0 : 1), previous[j + 1] + 1, current[j] + 1)
      if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] {
        best = min(best, beforePrevious[j - 1] + 1)
      }
      current.append(best)
    }
    (beforePrevious, previous) = (previous, current)
  }
  return previous[b.count]
}

/// The names closest to `word` by edit distance, all that tie, in the order given.
func nearestNames(to word: String, among names: [String]) -> [String] {
  let distances = names.map { editDistance(word, $0) }
  guard let best = distances.min() else { return [] }
  return zip(names, distances).filter { $0.1 == best }.map(\.0)
}

/// The dotted keys closest to `key`. A key whose last part fits but whose group is wrong or missing
/// (`lr` for `optimizer.lr`) counts as one edit away.
func nearestKeys(to key: String, among keys: [String]) -> [String] {
  let leaf = lastPart(key)
  let distances = keys.map { min(editDistance(key, $0), editDistance(leaf, lastPart($0)) + 1) }
  guard let best = distances.min() else { return [] }
  return zip(keys, distances).filter { $0.1 == best }.map(\.0)
}

/// `a`, `a or b`, `a, b or c`.
package func alternatives(_ names: [String]) -> String {
  guard let last = names.last, names.count > 1 else { return names.first ?? "" }
  return names.dropLast().joined(separator: ", ") + " or " + last
}

private func lastPart(_ key: String) -> Substring {
  key[(key.lastIndex(of: ".").map(key.index(after:)) ?? key.startIndex)...]
}
