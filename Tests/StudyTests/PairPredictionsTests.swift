import Foundation
import MMoEData
import MMoETensor
import Testing

@testable import MMoEConfig
@testable import MMoEReport
@testable import MMoETrain

/// The labels that a model of pairs finds, sample by sample.
@Suite struct PairPredictionsTests {
  @Test(arguments: [[], ["moe.task_routing=true"]]) func rowsAreTheEvaluation(settings: [String]) throws {
    let (task, config) = try PairLearningTests.task(settings, engine: Engine(threads: 2))
    let pairs = try #require(task as? any ClassifyingTask)
    let alone = try task.evaluate(progress: nil)
    let (evaluation, predictions) = try pairs.classify(progress: nil)
    #expect(alone.metrics.map(\.value) == evaluation.metrics.map(\.value) && alone.loss == evaluation.loss)
    #expect(pairs.classNames.count == config.model.vision.classes && predictions.count == 6)
    let correct = Double(predictions.count { $0.isCorrect })
    #expect(evaluation["top1"] == correct / 6)
    let held = try PairFolder(path: PairLearningTests.data.path, validationShare: 0.1)[.val]
    #expect(predictions.map(\.path) == held.items.flatMap { $0["image"] })
    for (one, item) in zip(predictions, held.items) {
      #expect(pairs.classNames[one.label] == held.labels[Int(item.label)])
      #expect(one.loss.isFinite && 0...1 ~= one.probability)
      // A right answer of probability p has the loss −ln p.
      if one.isCorrect { #expect(abs(exp(-one.loss) - one.probability) < 1e-5) }
    }
  }
}
