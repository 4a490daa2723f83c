import MMoEModels
import Testing

@testable import MMoEParallel

@Suite struct ScheduleTests {
  @Test func strategiesByName() {
    for strategy in [
      OverlapStrategy.sequential, .pipelined(2), .shortcut, .shortcutPipelined(4), .auto,
    ] { #expect(OverlapStrategy(strategy.description) == strategy) }
    for text in ["", "pipelined", "pipelined:1", "pipelined:x", "shortcut+", "Shortcut", "pipelined:65"] {
      #expect(OverlapStrategy(text) == nil)
    }
  }

  /// The operators that hide a route: arXiv 2404.05019, section 3.
  @Test(arguments: [(1, 2), (2, 3), (3, 4)]) func windows(position: Int, operators: Int) throws {
    var config = ModelConfig()
    config.moe.variant = "scmoe"
    config.moe.position = position
    let call = try #require(Architecture(config).calls.first { $0.id.block == 3 })
    let all: [WindowOperator] = [
      WindowOperator(block: 2, kind: .attention), WindowOperator(block: 2, kind: .mlp),
      WindowOperator(block: 3, kind: .attention), WindowOperator(block: 3, kind: .shared),
    ]
    #expect(call.window == Array(all.suffix(operators)))
    // The route's own operations hide nothing of it.
    let own = try Architecture(config).operations.filter { $0.call == call.id }
    #expect(own.map(\.name) == ["layer norm", "gate", "permute", "experts", "combine"])
    #expect(own.allSatisfy { $0.block == 3 && !$0.inShadowOf.contains(call.id) })
  }

  /// The slot is the one that simulation finds fastest, and by hand.
  @Test func slotHidesMost() {
    let times = RouteTimes(window: [4, 3, 5], experts: 6, dispatch: 4, combine: 8)
    let best = SlotChoice.best([times])
    #expect(best.slot == 1 && best.exposed == 0 && best.mismatch == 0)
    for dispatch in stride(from: 0.5, through: 16, by: 1.5) {
      for combine in stride(from: 0.5, through: 16, by: 1.5) {
        let times = RouteTimes(window: [4, 3, 5], experts: 6, dispatch: dispatch, combine: combine)
        let seconds = (0...3).map { slot in
          ScheduleSimulator.run(
            ScheduleSimulator.steps(times, RouteSchedule(slot: slot, awaitsAtOnce: false))
          ).seconds
        }
        let choice = SlotChoice.best([times])
        #expect(abs(seconds[choice.slot] - seconds.min()!) < 1e-9, "dispatch \(dispatch), combine \(combine)")
        #expect(abs(seconds[choice.slot] - 18 - choice.exposed) < 1e-9)
      }
    }
  }

  /// Where one part does not fit into the window, `auto` cuts the route: by hand, two parts after the first operator leave
  /// nothing uncovered. Where one part fits, and where parts cost as much latency as they save, it stays whole.
  @Test func autoCutsWhatDoesNotFit() {
    let long = RouteTimes(window: [50, 28, 50], experts: 50, dispatch: 75, combine: 75)
    let schedule = OverlapStrategy.auto.schedule(for: [long], expertsOfRank: 2)
    func whole(_ times: RouteTimes) -> RouteSchedule {
      OverlapStrategy.shortcut.schedule(for: [times], expertsOfRank: 2)
    }
    #expect(schedule == RouteSchedule(parts: 2, slot: 1, awaitsAtOnce: false))
    #expect(ScheduleSimulator.outcomes([long], schedule)[0].exposed == 0)
    #expect(SlotChoice.best([long]).exposed == 25)
    let short = RouteTimes(window: [50, 28, 50], experts: 50, dispatch: 40, combine: 40)
    #expect(OverlapStrategy.auto.schedule(for: [short], expertsOfRank: 2) == whole(short))
    let slow = RouteTimes(window: [50, 28, 50], experts: 50, dispatch: 75, combine: 75, latency: 60)
    #expect(OverlapStrategy.auto.schedule(for: [slow], expertsOfRank: 2) == whole(slow))
    // Parts that cut an expert's rows would change sums by what was measured.
    #expect(OverlapStrategy.auto.schedule(for: [long], expertsOfRank: 3) == whole(long))
    // Slots that are alike without parts differ with them: by hand, 160 against 180 at the departure.
    let experts = RouteTimes(window: [20, 20, 20], experts: 80, dispatch: 80, combine: 80)
    let cut = OverlapStrategy.shortcutPipelined(2).schedule(for: [experts], expertsOfRank: 2)
    #expect(cut.slot == 1 && ScheduleSimulator.outcomes([experts], cut)[0].seconds == 160)
    #expect(SlotChoice.best([experts]).slot == 0)
  }

  /// Nothing overlaps when all is awaited at once; parts leave the first dispatch and the last combine exposed.
  @Test func simulatedBaselines() {
    let times = RouteTimes(window: [], experts: 8, dispatch: 4, combine: 4)
    func run(_ schedule: RouteSchedule) -> ScheduleSimulator.Outcome {
      ScheduleSimulator.run(ScheduleSimulator.steps(times, schedule))
    }
    #expect(run(.sequential).seconds == 16)
    #expect(run(.sequential).hidden == 0)
    let parts = run(RouteSchedule(parts: 4, slot: 0, awaitsAtOnce: true))
    #expect(parts.seconds == 10 && parts.exposed == 2)
    // Every part pays the latency: four of 2.5 each way, of which the link still carries four when all experts are done.
    let slow = RouteTimes(window: [], experts: 8, dispatch: 4, combine: 4, latency: 2)
    #expect(ScheduleSimulator.run(ScheduleSimulator.steps(slow, .sequential)).seconds == 16)
    let cut = ScheduleSimulator.steps(slow, RouteSchedule(parts: 4, slot: 0, awaitsAtOnce: true))
    #expect(ScheduleSimulator.run(cut).seconds == 20)
  }

  /// Backward, starts become waits: twice the computation hides the same exchange.
  @Test func backwardMirrors() {
    let times = RouteTimes(window: [3, 3], experts: 2, dispatch: 5, combine: 5)
    let steps = ScheduleSimulator.steps(times, RouteSchedule(slot: 1, awaitsAtOnce: false))
    #expect(ScheduleSimulator.run(steps).exposed == 4)
    #expect(ScheduleSimulator.run(ScheduleSimulator.reversed(steps, computation: 2)).exposed == 0)
  }

  @Test func launcherCommand() {
    let command = RankLauncher.command(
      ranks: 4, cores: 2, isRoot: true, program: "/bin/mmoe", arguments: ["train", "--json"])
    #expect(command.contains("--oversubscribe") && command.contains("--allow-run-as-root"))
    #expect(command.suffix(3) == ["/bin/mmoe", "train", "--json"])
    let plain = RankLauncher.command(ranks: 2, cores: 2, isRoot: false, program: "m", arguments: [])
    #expect(!plain.contains("--oversubscribe") && !plain.contains("--allow-run-as-root"))
    #expect(ProcessGrid.largestGroup(ranks: 6, experts: 8) == 2)
    #expect(ProcessGrid.largestGroup(ranks: 4, experts: 8) == 4)
  }
}

@Suite struct SimulatorTests {
  /// By hand: two experts and their exchange, everything in a row.
  @Test func sequentialTopTwo() throws {
    let costs = PairCosts.of(shareOfMoETime: 0.6, attention: 0.5)
    let top2 = try PairSimulator.predict(costs, variant: "top2", .sequential, training: false)
    #expect(abs(top2.seconds - (0.5 + 1 + 0.5 + 2 + 3)) < 1e-9 && abs(top2.exchange - 3) < 1e-9)
    #expect(abs(top2.hidden) < 1e-9)
    let scmoe = try PairSimulator.predict(costs, variant: "scmoe", .shortcut, training: false)
    // Attention, MLP, attention, shared expert, expert; 0.75 there and back are hidden.
    #expect(abs(scmoe.seconds - 4) < 1e-9 && scmoe.hidden == 1)
    let train = try PairSimulator.predict(costs, variant: "scmoe", .shortcut, training: true)
    #expect(abs(train.seconds - 12) < 1e-9)
  }

  /// Within 7 % of the paper's speed-ups where the exchange is most of the MoE time.
  @Test func publishedSpeedUps() throws {
    let costs = PairCosts.of(shareOfMoETime: 0.6, attention: 0.59)
    for (training, published) in [(true, 1.43), (false, 1.66)] {
      let base = try PairSimulator.predict(costs, variant: "top2", .sequential, training: training)
      let own = try PairSimulator.predict(costs, variant: "scmoe", .shortcut, training: training)
      #expect(abs(base.seconds / own.seconds / published - 1) < 0.07)
    }
  }

  @Test func exchangeOfClusters() {
    let shape = ClusterShape(
      ranks: 16, ranksPerNode: 8, linkInside: 100, linkBetween: 10, latency: 0)
    // 8 of 16 ranks are elsewhere: half of each rank's 20 bytes leaves, 80 bytes a node, at 10 a second.
    #expect(abs(shape.exchangeSeconds(bytes: 20) - 8) < 1e-9)
    var one = shape
    one.ranks = 8
    #expect(abs(one.exchangeSeconds(bytes: 20) - 20 * 7 / 8 / 100) < 1e-9)
  }
}
