import MMoEModels

/// What one route takes: the operators of its window, its experts, and each exchange with nothing beside it. Seconds.
package struct RouteTimes: Sendable, Equatable, Codable {
  /// Operators between departure and the end of the block, in order.
  package var window: [Double]
  package var experts: Double
  package var dispatch: Double
  package var combine: Double
  /// The part of each exchange that does not shrink when its rows are cut into parts.
  package var latency: Double

  package init(window: [Double], experts: Double, dispatch: Double, combine: Double, latency: Double = 0) {
    self.window = window
    self.experts = experts
    self.dispatch = dispatch
    self.combine = combine
    self.latency = latency
  }

  /// The backward pass in the order of the forward one: operators and experts take their own times, and the gradients of
  /// the experts' outputs cross where the combine did.
  package func scaled(computation: Double) -> RouteTimes {
    RouteTimes(
      window: window.map { $0 * computation }, experts: experts * computation, dispatch: dispatch,
      combine: combine, latency: latency)
  }
}

/// Where the experts of a route run, and what is left uncovered there.
package struct SlotChoice: Sendable, Equatable {
  /// Operators of the window before the experts.
  package let slot: Int
  /// Exchange that nothing covers, seconds.
  package let exposed: Double
  /// The paper's measure, |Σ_{i<K} COMP_i − T_disp| + |Σ_{i>K} COMP_i − T_comb|, seconds.
  package let mismatch: Double

  /// The slot with the least exposed exchange, the paper's measure deciding between equals (arXiv 2404.05019,
  /// equation 11: K* = argmin of the mismatch; the time of a pair is fixed + exposed, so that the least exposed is what
  /// the rule is after).
  ///
  /// - Parameter passes: forward alone, or forward and backward; the slot is the same in both.
  package static func best(_ passes: [RouteTimes]) -> SlotChoice {
    let slots = passes[0].window.count
    let choices = (0...slots).map { slot -> SlotChoice in
      var (exposed, mismatch) = (0.0, 0.0)
      for times in passes {
        let before = times.window[..<slot].reduce(0, +)
        let after = times.window[slot...].reduce(0, +)
        exposed += max(0, times.dispatch - before) + max(0, times.combine - after)
        mismatch += abs(before - times.dispatch) + abs(after - times.combine)
      }
      return SlotChoice(slot: slot, exposed: exposed, mismatch: mismatch)
    }
    // Differences below a microsecond are noise of the sums.
    return choices.min { a, b in
      abs(a.exposed - b.exposed) > 1e-6 ? a.exposed < b.exposed : a.mismatch < b.mismatch
    }!
  }
}

