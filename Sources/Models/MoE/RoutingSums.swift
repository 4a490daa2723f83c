/// What one call of a gate adds up over the ranks and micro-batches: one short vector, so that one reduction carries it.
struct RoutingSums {
  private let experts: Int
  /// Choices of each expert before drops.
  private(set) var load: [Double]
  /// First choices of each expert; empty where no loss asks for them.
  var firstChoices: [Double] = []
  /// Summed probabilities and expected tokens of each expert; empty where no loss asks for them.
  var importance: [Double] = []
  var expectedLoad: [Double] = []
  var modalities = ModalitySums()
  /// Summed over tokens, in nats.
  var entropy = 0.0
  private var kept: Double
  private var pairs: Double
  private(set) var tokens: Double

  init(_ plan: DispatchPlan, experts: Int) {
    self.experts = experts
    load = plan.load.map(Double.init)
    kept = Double(plan.keptPairs)
    pairs = Double(plan.tokens * plan.k)
    tokens = Double(plan.tokens)
  }

  /// All sums in a fixed order.
  var vector: [Double] {
    get { [entropy, kept, pairs, tokens] + load + firstChoices + importance + expectedLoad + modalities.vector }
    set {
      (entropy, kept, pairs, tokens) = (newValue[0], newValue[1], newValue[2], newValue[3])
      var rest = newValue[4...]
      func take(_ count: Int) -> [Double] {
        defer { rest = rest.dropFirst(count) }
        return Array(rest.prefix(count))
      }
      load = take(experts)
      firstChoices = take(firstChoices.count)
      importance = take(importance.count)
      expectedLoad = take(expectedLoad.count)
      modalities.vector = Array(rest)
    }
  }

  func report(block: Int, route: Int, auxiliary: [String: Float]) -> RoutingReport {
    RoutingReport(
      block: block, route: route, load: load.map { Int($0) }, pairs: pairs, kept: kept, tokens: tokens,
      entropySum: entropy, auxiliary: auxiliary.mapValues(Double.init),
      modalityLoad: modalities.tokens.indices.map { m in
        modalities.load[m * experts..<(m + 1) * experts].map { Int($0) }
      })
  }
}
