import Foundation
import MMoEModels
import MMoETensor
import MMoETrain

/// One gated call of one layer over all samples.
struct CallMeasurement {
  let block: Int
  /// Place among the layer's routes.
  let route: Int
  let source: StreamState
  let experts: Int
  let k: Int
  /// `[T · k]`, best first; −1 where a token has fewer.
  var choices: [Int32] = []
  /// Tokens that have a first, a second … choice, `[k]`.
  private var given: [Int]
  /// `[T]`: the best expert without any constraint.
  var favourites: [Int32] = []
  /// Sums over tokens, a number for each choice: its probability among all experts, and its weight.
  var probabilities: [Double]
  var weights: [Double]
  /// Sum over tokens of the entropy of the gate's distribution, in nats.
  var entropy = 0.0

  init(_ call: ObservedCall) {
    (block, route, source) = (call.block, call.route, call.source)
    (experts, k) = (call.routing.choice.expertCount, call.routing.choice.k)
    probabilities = Array(repeating: 0, count: k)
    weights = probabilities
    given = Array(repeating: 0, count: k)
  }

  mutating func add(_ call: ObservedCall) {
    let choice = call.routing.choice
    let (p, scores) = (choice.probabilities.pointer, choice.scores.pointer)
    choices += choice.experts
    for t in 0..<choice.tokens {
      let own = p + t * experts
      for j in 0..<k where choice.experts[t * k + j] >= 0 {
        given[j] += 1
        probabilities[j] += Double(own[Int(choice.experts[t * k + j])])
        weights[j] += Double(choice.gates.pointer[t * k + j])
      }
      var best = 0
      func score(_ e: Int) -> Float { scores[t * experts + e] + (call.selectionBias?[e] ?? 0) }
      for e in 1..<max(experts, 1) where score(e) > score(best) { best = e }
      favourites.append(Int32(best))
      for e in 0..<experts where own[e] > 0 { entropy -= Double(own[e]) * log(Double(own[e])) }
    }
  }

  var tokens: Int { favourites.count }
  /// From where to where, such as `1A→2M`.
  var name: String { "\(source.name)→\(StreamState.output(block).name)" }
  /// Mean for each choice over the tokens that have it; as many as a token has at most.
  var meanProbabilities: [Double] { means(probabilities) }
  var meanWeights: [Double] { means(weights) }
  /// Choices of a token on average.
  var meanChoices: Double { Double(given.reduce(0, +)) / Double(max(tokens, 1)) }
  var gateEntropy: Double { entropy / Double(max(tokens, 1)) }

  private func means(_ sums: [Double]) -> [Double] {
    zip(sums, given).filter { $1 > 0 }.map { $0 / Double($1) }
  }

  /// Share of choices of each expert.
  var load: [Double] {
    var counts = [Double](repeating: 0, count: experts)
    for expert in choices where expert >= 0 { counts[Int(expert)] += 1 }
    return counts.map { $0 / Double(max(given.reduce(0, +), 1)) }
  }
  /// Entropy of the load in nats; ln E where all experts have the same.
  var loadEntropy: Double { load.reduce(0) { $1 > 0 ? $0 - $1 * log($1) : $0 } }
  var imbalance: Double { (load.max() ?? 0) * Double(experts) }

  /// How often a token's experts here are its experts there, as a share of all choices.
  func agreement(with other: CallMeasurement) -> Double {
    guard k == other.k, tokens == other.tokens, tokens > 0 else { return .nan }
    var same = 0
    for t in 0..<tokens {
      let theirs = other.choices[t * k..<(t + 1) * k]
      same += choices[t * k..<(t + 1) * k].count { $0 >= 0 && theirs.contains($0) }
    }
    return Double(same) / Double(max(given.reduce(0, +), 1))
  }

  /// Choices by expert and label, `[E][labels]`.
  func counts(_ labels: RowLabels) -> [[Int]] {
    var table = Array(repeating: Array(repeating: 0, count: labels.count), count: experts)
    for (at, expert) in choices.enumerated() where expert >= 0 {
      let label = labels.values[at / k]
      if label >= 0 { table[Int(expert)][Int(label)] += 1 }
    }
    return table
  }
}

/// Two states that a layer with experts could read, over all samples.
struct StateDistance {
  let block: Int
  /// The preceding one; the other is the block's state after attention.
  let source: StreamState
  /// Sums over tokens: ‖current − preceding‖₂, and the same over the mean of both lengths.
  var distance = 0.0
  var relative = 0.0
  var tokens = 0

  /// Both states, such as `1A, 2A`.
  var name: String { "\(source.name), \(StreamState.afterAttention(block).name)" }
  var meanDistance: Double { distance / Double(max(tokens, 1)) }
  var meanRelative: Double { relative / Double(max(tokens, 1)) }
}