/// One route's schedule run on given times: a computing thread that works and waits, and a link that serves one transfer
/// after the other.
package enum ScheduleSimulator {
  package enum Step: Sendable {
    case compute(Double)
    /// A transfer of this length starts; it is known by its number.
    case start(Int, Double)
    case wait(Int)
  }

  package struct Outcome: Sendable {
    package let seconds: Double
    package let computation: Double
    package let exchange: Double
    /// Time in waits.
    package let exposed: Double
    /// Share of the exchange that computation covered.
    package var hidden: Double { exchange > 0 ? 1 - exposed / exchange : 1 }
  }

  package static func run(_ steps: [Step]) -> Outcome {
    var (now, linkFree, exposed, computation, exchange) = (0.0, 0.0, 0.0, 0.0, 0.0)
    var done: [Int: Double] = [:]
    for step in steps {
      switch step {
      case .compute(let seconds):
        now += seconds
        computation += seconds
      case .start(let id, let seconds):
        linkFree = max(now, linkFree) + seconds
        done[id] = linkFree
        exchange += seconds
      case .wait(let id):
        let arrival = max(now, done[id] ?? now)
        exposed += arrival - now
        now = arrival
      }
    }
    return Outcome(seconds: now, computation: computation, exchange: exchange, exposed: exposed)
  }

  /// A route and its window under a schedule, forward.
  ///
  /// - Parameter first: number of the route's first transfer.
  package static func steps(_ times: RouteTimes, _ schedule: RouteSchedule, first: Int = 0) -> [Step] {
    let n = schedule.parts
    func part(_ exchange: Double) -> Double { (exchange - times.latency) / Double(n) + times.latency }
    var steps: [Step] = (0..<n).map { .start(first + $0, part(times.dispatch)) }
    var experts: [Step] = []
    for partIndex in 0..<n {
      experts += [
        .wait(first + partIndex), .compute(times.experts / Double(n)),
        .start(first + n + partIndex, part(times.combine)),
      ]
    }
    let waits = (0..<n).map { Step.wait(first + n + $0) }
    let slot = min(schedule.slot, times.window.count)
    steps += times.window[..<slot].map(Step.compute) + experts
    if schedule.awaitsAtOnce { steps += waits }
    steps += times.window[slot...].map(Step.compute)
    return schedule.awaitsAtOnce ? steps : steps + waits
  }

  /// A route's passes under a schedule: the first is forward, the second, where there is one, backward.
  package static func outcomes(_ passes: [RouteTimes], _ schedule: RouteSchedule) -> [Outcome] {
    passes.enumerated().map { index, times in
      let steps = steps(times, schedule)
      return run(index == 0 ? steps : reversed(steps, computation: 1))
    }
  }

  /// The backward pass of `steps`: reversed, each start a wait and each wait a start.
  ///
  /// - Parameter computation: time of an operator's backward part over its forward part.
  package static func reversed(_ steps: [Step], computation: Double) -> [Step] {
    var lengths: [Int: Double] = [:]
    for case .start(let id, let seconds) in steps { lengths[id] = seconds }
    return steps.reversed().map { step in
      switch step {
      case .compute(let seconds): .compute(seconds * computation)
      case .start(let id, _): .wait(id)
      case .wait(let id): .start(id, lengths[id] ?? 0)
      }
    }
  }
}

extension OverlapStrategy {
  /// The schedule that it makes of a route's times: what the planner runs is what the simulator predicts.
  ///
  /// - Parameters:
  ///   - passes: forward alone, or forward and backward; the schedule is the same in both.
  ///   - expertsOfRank: among which `auto` may share out the parts.
  package func schedule(for passes: [RouteTimes], expertsOfRank: Int) -> RouteSchedule {
    guard form.usesWindow else {
      return RouteSchedule(parts: form.parts, slot: 0, awaitsAtOnce: true)
    }
    let counts = self == .auto ? [1, 2, 4].filter { expertsOfRank % $0 == 0 } : [form.parts]
    // More parts are more messages and more waits, of which the model knows the latency at most: they must promise 2 % over
    // fewer.
    var choice = OverlapStrategy.best(passes, parts: counts[0])
    for count in counts.dropFirst() {
      let other = OverlapStrategy.best(passes, parts: count)
      if other.seconds < 0.98 * choice.seconds { choice = other }
    }
    return choice.schedule
  }

  /// The slot in which a route of so many parts takes least: for one part the paper's rule, for more the simulator, in which
  /// the experts of a part cover the exchange of another.
  private static func best(_ passes: [RouteTimes], parts: Int) -> (schedule: RouteSchedule, seconds: Double) {
    func choice(_ slot: Int) -> (schedule: RouteSchedule, seconds: Double) {
      let schedule = RouteSchedule(parts: parts, slot: slot, awaitsAtOnce: false)
      return (schedule, ScheduleSimulator.outcomes(passes, schedule).reduce(0) { $0 + $1.seconds })
    }
    // The paper's slot unless another is faster by more than the noise of the sums.
    var best = choice(SlotChoice.best(passes).slot)
    guard parts > 1 else { return best }
    for other in (0...passes[0].window.count).map(choice) where other.seconds < best.seconds - 1e-6 { best = other }
    return best
  }
}
