/// What one call of a gate adds up over the ranks and micro-batches: one short vector, so that one reduction carries it.
public struct RoutingSums {
  private let experts: Int
  /// Choices of each expert before drops.
  public private(set) var load: [Double]
  /// What the balance loss adds up for itself; empty without one.
  public internal(set) var balance: [Double] = []
  var modalities = ModalitySums()
  /// Summed over tokens, in nats.
  var entropy = 0.0
  private var kept: Double
  /// Kept pairs whose choice is an expert, not an identity.
  private var expertRows: Double
  private var pairs: Double
  public private(set) var tokens: Double

  init(_ plan: DispatchPlan, experts: Int) {
    self.experts = experts
    load = plan.load.map(Double.init)
    kept = Double(plan.keptPairs)
    expertRows = Double(plan.rows)
    pairs = Double(plan.pairs)
    tokens = Double(plan.tokens)
  }

  /// All sums in a fixed order.
  var vector: [Double] {
    get {
      [entropy, kept, expertRows, pairs, tokens] + load + balance + modalities.vector
    }
    set {
      (entropy, kept, expertRows) = (newValue[0], newValue[1], newValue[2])
      (pairs, tokens) = (newValue[3], newValue[4])
      var rest = newValue[5...]
      func take(_ count: Int) -> [Double] {
        defer { rest = rest.dropFirst(count) }
        return Array(rest.prefix(count))
      }
      load = take(experts)
      balance = take(balance.count)
      modalities.vector = Array(rest)
    }
  }

  func report(block: Int, route: Int, auxiliary: [String: Float]) -> RoutingReport {
    RoutingReport(
      block: block, route: route, load: load.map { Int($0) }, expertRows: Int(expertRows), pairs: pairs, kept: kept,
      tokens: tokens, entropySum: entropy, auxiliary: auxiliary.mapValues(Double.init),
      modalityLoad: modalities.tokens.indices.map { m in
        modalities.load[m * experts..<(m + 1) * experts].map { Int($0) }
      })
  }
}
