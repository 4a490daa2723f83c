import MMoEModels
import MMoETensor
import TestSupport
import Testing
import TinyRuns

@testable import MMoEStudy
@testable import MMoETrain

/// What can be seen of a forward pass: that looking changes nothing, and that the gradients that are seen are right.
@Suite struct ObserverTests {
  let engine = try! Engine(threads: 2)

  /// Keeps every gradient, and may push one place along a direction, to measure what the loss does.
  final class PlaceObserver: PassObserver {
    struct Place: Hashable {
      let state: StreamState
      /// Nil: all paths together.
      let path: StreamPath?
    }
    private(set) var places: [Place] = []
    private(set) var gradients: [Place: Tensor] = [:]
    var pushed: (place: Place, direction: Tensor, step: Float)?

    private func look(_ place: Place, _ value: Tensor, _ tape: Tape) -> Tensor {
      places.append(place)
      let view = tape.tap(value) { [unowned self] in gradients[place] = $0.copy() }
      guard let pushed, pushed.place == place else { return view }
      let moved = value.copy()
      for i in 0..<moved.count { moved.pointer[i] += pushed.step * pushed.direction.pointer[i] }
      return moved
    }

    func reached(_ state: StreamState, _ value: Tensor, _ tape: Tape) -> Tensor {
      look(Place(state: state, path: nil), value, tape)
    }

    func view(of state: StreamState, _ value: Tensor, along path: StreamPath, _ tape: Tape) -> Tensor? {
      look(Place(state: state, path: path), value, tape)
    }
  }

  /// Every variant, and options that change who reads what.
  static let forms: [[String]] =
    (["dense"] + MoEVariant.all.map(\.name)).map { ["moe.variant=\($0)"] } + [
      ["moe.variant=scmoe", "moe.combine=cg1", "moe.position=3"],
      ["moe.variant=scmoe", "moe.combine=cg2", "moe.coefficient_input=current", "moe.shortcut_norm=preceding"],
      ["moe.variant=dgmoe", "moe.position=1", "moe.one_gate=true", "moe.post_norm=true"],
    ]

  private func config(_ settings: [String]) throws -> ModelConfig {
    var config = try TinyRun(settings).config.model
    (config.layers, config.width, config.hidden, config.initStd) = (4, 12, 20, 0.25)
    (config.vision.image, config.moe.balance) = (8, "none")
    return config
  }

  private let images = randomTensor([3, 3, 8, 8], seed: 5)
  private let factors = randomTensor([3, 4], seed: 6)

  /// The objective, and what the routers chose.
  private func forward(
    _ model: VisionTransformer, _ tape: Tape, _ observer: (any PassObserver)?
  ) -> (objective: Double, choices: [[Int]]) {
    let pass = ForwardPass(tape, training: false, observer: observer)
    tape.innerProduct(model(images, pass), with: factors)
    return (tape.objective, pass.routings.map(\.load))
  }

  @Test(arguments: forms) func lookingChangesNothing(form: [String]) throws {
    let model = try VisionTransformer(config(form), seed: 2, engine: engine)
    func gradients(_ observer: (any PassObserver)?) -> (Double, [[Float]]) {
      let tape = Tape(engine, recording: true)
      let found = forward(model, tape, observer)
      tape.backward()
      defer { for parameter in model.parameters { parameter.clearGradient() } }
      return (found.objective, model.parameters.map { $0.hasGradient ? $0.gradient.values : [] })
    }
    let (alone, seen) = (gradients(nil), gradients(PlaceObserver()))
    #expect(alone.0 == seen.0)
    for (a, b) in zip(alone.1, seen.1) {
      #expect(a.count == b.count && relativeError(b, a.map(Double.init)) < 1e-5)
    }
  }

  /// Gradients of states, and along single paths, are what the loss does when just that is moved.
  @Test(arguments: forms) func gradientsOfPlaces(form: [String]) throws {
    let config = try config(form)
    var isDone = false
    for seed in UInt64(1)...20 where !isDone {
      let model = try VisionTransformer(config, seed: seed, engine: engine)
      let observer = PlaceObserver()
      let tape = Tape(engine, recording: true)
      let choices = forward(model, tape, observer).choices
      tape.backward()
      for parameter in model.parameters { parameter.clearGradient() }
      let checks = observer.places.enumerated().map { index, place in
        check(place, model, observer, choices, direction: randomTensor([12, 12], seed: UInt64(index) + 9))
      }
      // A choice jumped: other weights.
      guard checks.allSatisfy({ $0 != nil }) else { continue }
      isDone = true
      #expect(observer.places.count >= 9 + 4 * 4)
      for case let check? in checks {
        #expect(check.error < 0.03, "\(form): \(check)")
        // A view that nobody reads would agree with a loss that does not move.
        #expect(check.norm > 1e-6, "\(form): \(check)")
      }
    }
    #expect(isDone, "\(form): no weights away from jumps in 20 draws")
  }

