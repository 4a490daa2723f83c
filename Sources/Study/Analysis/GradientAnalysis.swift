import MMoEModels
import MMoETensor
import MMoETrain

/// How the loss reaches the states: ‖dE/dx_l‖ with E the mean cross-entropy over all samples, and what of it comes along
/// each path that reads x_l (arXiv 2404.05019, section 3.5, argues about these and measures none).
struct GradientMeasurement {
  struct Path {
    let path: StreamPath
    /// ‖gradient along this path‖₂.
    let norm: Double
    /// ⟨gradient along this path, whole gradient⟩ / ‖whole gradient‖²; the shares of a state add up to 1.
    let share: Double
  }

  struct State {
    let state: StreamState
    /// ‖dE/dx_l‖₂ over all tokens.
    let norm: Double
    /// Empty for the last state, which only the head reads.
    let paths: [Path]
  }

  /// In the order of the network.
  let states: [State]
}

/// Gives every state and every path a gradient of its own, and adds up their squares.
final class GradientObserver: PassObserver {
  private struct PathSums {
    var squares = 0.0
    var along = 0.0
  }

  private let engine: Engine
  private var squares: [StreamState: Double] = [:]
  private var paths: [StreamState: [StreamPath: PathSums]] = [:]
  /// Order of appearance.
  private var order: [StreamState: [StreamPath]] = [:]
  /// Gradients of paths whose state's own gradient is not complete.
  private var arrived: [StreamState: [(path: StreamPath, gradient: Tensor)]] = [:]
  /// Samples that the loss of the pass is the mean of.
  private var weight = 0.0
  private var counted = 0.0

  init(_ engine: Engine) { self.engine = engine }

  func reached(_ state: StreamState, _ value: Tensor, _ tape: Tape) -> Tensor {
    tape.tap(value) { [unowned self] in complete(state, $0) }
  }

  func view(of state: StreamState, _ value: Tensor, along path: StreamPath, _ tape: Tape) -> Tensor? {
    if paths[state]?[path] == nil {
      paths[state, default: [:]][path] = PathSums()
      order[state, default: []].append(path)
    }
    // The buffer goes on to the state, where others are added to it.
    return tape.tap(value) { [unowned self] in arrived[state, default: []].append((path, $0.copy())) }
  }

  /// Runs the backward pass of a loss that is the mean over `count` samples.
  func backward(_ tape: Tape, count: Int) {
    weight = Double(count)
    counted += weight
    tape.backward()
    arrived.removeAll()
  }

  private func complete(_ state: StreamState, _ gradient: Tensor) {
    // Of the sum over samples, so that batches of any size add up.
    let scale = weight * weight
    squares[state, default: 0] += scale * engine.dot(gradient, gradient)
    for (path, part) in arrived.removeValue(forKey: state) ?? [] {
      paths[state]?[path]?.squares += scale * engine.dot(part, part)
      paths[state]?[path]?.along += scale * engine.dot(part, gradient)
    }
  }

  var measurement: GradientMeasurement {
    let total = max(counted, 1)
    return GradientMeasurement(
      states: squares.keys.sorted().map { state in
        let whole = squares[state] ?? 0
        return .init(
          state: state, norm: whole.squareRoot() / total,
          paths: (order[state] ?? []).map { path in
            let sums = paths[state]?[path] ?? PathSums()
            return .init(path: path, norm: sums.squares.squareRoot() / total, share: sums.along / max(whole, 1e-300))
          })
      })
  }
}

enum GradientAnalysis: Analysis {
  static let name = "gradients"

  /// The loss alone: balance losses send gradients of their own.
  static func adapt(_ config: inout ModelConfig) {
    config.moe.balance = "none"
    config.moe.zLossWeight = 0
  }

  static func measure(_ task: any ProbedTask, _ config: ModelConfig, _ probe: Probe) throws -> GradientMeasurement {
    let observer = GradientObserver(probe.engine)
    try task.probe(.val, samples: probe.samples) {
      probe.pass(recording: true, observer: observer)
    } _: { batch in
      observer.backward(batch.pass.tape, count: batch.counted)
      for parameter in task.model.parameters { parameter.clearGradient() }
    }
    return observer.measurement
  }
}
