import MMoEModels
import MMoETensor

/// Decides when routes run: sequentially in the first steps, which are measured, then as the strategy says with the slot
/// that the measured times choose. All ranks decide from the same numbers.
final class OverlapPlanner {
  /// Steps before measuring: first-touch memory makes them slow.
  private static let warmUpSteps = 2
  private static let measuredSteps = 3

  struct Key: Hashable {
    let block: Int
    let route: Int
  }

  let strategy: OverlapStrategy
  /// What was decided and why, one line a route.
  private(set) var report: [String] = []
  private let calls: [Architecture.Call]
  private let world: Communicator
  private let queue: ExchangeQueue
  private let engine: Engine
  private var schedules: [Key: RouteSchedule] = [:]
  private(set) var isDecided: Bool
  private var steps = 0
  private var samples: [StepTimes] = []
  /// A trace that goes on beside the measuring.
  private let trace: Timeline?

  /// - Parameter queue: whose exchanges are measured.
  init(
    _ strategy: OverlapStrategy, _ config: ModelConfig, _ world: Communicator, _ queue: ExchangeQueue, engine: Engine
  ) throws {
    self.strategy = strategy
    (self.world, self.queue) = (world, queue)
    self.engine = engine
    trace = engine.timeline
    calls = try Architecture(config).calls
    isDecided = calls.isEmpty || !strategy.form.usesWindow
  }

  func schedule(block: Int, route: Int) -> RouteSchedule {
    if let decided = schedules[Key(block: block, route: route)] { return decided }
    let form = strategy.form
    guard isDecided, !form.usesWindow else { return .sequential }
    return RouteSchedule(parts: form.parts, slot: 0, awaitsAtOnce: true)
  }

  /// To be called before each step's first pass.
  func beginStep() {
    guard !isDecided, steps >= OverlapPlanner.warmUpSteps else { return }
    engine.timeline = Timeline()
    queue.startsTogether = true
  }

  /// To be called after each step's last pass: takes the measured times, and decides when there are enough.
  ///
  /// - Parameter passes: of the step, forward and backward: its micro-batches.
  func endStep(passes: Int) {
    guard !isDecided else { return }
    queue.startsTogether = false
    steps += 1
    guard steps > OverlapPlanner.warmUpSteps, let timeline = engine.timeline else { return }
    samples.append(StepTimes(timeline, passes: passes))
    engine.timeline = trace
    if samples.count == OverlapPlanner.measuredSteps { decide() }
  }

  private func decide() {
    for call in calls {
      let (block, route) = (call.id.block, call.id.route)
      let passes = agreedTimes(block, route, call.window)
      let schedule = strategy.schedule(for: passes, expertsOfRank: call.experts / queue.group.size)
      schedules[Key(block: block, route: route)] = schedule
      report.append(describe(block, route, call.window, passes, schedule))
    }
    isDecided = true
    samples = []
  }

  /// Times of forward and, in training, backward pass: medians over steps of the slowest rank.
  private func agreedTimes(
    _ block: Int, _ route: Int, _ operators: [WindowOperator]
  ) -> [RouteTimes] {
    func median(_ value: (StepTimes) -> Double) -> Double {
      samples.map(value).sorted()[samples.count / 2]
    }
    let kinds: [Timeline.Kind] =
      samples.contains { $0.hasBackward } ? [.forward, .backward] : [.forward]
    return kinds.map { kind in
      let computed =
        operators.map { op in median { $0.seconds(of: op, kind) } }
        + [median { $0.experts(block, route, kind) }]
      let exchanged = ["dispatch", "combine"].map { name in
        median { $0.exchange(name, block, route, kind) }
      }
      let times = world.allReduce(exchanged + computed, .maximum)
      return RouteTimes(
        window: Array(times[2..<times.count - 1]), experts: times.last!, dispatch: times[0], combine: times[1])
    }
  }

  private func describe(
    _ block: Int, _ route: Int, _ operators: [WindowOperator], _ passes: [RouteTimes],
    _ schedule: RouteSchedule
  ) -> String {
    func ms(_ seconds: Double) -> String {
      let tenths = Int((seconds * 1e4).rounded())
      return "\(tenths / 10).\(tenths % 10)"
    }
    let names = operators.prefix(schedule.slot).map(\.kind.rawValue)
    let place = names.isEmpty ? "at the departure" : "after " + names.joined(separator: ", ")
    let times = passes[0]
    let exposed = ScheduleSimulator.outcomes(passes, schedule).reduce(0) { $0 + $1.exposed }
    let parts = schedule.parts > 1 ? ", \(schedule.parts) parts" : ""
    return
      "block \(block) route \(route): experts \(place) (slot \(schedule.slot) of \(operators.count))\(parts); dispatch \(ms(times.dispatch)) ms, combine \(ms(times.combine)), window \(times.window.isEmpty ? "none" : times.window.map(ms).joined(separator: " + ")), experts \(ms(times.experts)); uncovered \(ms(exposed)) ms\(passes.count > 1 ? " forward and backward" : "")"
  }
}

/// What one step's timeline says of operators and exchanges.
package struct StepTimes {
  private var operators: [String: Double] = [:]
  private var exchanges: [String: [Double]] = [:]
  private var expertCalls: [String: [Double]] = [:]
  package let hasBackward: Bool

  /// Operators of a mixture-of-experts layer that are not part of the backbone.
  private static let routed: Set<String> = [
    "gate", "plan", "entropy", "balance", "importance", "load", "z_loss", "permute", "dispatch start", "dispatch wait",
    "experts", "combine start", "combine wait",
    "combine", "identity experts", "coefficient gate", "passage",
  ]

  /// - Parameter passes: over which operators' times are averaged.
  package init(_ timeline: Timeline, passes: Int = 1) {
    hasBackward = timeline.events.contains { $0.kind == .backward }
    for event in timeline.events {
      switch event.kind {
      case .forward, .backward:
        if event.name == "experts" {
          expertCalls["\(event.scope) \(event.kind)", default: []].append(event.seconds)
        }
        guard !StepTimes.routed.contains(event.name) else { continue }
        let kind =
          event.name == "mlp"
          ? WindowOperator.Kind.mlp : event.name == "shared expert" ? .shared : .attention
        operators["\(event.scope) \(kind) \(event.kind)", default: 0] += event.seconds / Double(passes)
      case .exchange: exchanges["\(event.scope) \(event.name)", default: []].append(event.seconds)
      case .wait, .poll, .step: break
      }
    }
  }

  package func seconds(of op: WindowOperator, _ kind: Timeline.Kind) -> Double {
    operators["blocks.\(op.block) \(op.kind) \(kind)"] ?? 0
  }

  /// The `route`-th call; backward calls come in the opposite order.
  private func pick(_ values: [Double]?, _ route: Int, _ kind: Timeline.Kind) -> Double {
    guard let values, route < values.count else { return 0 }
    return values[kind == .backward ? values.count - 1 - route : route]
  }

  package func experts(_ block: Int, _ route: Int, _ kind: Timeline.Kind) -> Double {
    pick(expertCalls["blocks.\(block) \(kind)"], route, kind)
  }

  func exchange(_ name: String, _ block: Int, _ route: Int, _ kind: Timeline.Kind) -> Double {
    let full = kind == .backward ? name + " ′" : name
    return pick(exchanges["blocks.\(block) \(full)"], route, kind)
  }
}
