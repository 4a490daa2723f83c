import MMoEModels
import MMoEParallel
import MMoETensor
import MMoETrain

/// Times one pair of blocks (dense block, mixture-of-experts block) under overlap strategies on real ranks: forward alone,
/// or forward and backward without optimizer and without the averaging of gradients, which belong to the whole step.
///
/// Routing is round robin, so that every rank has the same work. Each case also runs with all its rows staying on their
/// rank (a group of one with as many experts as a rank holds): the same code with a copy in place of the exchange.
package final class OverlapBenchmark {
  package struct Options: Sendable {
    package var width = 1024
    /// Tokens of a rank, in one sequence.
    package var tokens = 256
    package var experts = 4
    package var training = false
    package var rounds = 5
    /// A folder for a trace of each case.
    package var traces: String?
    package init() {}
  }

  /// What is timed.
  package struct Case: Sendable {
    package let label: String
    package let variant: String
    package let position: Int
    package let overlap: OverlapStrategy
    package let wire: WireFormat

    package init(
      _ label: String, _ variant: String, position: Int = 2, _ overlap: OverlapStrategy,
      wire: WireFormat = .float32
    ) {
      self.label = label
      self.variant = variant
      self.position = position
      self.overlap = overlap
      self.wire = wire
    }

    /// Whether a picture of all cases shows it: of the strategies of one architecture the better one.
    var isDrawn: Bool {
      ["top-2 sequential", "top-2 pipelined:4", "shared expert", "DGMoE", "ScMoE Pos-2", "ScMoE Pos-2 auto"].contains(
        label)
    }

    /// The file of its trace.
    func trace(in folder: String) -> String {
      "\(folder)/\(label.replacing(" ", with: "-").replacing(":", with: "-")).json"
    }

    /// The table of the paper's section 4, and what else is compared.
    package static let all: [Case] = [
      Case("top-2 sequential", "top2", .sequential),
      Case("top-2 pipelined:2", "top2", .pipelined(2)),
      Case("top-2 pipelined:4", "top2", .pipelined(4)),
      Case("top-1 sequential", "top1", .sequential),
      Case("shared expert", "shared", .shortcut),
      Case("DGMoE", "dgmoe", .shortcut),
      Case("ScMoE Pos-1", "scmoe", position: 1, .shortcut),
      Case("ScMoE Pos-2", "scmoe", position: 2, .shortcut),
      Case("ScMoE Pos-3", "scmoe", position: 3, .shortcut),
      Case("ScMoE Pos-2 auto", "scmoe", position: 2, .auto),
      Case("ScMoE Pos-2 bfloat16", "scmoe", position: 2, .shortcut, wire: .bf16),
      Case("ScMoE-2", "scmoe2", position: 2, .shortcut),
    ]
  }

  package struct Result: Codable, Sendable {
    package var label: String
    /// Of every round, the slowest rank's, seconds.
    package var rounds: [Double]
    /// Median over rounds.
    package var seconds: Double
    /// The same with the exchange replaced by a copy on the rank: `seconds` less the median of a round's difference. Both
    /// of a round run one after the other, so that a core that is slow for a while slows both.
    package var localSeconds: Double
    /// The pair's exchanges with nothing beside them.
    package var exchangeSeconds: Double
    /// Bytes that a rank sends in a pair.
    package var bytes: Int
    /// The pair's time by the cost model: the local copy's, what the schedule leaves uncovered of the exchange, and the
    /// copying of what it covers.
    package var predictedSeconds: Double
    /// What the planner chose and why; nil where it had nothing to plan.
    package var plan: String?
    /// Share of the exchange that cost no time.
    package var hidden: Double {
      exchangeSeconds > 0 ? 1 - (seconds - localSeconds) / exchangeSeconds : 1
    }
  }

  private final class Subject {
    let config: ModelConfig
    let team: RankTeam
    let parameters: [Parameter]
    let backbone: Backbone

    /// - Parameter twin: a subject of the same variant, group and wire format, whose model is used again.
    init(
      _ test: Case, _ options: Options, group: Communicator, engine: Engine, twin: Subject? = nil
    ) throws {
      if let twin {
        (config, backbone, parameters) = (twin.config, twin.backbone, twin.parameters)
        team = try RankTeam(twin.team, overlap: test.overlap, model: config)
        return
      }
      var config = ModelConfig()
      config.kind = .gpt
      (config.layers, config.width, config.heads) = (2, options.width, options.width / 64)
      config.text.context = options.tokens
      config.moe.variant = test.variant
      config.moe.position = test.position
      config.moe.router = "uniform"
      // As many experts on this rank whether it shares them out or not.
      config.moe.experts = options.experts * group.size
      self.config = config
      var parallel = ParallelOptions()
      (parallel.overlap, parallel.wire) = (test.overlap, test.wire)
      team = try RankTeam(group, parallel, model: config, engine: engine)
      let store = ParameterStore(engine: engine, seed: 1, initStd: 0.02)
      backbone = try Backbone(store, config: config, causal: true, dispatcher: team.dispatcher)
      parameters = store.parameters
    }
  }

  private let world: Communicator
  private let engine: Engine
  private let options: Options
  private let x: Tensor
  private let dy: Tensor

  package init(_ options: Options, world: Communicator, engine: Engine) {
    self.options = options
    self.world = world
    self.engine = engine
    let random = CounterRandom(seed: 1, purpose: .benchmark, a: UInt64(world.rank))
    x = Tensor(uninitialized: [options.tokens, options.width])
    dy = Tensor(uninitialized: [options.tokens, options.width])
    for i in 0..<x.count {
      x.pointer[i] = random.normal(UInt64(i))
      dy.pointer[i] = random.normal(UInt64(x.count + i))
    }
  }

  /// Runs the cases in turn, round by round, so that what drifts meets all alike.
  ///
  /// - Parameter note: told of progress.
  /// - Throws: `BenchError`, `ModelError` or `ParallelError` for impossible options.
  package func run(_ cases: [Case], note: (String) -> Void) throws -> [Result] {
    // Options name the experts of all ranks; some cases choose two, and the local copies have one rank's.
    guard options.experts % world.size == 0, options.experts >= 2 * world.size else {
      throw BenchError(
        "--experts", found: "\(options.experts) on \(world.size) ranks",
        expected: "a multiple of \(world.size), at least \(2 * world.size)")
    }
    var perRank = options
    perRank.experts = options.experts / world.size
    var results: [Result] = []
    var linked: [Subject] = []
    var local: [Subject] = []
    for (i, test) in cases.enumerated() {
      let same = cases[..<i].indices.filter {
        cases[$0].variant == test.variant && cases[$0].position == test.position
      }
      let twin = same.first { cases[$0].wire == test.wire }.map { linked[$0] }
      linked.append(try Subject(test, perRank, group: world, engine: engine, twin: twin))
      // A copy knows neither parts nor wire formats.
      local.append(
        try same.first.map { local[$0] }
          ?? Subject(test, perRank, group: Communicator.single(), engine: engine))
    }
    for (subjects, name) in [(linked, "over the link"), (local, "with a local copy")] {
      for subject in subjects {
        var steps = 0
        // The planner's five steps, and one with what it chose.
        while steps < 2 || !subject.team.hasDecidedOverlap || steps < 6 && !subject.team.overlapReport.isEmpty {
          step(subject)
          steps += 1
        }
      }
      note("warm \(name)")
    }
    func time(_ subject: Subject) -> Double {
      world.barrier()
      let began = monotonicSeconds()
      step(subject)
      return world.allReduce([monotonicSeconds() - began], .maximum)[0]
    }
    var rounds = cases.map { _ in [Double]() }
    var differences = rounds
    for round in 0..<options.rounds {
      for i in cases.indices {
        let seconds = time(linked[i])
        rounds[i].append(seconds)
        differences[i].append(seconds - time(local[i]))
      }
      note("round \(round + 1) of \(options.rounds)")
    }
    for (i, test) in cases.enumerated() {
      let routes = try exchangesAlone(linked[i])
      let seconds = OverlapBenchmark.median(rounds[i])
      let localSeconds = seconds - OverlapBenchmark.median(differences[i])
      let exchange = routes.reduce(0) { $0 + $1.seconds }
      let exposed = try uncovered(linked[i], times: operatorTimes(local[i]), routes.map(\.seconds))
      results.append(
        Result(
          label: test.label, rounds: rounds[i], seconds: seconds, localSeconds: localSeconds,
          exchangeSeconds: exchange, bytes: routes.reduce(0) { $0 + $1.bytes },
          predictedSeconds: localSeconds + exposed, plan: linked[i].team.overlapReport.first))
      if let folder = options.traces {
        let trace = TraceRecorder(
          file: test.trace(in: folder), engine: engine, world: world, warmUp: 0, recorded: 2)
        for _ in 0..<2 {
          trace.beginStep(hasDecided: true)
          step(linked[i])
          trace.endStep()
        }
        try trace.write(title: test.label, notes: linked[i].team.overlapReport)
      }
    }
    return results
  }

  /// One step's operators without a link, the slowest rank's.
  private func operatorTimes(_ subject: Subject) -> StepTimes {
    world.barrier()
    let timeline = Timeline()
    engine.timeline = timeline
    step(subject)
    engine.timeline = nil
    return StepTimes(timeline)
  }

  /// What the cost model finds uncovered of each route's exchange (forward, and backward in training).
  private func uncovered(
    _ subject: Subject, times: StepTimes, _ exchanges: [Double]
  ) throws -> Double {
    var exposed = 0.0
    for call in try Architecture(subject.config).calls {
      let number = call.id.route
      let kinds: [Timeline.Kind] = options.training ? [.forward, .backward] : [.forward]
      // Each pass goes there and back.
      let direction = exchanges[number] / Double(2 * kinds.count)
      let passes = kinds.map { kind in
        RouteTimes(
          window: call.window.map { times.seconds(of: $0, kind) }, experts: times.experts(1, number, kind),
          dispatch: direction, combine: direction)
      }
      let outcomes = PairSimulator.run(
        passes, subject.team.overlap, expertsOfRank: subject.config.moe.experts / subject.team.expertRanks)
      exposed += outcomes.reduce(0) { $0 + $1.exposed }
    }
    return world.allReduce([exposed], .maximum)[0]
  }

  private func step(_ subject: Subject) {
    subject.team.activate()
    subject.team.beginStep()
    for parameter in subject.parameters { parameter.clearGradient() }
    let tape = Tape(engine, recording: options.training)
    let pass = ForwardPass(tape, training: options.training, seed: 1, step: 0, coordinator: subject.team)
    let y = subject.backbone(x, sequence: options.tokens, pass)
    if options.training {
      tape.innerProduct(y, with: dy)
      tape.backward()
    }
    subject.team.endStep()
  }

  /// The exchange of each route there and back, without experts: forward, and once more for the backward pass.
  private func exchangesAlone(_ subject: Subject) throws -> [(seconds: Double, bytes: Int)] {
    let variant = try MoEVariant.resolve(subject.config.moe)
    subject.team.activate()
    let passes = options.training ? 2 : 1
    return variant.routes.map { route in
      let pairs = options.tokens * route.k
      let experts = (0..<pairs).map { Int32($0 % subject.config.moe.experts) }
      let plan = DispatchPlan(
        experts: experts, tokens: options.tokens, k: route.k, expertCount: subject.config.moe.experts)
      let timeline = Timeline()
      // The rows' own time: two ranks that meet at a barrier start together.
      let times = (0..<options.rounds).map { _ -> Double in
        world.barrier()
        let tape = Tape(engine, recording: false)
        engine.timeline = timeline
        let began = monotonicSeconds()
        let flight = subject.team.dispatcher.beginDispatch(x, plan, tape)
        flight.beginCombine(flight.endDispatch(0, tape), 0, tape)
        _ = flight.endCombine(tape)
        engine.timeline = nil
        return world.allReduce([monotonicSeconds() - began], .maximum)[0]
      }
      let bytes = timeline.events.filter { $0.kind == .exchange }.reduce(0) { $0 + $1.bytes }
      return (OverlapBenchmark.median(times) * Double(passes), bytes / options.rounds * passes)
    }
  }

  package static func median(_ values: [Double]) -> Double { values.sorted()[values.count / 2] }
}
