import Foundation
import MMoEModels
import MMoETensor
import TestSupport
import Testing

@testable import MMoEConfig
@testable import MMoETrain

/// The factor on similarities is bounded by 100 after every step (CLIP, arXiv 2103.00020), and can fall again.
@Suite struct LogitScaleTests {
  private let engine = try! Engine(threads: 2)
  private let bound = Float(log(100.0))

  /// Runs steps of the contrastive loss and returns the parameter's values after each.
  ///
  /// - Parameters:
  ///   - pairs: whether the rows of both sides belong together, so that a higher scale lowers the loss.
  ///   - owns: whether this rank's slice of sharded moments has the parameter's number; nil = not sharded.
  private func values(start: Float, pairs: Bool, steps: Int, frozen: Bool = false, owns: Bool? = nil) -> [Float] {
    let scale = Parameter(
      path: "logit_scale", role: .head, value: Tensor([start], shape: [1]), decays: false, largest: bound)
    scale.isFrozen = frozen
    var settings = OptimizerConfig()
    settings.clip = 0
    let optimizer = Updater(
      [scale], config: settings, engine: engine, plan: nil, slices: owns.map { [$0 ? 0..<1 : 0..<0] })
    let (a, b) = (randomTensor([6, 9], seed: 1), randomTensor([6, 9], seed: pairs ? 1 : 2))
    if pairs {
      // Nearly parallel rows: even a factor of 100 does not tell them apart for sure.
      for i in 0..<a.count {
        a.pointer[i] = 1 + 0.05 * a.pointer[i]
        b.pointer[i] = a.pointer[i]
      }
    }
    return (0..<steps).map { _ in
      scale.clearGradient()
      let tape = Tape(engine, recording: true)
      _ = tape.contrastiveLoss(a, b, logScale: scale)
      tape.backward()
      optimizer.step(lr: 0.1, gradientNorm: 1)
      return scale.value.item
    }
  }

  @Test(arguments: [Float(log(100.0)), 4.7, 6]) func fallsAgain(start: Float) {
    let found = values(start: start, pairs: false, steps: 4)
    #expect(found.allSatisfy { $0 <= bound } && found[3] < bound - 0.05, "\(start): \(found)")
    // The same where the moments are sharded and this rank has them; the others get its number.
    #expect(values(start: start, pairs: false, steps: 4, owns: true) == found)
  }

  @Test func neverExceedsTheBound() {
    #expect(values(start: 4.55, pairs: true, steps: 4).last == bound)
  }

  /// What is not trained keeps its value: a frozen scale, and the slice of another rank.
  @Test func keepsWhatIsNotTrained() {
    #expect(values(start: 6, pairs: false, steps: 1, frozen: true) == [6])
    #expect(values(start: 6, pairs: false, steps: 1, owns: false) == [6])
  }

  /// The model's scale in reports is the one of its loss.
  @Test func scaleOfTheModel() throws {
    var config = ModelConfig()
    (config.kind, config.layers, config.width, config.heads) = (.multimodal, 1, 8, 1)
    (config.vision.image, config.vision.patch, config.moe.variant) = (8, 4, "dense")
    let model = try MultimodalTransformer(config, seed: 1, engine: engine)
    let parameter = try #require(model.parameters.first { $0.path == "logit_scale" })
    #expect(parameter.largest == bound)
    for value in [bound, 5] as [Float] {
      parameter.value.pointer[0] = value
      let rows = Tensor([1, 0, 0, 1], shape: [2, 2])
      let turned = Tensor([0, 1, 1, 0], shape: [2, 2])
      let loss = model.contrastiveLoss(rows, turned, weight: 1, Tape(engine, recording: false)).loss
      // Every row prefers the other one by the whole scale.
      #expect(abs(loss - Double(model.similarityScale)) < 1e-3 * loss)
    }
  }
}
