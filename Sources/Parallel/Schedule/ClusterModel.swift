import MMoEModels

/// Operator times of one block pair and what its exchange needs: enough to predict any variant under any strategy.
/// Seconds of a forward pass.
package struct PairCosts: Sendable, Equatable {
  package var attention: Double
  /// The dense MLP; the shared expert is as large.
  package var mlp: Double
  /// The routed experts of one choice a token.
  package var expert: Double
  /// One direction of the exchange of one choice a token, without its latency.
  package var exchange: Double
  /// What an exchange costs beside its bytes, however many choices it carries.
  package var latency: Double
  /// Experts of each rank, among which `auto` shares out parts.
  package var expertsOfRank = 1
  /// Backward over forward time of an operator.
  package var backward = 2.0

  package init(attention: Double, mlp: Double, expert: Double, exchange: Double, latency: Double = 0) {
    self.attention = attention
    self.mlp = mlp
    self.expert = expert
    self.exchange = exchange
    self.latency = latency
  }

  /// Those of a model's blocks by their products with weights: times of attention leave its scores out, which depend on the
  /// window.
  ///
  /// - Parameters:
  ///   - model: a language model with one dense block and one with experts.
  ///   - tokens: that one rank computes; flops: products that it computes, FLOP/s.
  ///   - exchange, latency: as in the other initializer.
  /// - Throws: `ModelError` for an impossible configuration.
  package init(of model: ModelConfig, tokens: Double, flops: Double, exchange: Double, latency: Double) throws {
    var (attention, mlp, expert) = (0.0, 0.0, 0.0)
    for operation in try Architecture(model).operations where operation.block != nil && operation.parameters > 0 {
      let perToken = 2 * operation.multiplyAdds / Double(operation.rows)
      switch operation.window?.kind {
      case .attention: attention += perToken
      case .mlp: mlp += perToken
      case .shared: break
      case nil: if let choices = operation.choices { expert += perToken / choices }
      }
    }
    let dense = Double(model.layers - 1)
    self.init(
      attention: attention / Double(model.layers) * tokens / flops, mlp: mlp / dense * tokens / flops,
      expert: expert * tokens / flops, exchange: exchange, latency: latency)
  }

  /// Of one operator, forward.
  func seconds(of kind: WindowOperator.Kind) -> Double { kind == .attention ? attention : mlp }

  /// Costs in units of an expert's time in which top-2's exchange takes the given share of MoE time (experts and
  /// exchange).
  ///
  /// - Parameter attention: an attention's time over an expert's.
  package static func of(shareOfMoETime share: Double, attention: Double) -> PairCosts {
    PairCosts(attention: attention, mlp: 1, expert: 1, exchange: share / (1 - share) / 2)
  }
}

/// A cluster: ranks in nodes, a link a rank inside a node, one for all ranks of a node between nodes.
package struct ClusterShape: Sendable, Equatable {
  package var ranks: Int
  package var ranksPerNode: Int
  /// Bytes a second.
  package var linkInside: Double
  package var linkBetween: Double
  /// Seconds that each message costs.
  package var latency: Double
  /// Seconds that an all-to-all costs beside its bytes: a message to every other rank.
  package var exchangeLatency: Double { Double(ranks - 1) * latency }

  package init(
    ranks: Int, ranksPerNode: Int, linkInside: Double, linkBetween: Double, latency: Double
  ) {
    self.ranks = ranks
    self.ranksPerNode = ranksPerNode
    self.linkInside = linkInside
    self.linkBetween = linkBetween
    self.latency = latency
  }

  /// The bytes of one direction of an all-to-all in which each rank has `bytes` for all ranks together, spread evenly.
  package func exchangeSeconds(bytes: Double) -> Double {
    let inside = Double(min(ranks, ranksPerNode) - 1) / Double(ranks) * bytes
    // A node's ranks share its way out.
    let outside = Double(max(ranks - ranksPerNode, 0)) / Double(ranks) * bytes * Double(ranksPerNode)
    return max(inside / linkInside, outside / linkBetween)
  }
}

/// Predicts pairs of blocks: the schedules that run here, on given times.
package enum PairSimulator {
  package struct Prediction: Sendable {
    package let seconds: Double
    package let exchange: Double
    package let exposed: Double
    package var hidden: Double { exchange > 0 ? 1 - exposed / exchange : 1 }
  }

  /// - Parameter position: the shortcut's, for variants that have one.
  /// - Throws: `ModelError` for a variant that is none.
  package static func predict(
    _ costs: PairCosts, variant name: String, position: Int = 2, _ strategy: OverlapStrategy,
    training: Bool
  ) throws -> Prediction {
    var options = MoEConfig()
    (options.variant, options.position) = (name, position)
    let pair = Architecture(pairOf: try MoEVariant.resolve(options)).lastPair
    var total = WindowOperator.Kind.allCases.reduce(0) { sum, kind in
      sum + Double(pair.operators.count { $0.kind == kind }) * costs.seconds(of: kind)
    }
    total += Double(pair.calls.reduce(0) { $0 + $1.route.k }) * costs.expert
    if training { total *= 1 + costs.backward }
    var (exchange, exposed) = (0.0, 0.0)
    for call in pair.calls {
      let choices = Double(call.route.k)
      let forward = RouteTimes(
        window: call.window.map { costs.seconds(of: $0.kind) }, experts: costs.expert * choices,
        dispatch: costs.exchange * choices + costs.latency,
        combine: costs.exchange * choices + costs.latency, latency: costs.latency)
      let passes = training ? [forward, forward.scaled(computation: costs.backward)] : [forward]
      let outcomes = run(passes, strategy, expertsOfRank: costs.expertsOfRank)
      exchange += outcomes.reduce(0) { $0 + $1.exchange }
      exposed += outcomes.reduce(0) { $0 + $1.exposed }
    }
    return Prediction(seconds: total + exposed, exchange: exchange, exposed: exposed)
  }

  /// One route's passes (forward, and backward where there is one) under a strategy.
  package static func run(
    _ passes: [RouteTimes], _ strategy: OverlapStrategy, expertsOfRank: Int
  ) -> [ScheduleSimulator.Outcome] {
    ScheduleSimulator.outcomes(passes, strategy.schedule(for: passes, expertsOfRank: expertsOfRank))
  }
}