/// What the routers of a model did with a set of samples.
struct RoutingMeasurement {
  /// In the order of the network.
  var calls: [CallMeasurement]
  var distances: [StateDistance]
  /// Of all rows, in the order of the calls' tokens.
  var labels: [RowLabels]
  /// Of the first samples that have some.
  var pictures: [ProbedPicture]

  /// The layers that have experts.
  var blocks: [Int] { Array(Set(calls.map(\.block))).sorted() }
  func calls(of block: Int) -> [CallMeasurement] { calls.filter { $0.block == block }.sorted { $0.route < $1.route } }

  /// Share of tokens whose first two calls in a layer would take the same expert if nothing kept them from it; nil for
  /// layers with one call.
  func sameExpertShare(_ block: Int) -> Double? {
    let calls = calls(of: block)
    guard calls.count >= 2, calls[0].tokens > 0 else { return nil }
    let same = zip(calls[0].favourites, calls[1].favourites).count { $0 == $1 }
    return Double(same) / Double(calls[0].tokens)
  }

  /// The labels that are few enough to be listed.
  var kinds: [RowLabels] { labels.filter { $0.count <= 32 && $0.name != RowLabels.patch } }

  /// What the preceding state of a layer is compared by: the first of its distances.
  func distance(_ block: Int) -> StateDistance? { distances.first { $0.block == block } }
}

/// Collects calls and states of forward passes.
final class RoutingObserver: PassObserver {
  private let engine: Engine
  private var calls: [CallMeasurement] = []
  private var distances: [StateDistance] = []
  private var states: [StreamState: Tensor] = [:]

  /// Compares, for each layer with experts, its state after attention with the earlier states that its routes start
  /// from; where they have none, with the preceding block's state after attention, as arXiv 2404.05019 does.
  ///
  /// - Throws: `ModelError` for an unknown variant.
  init(_ config: ModelConfig, engine: Engine) throws {
    self.engine = engine
    let earlier = try MoEVariant.resolve(config.moe).routes.map(\.source).filter { $0 != .current }
    for block in 0..<config.layers where config.isMoE(block) {
      var sources = Set(earlier.map { StreamState.source($0, of: block) })
      if sources.isEmpty, block > 0 { sources = [.afterAttention(block - 1)] }
      distances += sources.sorted(by: >).map { StateDistance(block: block, source: $0) }
    }
  }

  func reached(_ state: StreamState, _ value: Tensor, _ tape: Tape) -> Tensor {
    if state == .input { states.removeAll() }
    states[state] = value
    for at in distances.indices where StreamState.afterAttention(distances[at].block) == state {
      guard let source = states[distances[at].source] else { continue }
      let apart = engine.distances(source, value)
      let origin = Tensor.zeros(value.shape)
      let lengths = zip(engine.distances(origin, source), engine.distances(origin, value)).map { ($0 + $1) / 2 }
      distances[at].distance += apart.reduce(0, +)
      distances[at].relative += zip(apart, lengths).reduce(0) { $0 + $1.0 / max($1.1, 1e-30) }
      distances[at].tokens += value.rows
    }
    return value
  }

  func routed(_ call: ObservedCall) {
    let at = calls.firstIndex { $0.block == call.block && $0.route == call.route } ?? calls.count
    if at == calls.count { calls.append(CallMeasurement(call)) }
    calls[at].add(call)
  }

  func measurement(_ labels: [RowLabels], _ pictures: [ProbedPicture]) -> RoutingMeasurement {
    RoutingMeasurement(
      calls: calls.sorted { ($0.block, $0.route) < ($1.block, $1.route) }, distances: distances, labels: labels,
      pictures: pictures)
  }
}

enum RoutingAnalysis: Analysis {
  static let name = "routing"
  static let needsExperts = true
  /// How many pictures are drawn with their experts.
  private static let drawn = 8

  static func measure(_ task: any ProbedTask, _ config: ModelConfig, _ probe: Probe) throws -> RoutingMeasurement {
    let observer = try RoutingObserver(config, engine: probe.engine)
    var labels: [RowLabels] = []
    var pictures: [ProbedPicture] = []
    try task.probe(.val, samples: probe.samples, everyTask: true) {
      probe.pass(observer: observer)
    } _: { batch in
      let rows = labels.first?.values.count ?? 0
      pictures += batch.pictures(drawn - pictures.count).map {
        var picture = $0
        picture.row += rows
        return picture
      }
      labels =
        labels.isEmpty
        ? batch.labels
        : zip(labels, batch.labels).map { old, new in
          RowLabels(name: old.name, count: old.count, values: old.values + new.values, describe: old.describe)
        }
    }
    return observer.measurement(labels, pictures)
  }
}
