/// One route's routing of one batch.
public struct RoutingReport: Sendable {
  public let block: Int
  public let route: Int
  /// Choices of each expert before drops.
  public private(set) var load: [Int]
  /// Rows that experts computed: the choices that were neither dropped nor an identity.
  public private(set) var expertRows: Int
  /// Choices, and those of them that the capacity kept.
  private var pairs, kept: Double
  /// Tokens, and the summed entropy of their gates' distributions over experts, in nats.
  private var tokens, entropySum: Double
  /// Unweighted auxiliary losses by name, balance and z_loss: this part's, whose mean over the parts is the batch's.
  public let auxiliary: [String: Double]
  /// Choices of each expert by the tokens of each modality, in the order of the model's modalities; empty where there is
  /// one only.
  public private(set) var modalityLoad: [[Int]]

  init(
    block: Int, route: Int, load: [Int], expertRows: Int, pairs: Double, kept: Double, tokens: Double,
    entropySum: Double, auxiliary: [String: Double], modalityLoad: [[Int]]
  ) {
    (self.block, self.route, self.load, self.expertRows) = (block, route, load, expertRows)
    (self.pairs, self.kept, self.tokens, self.entropySum) = (pairs, kept, tokens, entropySum)
    (self.auxiliary, self.modalityLoad) = (auxiliary, modalityLoad)
  }

  /// Share of choices dropped by the capacity.
  public var dropped: Double { 1 - kept / max(pairs, 1) }
  /// Mean entropy of the gate's distribution over experts, in nats.
  public var entropy: Double { entropySum / max(tokens, 1) }

  /// Adds what the same route's tokens of another micro-batch of the step chose.
  public mutating func add(_ other: RoutingReport) {
    for e in load.indices { load[e] += other.load[e] }
    expertRows += other.expertRows
    (pairs, kept) = (pairs + other.pairs, kept + other.kept)
    (tokens, entropySum) = (tokens + other.tokens, entropySum + other.entropySum)
    for m in modalityLoad.indices {
      for e in modalityLoad[m].indices { modalityLoad[m][e] += other.modalityLoad[m][e] }
    }
  }

  /// Largest load over the mean one.
  public var imbalance: Double {
    Double(load.max() ?? 0) * Double(load.count) / Double(max(load.reduce(0, +), 1))
  }
  /// Experts without a token.
  public var dead: Int { load.filter { $0 == 0 }.count }
}
