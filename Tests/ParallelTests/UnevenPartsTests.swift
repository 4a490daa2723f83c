import Foundation
import MMoEData
import TestSupport
import Testing

@testable import MMoEReport
@testable import MMoETrain

/// A step whose micro-batches and ranks have different numbers of targets: every loss and metric is Σ / global count.
@Suite(.serialized) struct UnevenPartsTests {
  /// Sixteen pictures, captions of one word and of many, labels for a quarter of them.
  private static let data: ScratchFolder = {
    let folder = ScratchFolder()
    let lines = (0..<20).map { index in
      let pixels = (0..<16 * 16 * 3).map { UInt8(($0 * (index + 3)) % 251) }
      try! Data(RGBImage(width: 16, height: 16, pixels: pixels).png()).write(
        to: URL(fileURLWithPath: folder("\(index).png")))
      let caption = index % 3 == 0 ? "a" : "number \(index) with many words"
      let label = index % 4 == 1 || index >= 16 ? ", \"label\": \"kind \(index % 3)\"" : ""
      let split = index < 16 ? "train" : "val"
      return "{\"image\": \"\(index).png\", \"caption\": \"\(caption)\"\(label), \"split\": \"\(split)\"}"
    }
    try! lines.joined(separator: "\n").write(toFile: folder("captions.jsonl"), atomically: true, encoding: .utf8)
    return folder
  }()

  private static let settings = [
    "model.layers=3", "model.width=32", "model.heads=2", "model.image=16", "model.patch=4", "model.context=32",
    "model.embedding=16", "model.stochastic_depth=0.4", "tokenizer.kind=byte", "data.batch=16", "data.crop_padding=1",
    "train.eval_every=9", "train.sample_every=0", "checkpoint.every=9", "optimizer.clip=0", "objective.contrastive=0",
    "objective.language=0.7", "objective.classification=1.5", "moe.experts=4", "moe.groups=vision:2,language:2",
    "moe.z_loss_weight=0.3", "moe.gate_noise=1",
  ]

  /// Noise, stochastic depth and the gates' losses included, with the balance loss and without.
  private static let kinds = [
    ["moe.balance=all_choices", "moe.balance_weight=0.5"], ["moe.balance=none"],
    [
      "fusion.kind=late", "fusion.cross_blocks=1", "fusion.text_layers=2", "moe.balance=first_choice",
      "moe.balance_weight=0.5", "moe.variant=scmoe",
    ],
  ]

  @Test(arguments: kinds) func microBatchesDoNotChangeTheStep(kind: [String]) throws {
    try compare(kind, [(1, 2), (1, 8)])
  }

  @Test(.needsRanks, arguments: kinds) func ranksDoNotChangeTheStep(kind: [String]) throws {
    try compare(kind, [(2, 1), (2, 4), (4, 2)])
  }

  /// - Parameter divisions: ranks, and micro-batches of a step.
  private func compare(_ kind: [String], _ divisions: [(ranks: Int, parts: Int)]) throws {
    let folder = ScratchFolder()
    func step(ranks: Int, parts: Int) throws -> [String: [Double]] {
      let out = folder("\(ranks)-\(parts)")
      let arguments =
        [
          "train", "--task", "multimodal", "--data", UnevenPartsTests.data.path, "--threads", "1", "--steps", "1",
          "--out", out,
        ]
        + (UnevenPartsTests.settings + kind + ["train.accumulation=\(parts)"]).flatMap { ["--set", $0] }
      if ranks > 1 {
        let result = try RankRunner.run("mmoe", arguments + ["--expert-parallel", "2"], ranks: ranks)
        #expect(result.status == 0, "\(result.errors)")
      } else {
        let result = try ProgramRunner.run(arguments)
        #expect(result.status == 0, "\(result.errors)")
      }
      let history = try MetricsHistory(file: out + "/metrics.jsonl")
      return Dictionary(
        uniqueKeysWithValues: [
          "train_loss", "train_caption_loss", "train_language_loss", "train_classification_loss", "train_top1",
          "aux_z_loss", "aux_balance", "router_entropy", "load_max_over_mean", "grad_norm",
        ].map { name in
          let layers = history.layers(name).map(Optional.some)
          return (name, (layers.isEmpty ? [nil] : layers).flatMap { history.points(name, layer: $0).map(\.value) })
        })
    }
    let whole = try step(ranks: 1, parts: 1)
    let top1 = try #require(whole["train_top1"])
    #expect(top1.count == 1 && (top1[0] * 4).rounded() == top1[0] * 4, "4 of 16 pairs have labels: \(top1)")
    for (ranks, parts) in divisions {
      let found = try step(ranks: ranks, parts: parts)
      for (name, expected) in whole {
        let values = try #require(found[name])
        let isAbsent = name == "aux_balance" && kind == ["moe.balance=none"]
        #expect(values.count == expected.count && expected.isEmpty == isAbsent, "\(name)")
        for (a, b) in zip(values, expected) {
          #expect(abs(a - b) < 1e-5 * max(1, abs(b)), "\(ranks) ranks, \(parts) micro-batches, \(name): \(a), \(b)")
        }
      }
    }
  }
}
