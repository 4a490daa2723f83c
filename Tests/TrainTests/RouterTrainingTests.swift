import Foundation
import MMoEHDF5
import MMoEModels
import MMoETensor
import TestSupport
import Testing
import TinyRuns

@testable import MMoEReport
@testable import MMoETrain

/// Every router and balance loss trains to the end, on both tasks where it may.
@Suite struct RouterTrainingTests {
  let scratch = ScratchFolder()

  static let sigmoid = [
    "moe.router=sigmoid", "moe.experts=8", "moe.n_group=4", "moe.topk_group=2", "moe.routed_scaling_factor=2.5",
    "moe.bias_rate=0.001", "moe.balance=sequence",
  ]
  static let expertChoice = [
    "moe.router=expert_choice", "moe.capacity_factor=1", "moe.eval_capacity_factor=1", "moe.balance=none",
  ]
  static let realShare = ["moe.identity_experts=2", "moe.bias_rate=0.1", "moe.real_share=0.7"]

  /// One batch again and again: the loss must go to zero.
  @Test(arguments: [sigmoid, expertChoice, realShare]) func overfitsImages(settings: [String]) throws {
    let run = try TinyRun(
      settings + [
        "moe.variant=scmoe", "data.overfit=1", "train.steps=120", "optimizer.lr=5e-3", "train.eval_every=1000",
        "checkpoint.every=1000",
      ])
    #expect(try run.train(into: scratch("run")).trainLoss < 0.02)
  }

  /// A text model learns, its router's state is saved, and a resumed run goes on with the same bits.
  @Test(arguments: [sigmoid, realShare]) func learnsText(settings: [String]) throws {
    let run = try TinyTextRun(settings + ["optimizer.lr=5e-3"])
    try run.train(into: scratch("run"))
    let losses = try TinyRun.losses(scratch("run"))
    #expect(losses.count == 8 && losses[7] < losses[0] - 0.3, "\(losses)")
    let file = try CheckpointFile.open(scratch("run/step-0000004.h5"))
    let buffer = try #require(file.datasets.first { $0.path.hasSuffix("selection_bias") })
    #expect(try file.readFloats(buffer.path).contains { $0 != 0 })
    let whole = try Data(contentsOf: URL(filePath: scratch("run/step-0000008.h5")))
    try run.train(into: scratch("run"), resuming: scratch("run/step-0000004.h5"))
    #expect(try Data(contentsOf: URL(filePath: scratch("run/step-0000008.h5"))) == whole)
  }

  /// The sequence-wise loss of micro-batches is that of one batch, without routing all of them first.
  @Test func sequencesOfMicroBatches() throws {
    let settings = ["train.steps=2", "moe.balance=sequence", "moe.balance_weight=1", "optimizer.clip=0"]
    try TinyRun(settings).train(into: scratch("whole"))
    try TinyRun(settings + ["train.accumulation=4"]).train(into: scratch("parts"))
    let values = try ["whole", "parts"].map { run in
      let history = try MetricsHistory(file: scratch(run) + "/metrics.jsonl")
      return ["grad_norm", "train_loss", "aux_balance"].flatMap { history.everywhere($0) }
    }
    #expect(values[0].count == 6)
    for (whole, parts) in zip(values[0], values[1]) { #expect(abs(whole - parts) < 1e-5 * whole) }
    #expect(try !TinyRun(settings).config.model.judgesWholeBatches(unevenParts: false))
  }
}
