import CKernels
import MMoEModels
import MMoETensor
import MMoETrain

/// How far the states of the residual stream point in the same direction, and what each operator changes in them.
struct SimilarityMeasurement {
  let states: [StreamState]
  /// Mean over tokens of the cosine between two states.
  let cosine: [[Double]]
  /// Mean over tokens of the states' Euclidean lengths.
  let lengths: [Double]
  /// Mean over tokens of ‖next state − state‖₂, one less than the states: attention, MLP or MoE, attention …
  let changes: [Double]

  var layers: Int { states.count / 2 }
  func changeByAttention(_ block: Int) -> Double { changes[2 * block] }
  func changeByMLP(_ block: Int) -> Double { changes[2 * block + 1] }
  /// The MLP's or MoE's part of both changes in a block, or over all blocks.
  func shareOfMLP(_ blocks: Range<Int>) -> Double {
    let mlp = blocks.reduce(0) { $0 + changeByMLP($1) }
    return mlp / (mlp + blocks.reduce(0) { $0 + changeByAttention($1) })
  }

  /// Figures by which two models can be compared.
  var summary: [(name: String, value: Double)] {
    let outputs = (1...layers).map { 2 * $0 }
    let blockSteps = zip(outputs, outputs.dropFirst()).map { cosine[$0][$1] }
    let early = 0...2
    let late = 3..<states.count
    func mean(_ values: [Double]) -> Double { values.isEmpty ? .nan : values.reduce(0, +) / Double(values.count) }
    return [
      ("cosine of In and 1M", cosine[0][2]),
      ("cosine of neighboring blocks' outputs, mean", mean(blockSteps)),
      ("the same, smallest", blockSteps.min() ?? .nan),
      ("cosine of In, 1A, 1M with later states, mean", mean(early.flatMap { i in late.map { cosine[i][$0] } })),
      ("cosine among later states, mean", mean(late.flatMap { i in (i + 1..<states.count).map { cosine[i][$0] } })),
      ("MLP's or MoE's share of change", shareOfMLP(0..<layers)),
      ("the same, first block", shareOfMLP(0..<1)),
      ("the same, last block", shareOfMLP(layers - 1..<layers)),
    ]
  }
}

/// Keeps the states of one forward pass.
final class StateCollector: PassObserver {
  private(set) var states: [Tensor] = []

  func reached(_ state: StreamState, _ value: Tensor, _ tape: Tape) -> Tensor {
    if state == .input { states.removeAll() }
    states.append(value)
    return value
  }
}

enum SimilarityAnalysis: Analysis {
  static let name = "similarity"

  static func measure(_ task: any ProbedTask, _ config: ModelConfig, _ probe: Probe) throws -> SimilarityMeasurement {
    let collector = StateCollector()
    var sums = SimilaritySums(states: 2 * config.layers + 1)
    try task.probe(.val, samples: probe.samples) {
      probe.pass(observer: collector)
    } _: { _ in
      sums.add(collector.states, probe.engine)
    }
    return sums.measurement
  }
}

/// Sums over the tokens of batches.
struct SimilaritySums {
  private var cosine: [[Double]]
  private var lengths: [Double]
  private var changes: [Double]
  private var tokens = 0.0

  init(states: Int) {
    cosine = Array(repeating: Array(repeating: 0, count: states), count: states)
    lengths = Array(repeating: 0, count: states)
    changes = Array(repeating: 0, count: states - 1)
  }

  /// - Parameter states: of one pass, each `[T, d]`.
  mutating func add(_ states: [Tensor], _ engine: Engine) {
    let (rows, d) = (states[0].rows, states[0].columns)
    let norms = states.map { state in
      engine.rowValues(rows) { row in
        let x = state.pointer + row * d
        return Double(mmoe_dot(x, x, d)).squareRoot()
      }
    }
    for (i, x) in states.enumerated() {
      lengths[i] += norms[i].reduce(0, +)
      cosine[i][i] += Double(rows)
      for (j, y) in states.enumerated().dropFirst(i + 1) {
        let products = engine.rowValues(rows) { row in Double(mmoe_dot(x.pointer + row * d, y.pointer + row * d, d)) }
        // A state without length points nowhere.
        let sum = (0..<rows).reduce(0.0) { $0 + products[$1] / max(norms[i][$1] * norms[j][$1], 1e-30) }
        cosine[i][j] += sum
        cosine[j][i] += sum
      }
    }
    for (index, (x, y)) in zip(states, states.dropFirst()).enumerated() {
      changes[index] += engine.distances(x, y).reduce(0, +)
    }
    tokens += Double(rows)
  }

  var measurement: SimilarityMeasurement {
    let count = max(tokens, 1)
    return SimilarityMeasurement(
      states: cosine.indices.map(StreamState.init), cosine: cosine.map { $0.map { $0 / count } },
      lengths: lengths.map { $0 / count }, changes: changes.map { $0 / count })
  }
}

extension Engine {
  /// ‖y − x‖₂ of every row.
  package func distances(_ x: Tensor, _ y: Tensor) -> [Double] {
    let d = x.columns
    let (px, py) = (x.pointer, y.pointer)
    return rowValues(x.rows) { row in
      var sum = 0.0
      for i in row * d..<(row + 1) * d {
        let difference = Double(py[i] - px[i])
        sum += difference * difference
      }
      return sum.squareRoot()
    }
  }
}
