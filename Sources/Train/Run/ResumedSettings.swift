import Foundation
import MMoEConfig

/// What a resumed run's changed settings mean for it, where its user may expect something else.
struct ResumedSettings {
  private let old: RunConfig
  private let new: RunConfig
  /// Steps taken so far.
  private let step: Int
  private let stepsPerEpoch: Int

  init(from old: RunConfig, to new: RunConfig, step: Int, stepsPerEpoch: Int) {
    (self.old, self.new, self.step, self.stepsPerEpoch) = (old, new, step, stepsPerEpoch)
  }

  /// Whether evaluations measure something else than before, so that the best checkpoint is chosen anew.
  var comparesOtherLosses: Bool { old.text.evalTokens != new.text.evalTokens }

  /// One line each.
  var notes: [String] { [evaluationNote, scheduleNote].compactMap { $0 } }

  private var evaluationNote: String? {
    guard comparesOtherLosses else { return nil }
    return
      "text.eval_tokens is \(new.text.evalTokens) and was \(old.text.evalTokens): losses on other tokens cannot be compared, so the best checkpoint is chosen anew"
  }

  /// Nothing is left to train, or the learning rate jumps because the end of the schedule moved.
  private var scheduleNote: String? {
    let (before, total) = (old.totalSteps(perEpoch: stepsPerEpoch), new.totalSteps(perEpoch: stepsPerEpoch))
    guard step < total else {
      return "nothing to train: the run has \(step) steps and is to have \(total); raise --steps or --epochs"
    }
    func rate(_ config: RunConfig, _ total: Int) -> Double {
      config.schedule.learningRate(peak: config.optimizer.lr, step: min(step, max(total - 1, 0)), total: total)
    }
    let (last, next) = (rate(old, before), rate(new, total))
    guard last > 0, next > 1.25 * last || next < 0.8 * last else { return nil }
    func text(_ rate: Double) -> String { String(format: "%.3g", rate) }
    return
      "the learning rate jumps from \(text(last)) to \(text(next)), since the run was to end after \(before) steps and now ends after \(total)"
  }
}

extension RunConfig {
  /// Optimizer steps of a run.
  package func totalSteps(perEpoch: Int) -> Int { train.steps ?? train.epochs * perEpoch }
}
