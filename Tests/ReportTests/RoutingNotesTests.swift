import MMoEModels
import TestSupport
import Testing

@testable import MMoEReport

/// What a run says at its end of experts that get nothing and of choices that are dropped.
@Suite struct RoutingNotesTests {
  /// A history of the same shares and drops in every step, in blocks 1 and 3; the last step of block 3 may have others.
  private func history(
    _ shares: [Double], drops: Double, last: [Double]? = nil, steps: Int = 30
  ) throws -> MetricsHistory {
    let folder = ScratchFolder()
    let recorder = try Recorder(directory: folder.path)
    for step in 1...steps {
      recorder.record(MetricName.expertShare, shares, layer: 1)
      recorder.record(MetricName.expertShare, step == steps ? last ?? shares : shares, layer: 3)
      for layer in [1, 3] { recorder.record(MetricName.dropFraction, drops, layer: layer) }
      try recorder.flush(step: step)
    }
    return try recorder.history()
  }

  private static let even = [Double](repeating: 0.125, count: 8)
  private static let collapsed = [1.0, 0, 0, 0, 0, 0, 0, 0]

  @Test func saysCollapseWithTheKeyThatHelps() throws {
    var moe = MoEConfig()
    let lines = RoutingNotes.lines(try history(RoutingNotesTests.collapsed, drops: 0), moe)
    #expect(
      lines == [
        "routing     collapsed: no token chose 7 of 8 experts of block 1, 7 of 8 experts of block 3 in the last 20 steps; raise moe.balance_weight, now 0.01, or set moe.bias_rate"
      ])
    moe.balance = "none"
    let unbalanced = RoutingNotes.lines(try history(RoutingNotesTests.collapsed, drops: 0), moe)
    #expect(
      unbalanced.count == 1 && unbalanced[0].hasSuffix("the run has no balance loss, set moe.balance or moe.bias_rate"))
    // One step with tokens is enough not to be dead.
    let late = RoutingNotes.lines(
      try history(RoutingNotesTests.collapsed, drops: 0, last: RoutingNotesTests.even), moe)
    #expect(late.count == 1 && late[0].contains("block 1") && !late[0].contains("block 3"))
  }

  @Test func saysDroppedChoices() throws {
    var moe = MoEConfig()
    moe.capacityFactor = 0.25
    let lines = RoutingNotes.lines(try history(RoutingNotesTests.even, drops: 0.81), moe)
    #expect(
      lines == [
        "routing     choices dropped in the last 20 steps: 81.0 % in block 1, 81.0 % in block 3; raise moe.capacity_factor, now 0.25 (0 drops nothing)"
      ])
  }

  @Test func saysNothingOfHealthyRuns() throws {
    var moe = MoEConfig()
    moe.identityExperts = 2
    // Identities are choices, and no experts.
    let shares = [0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.2, 0, 0.2, 0]
    #expect(RoutingNotes.lines(try history(shares, drops: 0.05), moe).isEmpty)
    // A few steps say nothing: chance leaves experts without tokens.
    #expect(RoutingNotes.lines(try history(RoutingNotesTests.collapsed, drops: 0, steps: 19), moe).isEmpty)
    #expect(RoutingNotes.lines(MetricsHistory([MetricsLine]()), moe).isEmpty)
  }
}
