import Foundation

/// How far pairs are understood without a model: texts as bags of words, pictures as color histograms, joined by a ridge
/// regression; and the caption that says one word whatever is shown.
package struct PairBaselines: Sendable, Codable {
  package struct Gallery: Sendable, Codable, Equatable {
    package let name: String
    package let images: Int
    package let texts: Int
    /// Recall at 1, 5 and 10.
    package let imageToText: [Double]
    package let textToImage: [Double]
    /// The word of the training captions that scores best when it is always said, and its scores: more than the most
    /// frequent words get.
    package let word: String
    package let wordF1: Double
    package let wordBLEU4: Double
    package let wordCIDEr: Double
  }

  package let path: String
  package let galleries: [Gallery]

  /// Levels of red, green and blue: 64 colors.
  private static let levels = 4
  package static let cutoffs = [1, 5, 10]

  /// - Throws: `DataError` for what is wrong with the folder.
  package init(path: String) throws {
    let folder = try PairFolder(path: path)
    let (train, val) = (folder[.train], folder[.val])
    let trainPairs = train.items.enumerated().flatMap { index, item in item.captions.map { (index, $0) } }
    let words = WordBag(trainPairs.map(\.1))
    let histograms = try ColorRegression.histograms(train, levels: PairBaselines.levels)
    let regression = ColorRegression(
      histograms: trainPairs.map { histograms[$0.0] }, targets: trainPairs.map { words.vector($0.1) },
      columns: words.count)
    let valHistograms = try ColorRegression.histograms(val, levels: PairBaselines.levels)
    let keys = try val.identities()
    self.path = path
    galleries = val.galleries.map { name, members in
      let texts = members.flatMap { index in val.items[index].captions.map { (image: index, text: $0) } }
      let predicted = members.map { regression.predict(valHistograms[$0]) }
      let bags = texts.map { words.vector($0.text) }
      func similarity(_ image: Int, _ text: Int) -> Float {
        bags[text].reduce(0) { $0 + predicted[image][$1.word] * $1.weight }
      }
      func belong(_ image: Int, _ text: Int) -> Bool { keys[members[image]] == keys[texts[text].image] }
      let toText = RetrievalRanks(
        queries: members.count, gallery: texts.count, similarity: similarity, isRight: belong)
      let toImage = RetrievalRanks(
        queries: texts.count, gallery: members.count, similarity: { similarity($1, $0) }, isRight: { belong($1, $0) })
      let references = members.map { val.items[$0].captions }
      let word = words.bestAlone(for: references)
      let scores = CaptionScores(Array(repeating: word, count: members.count), references: references)
      return Gallery(
        name: name, images: members.count, texts: texts.count,
        imageToText: PairBaselines.cutoffs.map(toText.recall), textToImage: PairBaselines.cutoffs.map(toImage.recall),
        word: word, wordF1: scores.tokenF1, wordBLEU4: scores.bleu4, wordCIDEr: scores.cider)
    }
  }

  /// Lines for a terminal.
  package var text: String {
    func shares(_ values: [Double]) -> String {
      values.map { "\((1000 * $0).rounded() / 10) %" }.joined(separator: " / ")
    }
    func short(_ value: Double) -> Double { (1000 * value).rounded() / 1000 }
    return galleries.map {
      """
      \($0.name.isEmpty ? "all" : $0.name): \($0.images) images, \($0.texts) texts
        bag of words and color histogram, recall@1/5/10: image to text \(shares($0.imageToText)), \
      text to image \(shares($0.textToImage))
        always '\($0.word)': token F1 \(short($0.wordF1)), BLEU-4 \(short($0.wordBLEU4)), CIDEr \(short($0.wordCIDEr))
      """
    }.joined(separator: "\n")
  }
}

extension PairSet {
  /// The items of each gallery, in the order of first appearance.
  package var galleries: [(name: String, members: [Int])] {
    var order: [String] = []
    var members: [String: [Int]] = [:]
    for (index, item) in items.enumerated() {
      if members[item.gallery] == nil { order.append(item.gallery) }
      members[item.gallery, default: []].append(index)
    }
    return order.map { ($0, members[$0]!) }
  }
}

/// Words by their numbers, weighted by rarity.
private struct WordBag {
  private var numbers: [String: Int] = [:]
  private var rarity: [Float] = []
  /// Words, the most frequent first.
  private let frequent: [String]

  init(_ texts: [String]) {
    var documents: [String: Int] = [:]
    for text in texts { for word in Set(CaptionScores.words(text)) { documents[word, default: 0] += 1 } }
    frequent = documents.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.map(\.key)
    for (index, word) in frequent.enumerated() {
      numbers[word] = index
      rarity.append(log(Float(texts.count) / Float(documents[word]!)))
    }
  }

  var count: Int { rarity.count }

