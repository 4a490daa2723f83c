import MMoEModels

extension Recorder {
  /// Notes what a step's gates chose, route by route.
  package func record(_ routings: [RoutingReport]) {
    for routing in routings {
      let layer = routing.block
      let total = Double(max(routing.load.reduce(0, +), 1))
      record(MetricName.expertShare, routing.load.map { Double($0) / total }, layer: layer)
      record(MetricName.loadMaxOverMean, routing.imbalance, layer: layer)
      record(MetricName.deadExperts, Double(routing.dead), layer: layer)
      record(MetricName.dropFraction, routing.dropped, layer: layer)
      record("router_entropy", routing.entropy, layer: layer)
    }
  }
}
