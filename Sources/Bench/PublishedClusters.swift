import MMoEConfig
import MMoEData
import MMoEModels
import MMoEParallel

/// Measured speed-ups over sequential top-2 on clusters of a paper, from a file beside the notebook that compares them.
struct PublishedCluster {
  struct Result {
    let variant: MoEVariant
    /// Where the shortcut starts.
    let position: Int
    let strategy: OverlapStrategy
    /// Nil = not published.
    let train, inference: Double?
  }

  let name: String
  /// Of top-2's MoE time (experts and exchange), the exchange's part.
  let exchangeShare: Double
  /// Attention over MLP time: windows of 144 tokens at d = 384 (Swin), or 2,048 causal ones at d = 1,024 (GPT-2).
  let attention: Double
  let results: [Result]

  /// The figures of arXiv 2404.05019.
  static let file = ProjectHome.path + "/notebooks-md/published-clusters.json"

  /// - Throws: `DataError` naming the file, the field, what it holds and what is expected.
  static func read(_ file: String = PublishedCluster.file) throws -> [PublishedCluster] {
    let root = try JSONFields(
      JSONTree(readFile(file, limit: 1 << 20), file: file), file: file, expected: "clusters with their results")
    root.ignore(["source"])
    let clusters = try root.objects("clusters").map(PublishedCluster.init)
    try root.requireAllRead(of: "published results")
    guard !clusters.isEmpty else { throw root.refuse("clusters", root.found("clusters"), "a list of clusters") }
    return clusters
  }

  private init(_ fields: JSONFields) throws {
    guard let name = try fields.text("cluster") else { throw fields.refuse("cluster", "missing", "a name") }
    self.name = name
    exchangeShare = try fields.number("exchange_share", "a number above 0 and below 1") { $0 > 0 && $0 < 1 }
    attention = try fields.number("attention", "a number above 0") { $0 > 0 }
    results = try fields.objects("results").map(Result.init)
    try fields.requireAllRead(of: "a cluster")
  }
}

extension PublishedCluster.Result {
  fileprivate init(_ fields: JSONFields) throws {
    guard let name = try fields.text("variant"), let known = MoEVariant.all.first(where: { $0.name == name }) else {
      let names = MoEVariant.all.map(\.name).joined(separator: ", ")
      throw fields.refuse("variant", fields.found("variant"), "one of \(names)")
    }
    variant = known
    position = Int(try fields.number("position", "1, 2 or 3", 2) { (1...3).contains($0) && $0 == $0.rounded() })
    guard let text = try fields.text("strategy"), let strategy = OverlapStrategy(text) else {
      throw fields.refuse("strategy", fields.found("strategy"), "one of \(OverlapStrategy.forms)")
    }
    self.strategy = strategy
    func speedUp(_ field: String) throws -> Double? {
      fields.found(field) == "missing" ? nil : try fields.number(field, "a number above 0") { $0 > 0 }
    }
    (train, inference) = (try speedUp("train"), try speedUp("inference"))
    try fields.requireAllRead(of: "a result")
  }
}

extension JSONFields {
  /// A number that is allowed; `fallback` where the field is not there.
  fileprivate func number(
    _ field: String, _ expected: String, _ fallback: Double? = nil, _ isAllowed: (Double) -> Bool
  ) throws -> Double {
    let number: Double? =
      switch value(field) {
      case .whole(let whole): Double(whole)
      case .real(let real): real
      case nil: fallback
      default: nil
      }
    guard let number, isAllowed(number) else { throw refuse(field, found(field), expected) }
    return number
  }
}