  /// The word with the best mean F1 when it is said of everything.
  func bestAlone(for references: [[String]]) -> String {
    var sums: [String: Double] = [:]
    for captions in references {
      var best: [String: Double] = [:]
      for words in captions.map(CaptionScores.words) {
        for word in Set(words) where numbers[word] != nil {
          best[word] = max(best[word] ?? 0, 2 / Double(1 + words.count))
        }
      }
      for (word, score) in best { sums[word, default: 0] += score }
    }
    return sums.min { ($1.value, $0.key) < ($0.value, $1.key) }?.key ?? frequent[0]
  }

  /// The known words of a text, of unit length, in ascending order.
  func vector(_ text: String) -> [(word: Int, weight: Float)] {
    var weights: [Int: Float] = [:]
    for word in CaptionScores.words(text) {
      if let number = numbers[word] { weights[number, default: 0] += rarity[number] }
    }
    let sorted = weights.sorted { $0.key < $1.key }
    let norm = sorted.reduce(Float(0)) { $0 + $1.value * $1.value }.squareRoot()
    return sorted.map { ($0.key, norm > 0 ? $0.value / norm : 0) }
  }
}

/// From color histograms to bags of words, by least squares with a ridge; both are taken about their means.
private struct ColorRegression {
  private let mean: [Double]
  /// `[colors][words]`
  private let weights: [[Double]]
  private let columns: Int

  init(histograms: [[Double]], targets: [[(word: Int, weight: Float)]], columns: Int) {
    let (rows, features) = (histograms.count, histograms[0].count)
    self.columns = columns
    let mean = (0..<features).map { f in histograms.reduce(0) { $0 + $1[f] } / Double(rows) }
    var gram = [[Double]](repeating: [Double](repeating: 0, count: features), count: features)
    var right = [[Double]](repeating: [Double](repeating: 0, count: columns), count: features)
    // The targets' mean drops out: centered features are orthogonal to a constant.
    for (histogram, target) in zip(histograms, targets) {
      let x = zip(histogram, mean).map { $0 - $1 }
      for i in 0..<features {
        for j in 0...i { gram[i][j] += x[i] * x[j] }
        for entry in target { right[i][entry.word] += x[i] * Double(entry.weight) }
      }
    }
    let ridge = 0.01 * (0..<features).reduce(0) { $0 + gram[$1][$1] } / Double(features) + 1e-9
    for i in 0..<features { gram[i][i] += ridge }
    self.mean = mean
    weights = ColorRegression.solve(gram, right)
  }

  /// `A⁻¹ B` of a positive definite matrix of which the lower half is given, by Cholesky.
  private static func solve(_ a: [[Double]], _ b: [[Double]]) -> [[Double]] {
    let n = a.count
    var l = a
    for i in 0..<n {
      for j in 0...i {
        let sum = (0..<j).reduce(a[i][j]) { $0 - l[i][$1] * l[j][$1] }
        l[i][j] = i == j ? sum.squareRoot() : sum / l[j][j]
      }
    }
    var x = b
    func subtract(_ row: Int, _ other: Int, _ factor: Double) {
      for c in x[row].indices { x[row][c] -= factor * x[other][c] }
    }
    for i in 0..<n {
      for j in 0..<i { subtract(i, j, l[i][j]) }
      for c in x[i].indices { x[i][c] /= l[i][i] }
    }
    for i in (0..<n).reversed() {
      for j in i + 1..<n { subtract(i, j, l[j][i]) }
      for c in x[i].indices { x[i][c] /= l[i][i] }
    }
    return x
  }

  /// The bag of words that a histogram suggests, of unit length.
  func predict(_ histogram: [Double]) -> [Float] {
    var sum = [Double](repeating: 0, count: columns)
    for (f, row) in weights.enumerated() {
      let x = histogram[f] - mean[f]
      if x != 0 { for c in 0..<columns { sum[c] += x * row[c] } }
    }
    let norm = max(sum.reduce(0) { $0 + $1 * $1 }.squareRoot(), 1e-12)
    return sum.map { Float($0 / norm) }
  }

  /// The share of pixels of every color.
  static func histograms(_ set: PairSet, levels: Int) throws -> [[Double]] {
    try set.items.map { item in
      guard let path = item["image"].first else {
        throw DataError(
          item.place, found: "no field image", expected: "one in every line: the baseline is one of colors and words",
          remedy: "add it or remove the line")
      }
      let image = try RGBImage(contentsOf: path)
      var counts = [Double](repeating: 0, count: levels * levels * levels)
      let share = 1 / Double(image.width * image.height)
      image.pixels.withUnsafeBufferPointer { pixels in
        for start in stride(from: 0, to: pixels.count, by: 3) {
          let place = (0..<3).reduce(0) { $0 * levels + Int(pixels[start + $1]) * levels / 256 }
          counts[place] += share
        }
      }
      return counts
    }
  }
}