  private func check(
    _ place: PlaceObserver.Place, _ model: VisionTransformer, _ observer: PlaceObserver, _ choices: [[Int]],
    direction: Tensor
  ) -> GradientCheck? {
    func moved(_ step: Float) -> Double? {
      let pusher = PlaceObserver()
      pusher.pushed = (place, direction, step)
      let found = forward(model, Tape(engine, recording: false), pusher)
      return found.choices == choices ? found.objective : nil
    }
    let step: Float = 1e-3
    guard let up = moved(step), let down = moved(-step) else { return nil }
    let gradient = observer.gradients[place] ?? Tensor.zeros([12, 12])
    return GradientCheck(
      name: "\(place.state.name) \(place.path?.name ?? "all")", analytic: engine.dot(gradient, direction),
      numeric: (up - down) / (2 * Double(step)), norm: engine.dot(gradient, gradient).squareRoot())
  }

  /// The analysis's norms and shares, over batches of different size, against the gradients themselves.
  @Test func gradientNormsAddUp() throws {
    let config = try config(["moe.variant=dgmoe"])
    let model = try VisionTransformer(config, seed: 4, engine: engine)
    let analysis = GradientObserver(engine)
    var squares: [PlaceObserver.Place: Double] = [:]
    var along: [PlaceObserver.Place: Double] = [:]
    for (index, count) in [3, 2].enumerated() {
      let images = randomTensor([count, 3, 8, 8], seed: UInt64(30 + index))
      let places = PlaceObserver()
      for observer in [analysis, places] as [any PassObserver] {
        let tape = Tape(engine, recording: true)
        let pass = ForwardPass(tape, training: false, observer: observer)
        _ = tape.crossEntropy(model(images, pass), targets: (0..<count).map { Int32($0) })
        if observer === analysis { analysis.backward(tape, count: count) } else { tape.backward() }
        for parameter in model.parameters { parameter.clearGradient() }
      }
      for (place, gradient) in places.gradients {
        let whole = places.gradients[.init(state: place.state, path: nil)]!
        let scale = Double(count * count) / 25
        squares[place, default: 0] += scale * gradient.values.reduce(0) { $0 + Double($1) * Double($1) }
        along[place, default: 0] +=
          scale * zip(gradient.values, whole.values).reduce(0) { $0 + Double($1.0) * Double($1.1) }
      }
    }
    let states = analysis.measurement.states
    #expect(states.map(\.state) == StreamState.all(layers: 4))
    for state in states {
      let whole = squares[.init(state: state.state, path: nil)]!
      #expect(abs(state.norm - whole.squareRoot()) < 1e-5 * state.norm)
      for path in state.paths {
        let place = PlaceObserver.Place(state: state.state, path: path.path)
        #expect(abs(path.norm - squares[place]!.squareRoot()) < 1e-5 * state.norm, "\(path)")
        #expect(abs(path.share - along[place]! / whole) < 1e-5, "\(path)")
      }
      if state.state.index < 8 { #expect(abs(state.paths.reduce(0) { $0 + $1.share } - 1) < 1e-5) }
    }
    #expect(states[1].paths.map(\.path.name).sorted() == ["mlp", "residual", "shortcut"])
    #expect(states[3].paths.map(\.path.name).sorted() == ["residual", "routed"])
  }

  @Test func namesOfStates() {
    #expect(StreamState.all(layers: 2).map(\.name) == ["In", "1A", "1M", "2A", "2M"])
    #expect(StreamState.source(.position1, of: 1).name == "1M")
    #expect(StreamState.source(.position2, of: 1).name == "1A")
    #expect(StreamState.source(.position3, of: 1).name == "In")
    #expect(StreamState.source(.current, of: 1).name == "2A")
  }
}
