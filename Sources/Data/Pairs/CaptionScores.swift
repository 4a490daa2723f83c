import Foundation

/// How near captions are to what people wrote: the usual measures over words, which are runs of letters and digits in lower
/// case.
package struct CaptionScores: Sendable, Equatable {
  /// Share of captions whose words are those of a reference.
  package let exactMatch: Double
  /// Mean over captions of the best F1 of words with a reference, words counted as often as they stand (SQuAD's).
  package let tokenF1: Double
  /// Corpus BLEU-4 (Papineni et al., ACL 2002): the geometric mean of the clipped precisions of 1 to 4 words in a row, times
  /// the brevity penalty with the nearest reference lengths; no smoothing.
  package let bleu4: Double
  /// CIDEr (Vedantam et al., arXiv 1411.5726, eqs. 1 to 3): the mean over 1 to 4 words in a row of the cosine of tf-idf
  /// vectors, document frequencies over the images' references; without stemming and without the factor 10 of CIDEr-D.
  package let cider: Double

  /// - Parameters:
  ///   - captions: one an image.
  ///   - references: at least one for each.
  package init(_ captions: [String], references: [[String]]) {
    precondition(captions.count == references.count, "\(captions.count) captions, \(references.count) references")
    let found = captions.map(CaptionScores.words)
    let expected = references.map { $0.map(CaptionScores.words) }
    let count = Double(max(found.count, 1))
    exactMatch = Double(zip(found, expected).count { $1.contains($0) }) / count
    tokenF1 =
      zip(found, expected).reduce(0) { sum, pair in
        sum + (pair.1.map { CaptionScores.f1(pair.0, $0) }.max() ?? 0)
      } / count
    bleu4 = CaptionScores.bleu(found, expected)
    cider = CaptionScores.cider(found, expected)
  }

  /// The words of a caption.
  package static func words(_ text: String) -> [String] {
    text.lowercased().split { !$0.isLetter && !$0.isNumber }.map(String.init)
  }

  private static func counts(_ words: [String], _ n: Int) -> [ArraySlice<String>: Int] {
    guard words.count >= n else { return [:] }
    return (0...words.count - n).reduce(into: [:]) { $0[words[$1..<$1 + n], default: 0] += 1 }
  }

  private static func f1(_ a: [String], _ b: [String]) -> Double {
    let (own, other) = (counts(a, 1), counts(b, 1))
    let common = own.reduce(0) { $0 + min($1.value, other[$1.key] ?? 0) }
    return common == 0 ? 0 : 2 * Double(common) / Double(a.count + b.count)
  }

  private static func bleu(_ found: [[String]], _ references: [[[String]]]) -> Double {
    var logarithms = 0.0
    for n in 1...4 {
      var (right, total) = (0, 0)
      for (words, own) in zip(found, references) {
        let most = own.reduce(into: [ArraySlice<String>: Int]()) { most, reference in
          most.merge(counts(reference, n)) { max($0, $1) }
        }
        for (gram, count) in counts(words, n) {
          total += count
          right += min(count, most[gram] ?? 0)
        }
      }
      guard right > 0 else { return 0 }
      logarithms += log(Double(right) / Double(total)) / 4
    }
    let length = found.reduce(0) { $0 + $1.count }
    let nearest = zip(found, references).reduce(0) { sum, pair in
      // Of two equally near lengths the shorter one.
      sum + (pair.1.map(\.count).min { (abs($0 - pair.0.count), $0) < (abs($1 - pair.0.count), $1) } ?? 0)
    }
    let penalty = length >= nearest ? 1 : exp(1 - Double(nearest) / Double(max(length, 1)))
    return penalty * exp(logarithms)
  }

  private static func cider(_ found: [[String]], _ references: [[[String]]]) -> Double {
    let images = Double(found.count)
    var sum = 0.0
    for n in 1...4 {
      var documents: [ArraySlice<String>: Int] = [:]
      for own in references {
        for gram in Set(own.flatMap { counts($0, n).keys }) { documents[gram, default: 0] += 1 }
      }
      func vector(_ words: [String]) -> [ArraySlice<String>: Double] {
        let grams = counts(words, n)
        let total = Double(grams.values.reduce(0, +))
        return Dictionary(
          uniqueKeysWithValues: grams.map {
            ($0, Double($1) / total * log(images / Double(max(documents[$0] ?? 0, 1))))
          })
      }
      for (words, own) in zip(found, references) {
        let a = vector(words)
        for reference in own { sum += cosine(a, vector(reference)) / Double(own.count) }
      }
    }
    return sum / 4 / max(images, 1)
  }

  private static func cosine(_ a: [ArraySlice<String>: Double], _ b: [ArraySlice<String>: Double]) -> Double {
    // Sorted: a dictionary's order changes from run to run, and with it the sum's last digits.
    func inner(_ a: [ArraySlice<String>: Double], _ b: [ArraySlice<String>: Double]) -> Double {
      a.keys.sorted { $0.lexicographicallyPrecedes($1) }.reduce(0) { $0 + a[$1]! * (b[$1] ?? 0) }
    }
    let length = (inner(a, a) * inner(b, b)).squareRoot()
    return length > 0 ? inner(a, b) / length : 0
  }
}
