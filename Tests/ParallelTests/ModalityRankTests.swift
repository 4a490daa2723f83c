import Foundation
import MMoEData
import MMoEReport
import TestSupport
import Testing

/// Pictures, recordings and captions on several ranks.
@Suite struct ModalityRankTests {
  /// 24 items of two shades and two tones; every fourth has no recording, and some have no picture.
  static let data: ScratchFolder = {
    let folder = ScratchFolder()
    func little(_ value: Int, _ bytes: Int) -> [UInt8] { (0..<bytes).map { UInt8(value >> (8 * $0) & 255) } }
    let words = ["black", "dark", "grey", "white"]
    let lines = (0..<24).map { index in
      let (left, right) = (index % 4, index / 4 % 4)
      var fields: [String] = []
      if index % 5 != 4 {
        let pixels = (0..<16 * 16 * 3).map { $0 == 0 ? UInt8(index) : UInt8(80 * ($0 / 3 % 16 < 8 ? left : right)) }
        try! Data(RGBImage(width: 16, height: 16, pixels: pixels).png()).write(
          to: URL(fileURLWithPath: folder("\(index).png")))
        fields.append("\"image\": \"\(index).png\"")
      }
      if index % 4 != 3 || index % 5 == 4 {
        let tone = (0..<4000).flatMap { t -> [UInt8] in
          let pitch = Double(t < 2000 ? left : right) * 400 + 300 + Double(index)
          return little(Int(8000 * sin(2 * .pi * pitch * Double(t) / 8000)) & 0xFFFF, 2)
        }
        let form =
          little(16, 4) + little(1, 2) + little(1, 2) + little(8000, 4) + little(16000, 4) + little(2, 2)
          + little(16, 2)
        let body = [UInt8]("WAVEfmt ".utf8) + form + [UInt8]("data".utf8) + little(tone.count, 4) + tone
        try! Data([UInt8]("RIFF".utf8) + little(body.count, 4) + body).write(
          to: URL(fileURLWithPath: folder("\(index).wav")))
        fields.append("\"audio\": \"\(index).wav\"")
      }
      fields.append("\"caption\": \"\(words[left]) and \(words[right])\"")
      fields.append("\"split\": \"\(index < 18 ? "train" : "val")\"")
      return "{\(fields.joined(separator: ", "))}"
    }
    try! lines.joined(separator: "\n").write(toFile: folder("captions.jsonl"), atomically: true, encoding: .utf8)
    return folder
  }()

  struct Form: Sendable {
    let ranks: Int
    /// Ranks that share out the experts.
    let group: Int
    let settings: [String]
  }

  /// Each modality's experts on a rank of its own; groups that ranks' borders cut, batches of which a rank has no recording; a
  /// tower for each; and experts of several widths, which every rank has all of.
  static let forms = [
    Form(ranks: 3, group: 3, settings: ["moe.groups=vision:2,language:2,audio:2", "moe.experts=6"]),
    Form(
      ranks: 4, group: 4,
      settings: [
        "moe.groups=audio:3,vision:2,language:2,shared:1", "moe.experts=8", "moe.gate=modality", "data.batch=4",
      ]),
    Form(
      ranks: 2, group: 2,
      settings: [
        "fusion.kind=late", "moe.groups=vision:2@24,language:2,audio:4", "moe.experts=8", "fusion.text_layers=3",
        "moe.balance=first_choice", "moe.variant=scmoe", "data.batch=4",
      ]),
    Form(
      ranks: 2, group: 1,
      settings: ["moe.groups=vision:2@24,language:2,audio:4@8", "moe.experts=8", "moe.gate=modality"]),
  ]

  private func arguments(_ form: Form, _ out: String) -> [String] {
    let settings =
      [
        "fusion.modalities=vision,language,audio", "model.layers=2", "model.width=32", "model.heads=2",
        "model.image=16", "model.patch=4", "model.context=24", "model.embedding=16", "model.audio_mels=16",
        "model.audio_frames=32", "model.audio_patch_mels=8", "model.audio_patch_frames=8", "tokenizer.kind=byte",
        "moe.variant=top2", "data.batch=12", "data.crop_padding=1", "schedule.warmup=2", "train.eval_every=4",
        "train.sample_every=0", "checkpoint.every=4",
      ] + form.settings
    return [
      "train", "--task", "multimodal", "--data", ModalityRankTests.data.path, "--threads", "1", "--steps", "4", "--out",
      out,
    ] + settings.flatMap { ["--set", $0] }
  }

  @Test(.needsRanks, arguments: ModalityRankTests.forms.indices) func ranksAreOneProcess(index: Int) throws {
    let form = ModalityRankTests.forms[index]
    let folder = ScratchFolder()
    let alone = try ProgramRunner.run(arguments(form, folder("alone")))
    #expect(alone.status == 0, "\(alone.errors)")
    let ranks = try RankRunner.run(
      "mmoe", arguments(form, folder("ranks")) + ["--expert-parallel", "\(form.group)"], ranks: form.ranks)
    #expect(ranks.status == 0, "\(ranks.errors)")
    func values(_ name: String, _ run: String) throws -> [Double] {
      try MetricsHistory(file: folder(run) + "/metrics.jsonl").points(name).map(\.value)
    }
    for name in [
      "train_caption_loss", "train_contrastive_loss", "train_language_loss", "grad_norm", "val_caption_loss",
      "val_recall_at_10",
    ] {
      let (expected, found) = (try values(name, "alone"), try values(name, "ranks"))
      #expect(!expected.isEmpty && found.count == expected.count, "\(name)")
      for (step, (a, b)) in zip(expected, found).enumerated() {
        // The first step's losses have no optimizer before them.
        let tolerance = step == 0 && name.hasSuffix("_loss") && name.hasPrefix("train") ? 1e-5 : 1e-3
        #expect(abs(a - b) < tolerance * max(1, abs(a)), "\(name) of step \(step): \(a), \(b)")
      }
    }
  }

  @Test(.needsRanks) func widthsAreNotSharedOut() throws {
    let folder = ScratchFolder()
    let result = try RankRunner.run(
      "mmoe", arguments(ModalityRankTests.forms[3], folder("run")) + ["--expert-parallel", "2"], ranks: 2)
    #expect(
      result.status == 1 && result.errors.contains("experts of several widths are not shared out"), "\(result.errors)")
  }
}
