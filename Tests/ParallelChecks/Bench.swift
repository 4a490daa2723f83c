import MMoEModels
import MMoEParallel
import MMoETensor
import MMoETrain

@testable import MMoEConfig

/// What the checks share: the ranks, an engine, and a small language model trained by them.
final class Bench {
  let world: Communicator
  let engine: Engine
  let options: [String]

  init(options: [String]) throws {
    world = try Communicator.world(timeout: options.contains("impatient") ? 2 : 60)
    engine = try Engine(threads: 1)
    self.options = options
  }

  /// Ends the job unless the condition holds.
  func require(_ condition: Bool, _ message: @autoclosure () -> String) {
    if !condition { ParallelProcess.stop(message()) }
  }

  func config(_ variant: String, position: Int = 2) -> ModelConfig {
    var config = ModelConfig()
    config.kind = .gpt
    (config.layers, config.width, config.heads) = (4, 24, 2)
    (config.text.vocabulary, config.text.context) = (50, 12)
    config.moe.variant = variant
    config.moe.position = position
    config.moe.experts = 4
    config.moe.zLossWeight = 0.001
    config.moe.gateNoise = 0.5
    config.stochasticDepth = 0.1
    config.initStd = 0.1
    return config
  }

  /// One run's losses and last gradients.
  struct Run {
    var losses: [Double] = []
    var norms: [Double] = []
    /// After the last step, by path; experts are those of this rank.
    var gradients: [(parameter: Parameter, values: [Float])] = []
    var auxiliary: [Double] = []
  }

  static let sequences = 8

  private static func token(_ sequence: Int, _ place: Int, _ step: Int) -> Int32 {
    let stride = 3 + sequence % 5
    return Int32((sequence * 7 + place * stride + step * 11) % 50)
  }

  /// Trains `steps` steps on the global batch: this rank's part of it with a team, all of it without.
  ///
  /// - Parameter magnet: draws all tokens to the first expert when it is large.
  func train(
    _ config: ModelConfig, team: RankTeam?, steps: Int, accumulation: Int = 1, magnet: Float = 0
  ) throws -> Run {
    let model = try GPT(
      config, seed: 3, engine: engine, dispatcher: team?.dispatcher ?? LocalDispatcher())
    for parameter in model.parameters where magnet != 0 {
      // A constant first feature times a large gate weight: every token prefers expert 0.
      if parameter.path.hasSuffix("norm2.bias") || parameter.path.hasSuffix("shortcut_norm.bias") {
        parameter.value.pointer[0] = 3
      }
      if parameter.path.hasSuffix("gate.weight") { parameter.value.pointer[0] += magnet }
    }
    team?.attach(model.parameters)
    var settings = OptimizerConfig()
    settings.lr = 1e-3
    // Adam makes whole steps of gradients that are zero but for rounding; above their size, it does not.
    settings.epsilon = 1e-6
    let adam = Updater(model.parameters, config: settings, engine: engine)
    let length = config.text.context
    let (rank, ranks) = team.map { ($0.world.rank, $0.world.size) } ?? (0, 1)
    let perPass = Bench.sequences / accumulation
    let share = perPass / ranks
    var run = Run()
    for step in 0..<steps {
      for parameter in model.parameters { parameter.clearGradient() }
      team?.beginStep()
      let routing = accumulation > 1 ? StepRouting(microBatches: accumulation) : nil
      func pass(_ micro: Int, recording: Bool) -> ForwardPass {
        ForwardPass(
          Tape(engine, recording: recording), training: true, seed: 3, step: step, microBatch: (micro, accumulation),
          stepRouting: routing, coordinator: team)
      }
      func batch(_ micro: Int) -> (ids: [Int32], targets: [Int32]) {
        let first = micro * perPass + rank * share
        let places = (first..<first + share).flatMap { sequence in (0..<length).map { (sequence, $0) } }
        return (places.map { Bench.token($0, $1, step) }, places.map { Bench.token($0, $1 + 1, step) })
      }
      for micro in 0..<(routing?.microBatches ?? 0) {
        _ = model(batch(micro).ids, sequence: length, pass(micro, recording: false))
      }
      routing?.finishCounting()
      var loss = 0.0
      for micro in 0..<accumulation {
        let (ids, targets) = batch(micro)
        let pass = pass(micro, recording: true)
        var value = model.loss(ids, targets: targets, sequence: length, pass).mean
        if let team { value = team.mean([value])[0] }
        loss += value / Double(accumulation)
        for routing in pass.routings {
          run.auxiliary.append(Double(routing.load.max()!))
        }
        if micro == accumulation - 1 { team?.armGradientSync() }
        pass.tape.backward()
      }
      team?.finishGradientSync()
      team?.endStep()
      let norm = adam.gradientNorm(team)
      run.losses.append(loss)
      run.norms.append(norm)
      run.gradients = model.parameters.filter(\.hasGradient).map { ($0, $0.gradient.values) }
      adam.step(lr: settings.lr, gradientNorm: norm)
      model.afterStep()
    }
    return run
  }

  func team(
    _ config: ModelConfig, _ overlap: OverlapStrategy, group: Int = 0,
    wire: WireFormat = .float32, over ranks: Communicator? = nil
  ) throws -> RankTeam {
    var options = ParallelOptions()
    options.overlap = overlap
    options.expert = group
    options.wire = wire
    options.timeout = 60
    // Every gradient leaves as soon as it may: one that leaves too early shows.
    options.bucket = 1
    return try RankTeam(ranks ?? world, options, model: config, engine: engine)
  }
}

/// max |a − b| / max |b|.
func relativeDifference(_ a: ArraySlice<Float>, _ b: ArraySlice<Float>) -> Double {
  var (difference, scale) = (0.0, 0.0)
  for (x, y) in zip(a, b) {
    difference = max(difference, Double(abs(x - y)))
    scale = max(scale, Double(abs(y)))
  }
  return scale > 0 ? difference / scale : difference
}
