import Foundation
import MMoEModels
import TestSupport
import Testing
import TinyRuns

@testable import MMoEConfig
@testable import MMoERuns
@testable import MMoETrain

/// How the learning rate moves over a run.
@Suite struct ScheduleTests {
  private func rates(warmup: Int, total: Int, minimum: Double = 0.01, kind: ScheduleConfig.Kind = .cosine) -> [Double] {
    var schedule = ScheduleConfig()
    (schedule.warmup, schedule.minimum, schedule.kind) = (warmup, minimum, kind)
    return (0..<total).map { schedule.learningRate(peak: 2, step: $0, total: total) }
  }

  /// The peak is reached, the last step has the stated share of it, and no rate after the peak is higher than the one before.
  @Test(arguments: [(0, 10), (3, 10), (9, 10), (0, 2), (1, 2), (100, 1000)], [0, 0.01, 0.5])
  func lastRateIsTheMinimum(steps: (warmup: Int, total: Int), minimum: Double) {
    let found = rates(warmup: steps.warmup, total: steps.total, minimum: minimum)
    #expect(abs(found.last! - 2 * minimum) < 1e-12, "\(found)")
    #expect(found.max() == 2)
    let falling = found[max(steps.warmup - 1, 0)...]
    #expect(falling.first == 2 && zip(falling, falling.dropFirst()).allSatisfy { $0 >= $1 })
  }

  @Test func middleAndConstant() {
    // Half way between peak and minimum in the middle of an odd number of steps.
    #expect(abs(rates(warmup: 0, total: 11)[5] - 1.01) < 1e-12)
    #expect(rates(warmup: 2, total: 4, kind: .constant) == [1, 2, 2, 2])
    #expect(rates(warmup: 0, total: 1) == [2])
  }

  /// A run that is too short for its warm-up is told so, in training and by --dry-run.
  @Test(arguments: [(4, 20, true), (20, 20, true), (21, 20, false), (1, 1, false), (1, 0, false)])
  func shortRunsAreNoted(steps: Int, warmup: Int, isNoted: Bool) throws {
    var schedule = ScheduleConfig()
    schedule.warmup = warmup
    let note = schedule.note(total: steps)
    #expect((note != nil) == isNoted)
    if steps == 4 {
      let text = try #require(note)
      #expect(text.contains("schedule.warmup is 20") && text.contains("20.0 %") && !text.contains("\n"))
    }
    var config = try TinyRun(["train.steps=\(steps)", "schedule.warmup=\(warmup)"]).config
    config.data.batch = 8
    #expect(
      try DryRun(task: .imagenetSubset, preset: "debug", config: config, data: nil).text().contains("only rises")
        == isNoted)
  }
}
