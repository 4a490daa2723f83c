import Foundation
import MMoEData
import MMoEModels
import MMoETensor
import TestSupport
import Testing
import TinyRuns

@testable import MMoEConfig
@testable import MMoEReport
@testable import MMoERuns
@testable import MMoEStudy
@testable import MMoETrain

/// Training on images with captions, in this process.
@Suite struct PairLearningTests {
  /// Where shards of mixed-in text go.
  /// Beside the data: what lies in its folder is counted.
  private static let cacheFolder = ScratchFolder()
  static var cache: String { cacheFolder.path }

  /// 24 pictures of one color, or two side by side, with what they show; the last 6 are held out.
  static let data: (folder: ScratchFolder, path: String) = {
    let folder = ScratchFolder()
    let colors: [(String, [UInt8])] = [
      ("red", [230, 20, 30]), ("green", [20, 200, 40]), ("blue", [30, 40, 220]), ("white", [250, 250, 250]),
      ("black", [5, 5, 5]),
    ]
    var lines: [String] = []
    let kinds = (0..<24).map { ($0 % 5, $0 / 5 % 5) }
    for (index, (left, right)) in kinds.enumerated() {
      let pixels = (0..<16 * 16).flatMap { colors[$0 % 16 < 8 ? left : right].1 }
      let name = "\(index).png"
      try! Data(RGBImage(width: 16, height: 16, pixels: pixels).png()).write(
        to: URL(fileURLWithPath: folder(name)))
      let caption = left == right ? "all \(colors[left].0)" : "\(colors[left].0) and \(colors[right].0)"
      lines.append(
        "{\"image\": \"\(name)\", \"caption\": \"\(caption)\", \"label\": \"\(colors[left].0)\", \"split\": \"\(index < 18 ? "train" : "val")\"}"
      )
    }
    try! lines.joined(separator: "\n").write(toFile: folder("captions.jsonl"), atomically: true, encoding: .utf8)
    return (folder, folder.path)
  }()

  static let towers = [
    "fusion.kind=late", "moe.groups=vision:2,language:2", "moe.balance=first_choice", "fusion.text_layers=3",
  ]

  static func config(_ settings: [String] = []) throws -> RunConfig {
    var config = RunConfig()
    try RunConfig.table.apply(ProjectHome.presets.preset("pairs-emoji"), to: &config)
    try RunConfig.table.set(
      [
        "model.layers=2", "model.width=32", "model.heads=2", "model.image=16", "model.patch=4", "model.context=24",
        "model.embedding=16", "tokenizer.kind=byte", "moe.experts=4", "moe.groups=vision:2,language:1,shared:1",
        "moe.variant=top2", "data.batch=6", "data.crop_padding=1", "schedule.warmup=5", "train.steps=6",
        "train.eval_every=3", "train.sample_every=0", "checkpoint.every=1", "checkpoint.keep=100",
      ] + settings, in: &config)
    return config
  }

  /// A task that is ready to train, and the configuration that follows the data.
  static func task(_ settings: [String], engine: Engine) throws -> (task: any TrainingTask, config: RunConfig) {
    var config = try config(settings)
    let data = try PairData(Self.data.path, config, attachments: nil, cache: cache, TextBuffer())
    data.adapt(&config, TextBuffer())
    return (try data.makeJob(config, training: true, loadsWeights: false, engine: engine, team: nil), config)
  }

  @discardableResult
  private func train(
    _ settings: [String], into folder: String, threads: Int = 2, resuming checkpoint: String? = nil
  ) throws -> Trainer.Outcome {
    let engine = try Engine(threads: threads)
    let loaded = try checkpoint.map(LoadedCheckpoint.init)
    let given = try PairLearningTests.config(settings)
    var config = loaded?.info.config ?? given
    // Checkpoints do not say where data is.
    config.mixture = given.mixture
    let data = try PairData(
      PairLearningTests.data.path, config, attachments: loaded?.info.attachments, cache: PairLearningTests.cache,
      TextBuffer())
    try loaded?.requireVocabulary(data.vocabulary, data: data.path)
    data.adapt(&config, TextBuffer())
    let task = try data.makeJob(config, training: true, loadsWeights: false, engine: engine, team: nil)
    let run = loaded == nil ? try RunFolder(creating: folder) : try RunFolder(locking: folder)
    return try Trainer(
      task, preset: "pairs-emoji", config: config, engine: engine, folder: run, resuming: loaded, sink: TextBuffer()
    ).run()
  }

  /// A model whose activations overflow says nothing: no captions, no order of answers, and a loss that is none.
  @Test(arguments: ["text_projection.weight", "blocks.0.norm1.weight"]) func aModelThatOverflows(path: String) throws {
    let config = try PairLearningTests.config([])
    let data = try PairData(
      PairLearningTests.data.path, config, attachments: nil, cache: PairLearningTests.cache, TextBuffer())
    var adapted = config
    data.adapt(&adapted, TextBuffer())
    let task = try data.makeJob(adapted, training: false, loadsWeights: false, engine: Engine(threads: 2), team: nil)
    let value = try #require(task.model.parameters.first { $0.path == path }).value
    for i in 0..<value.count { value.pointer[i] = 3e38 }
    let evaluation = try task.evaluate(progress: nil)
    // Similarities alone leave the captions as they were.
    #expect(evaluation.loss.isFinite == (path == "text_projection.weight"))
    #expect(evaluation["recall_at_10"].map { $0.isNaN } ?? !evaluation.loss.isFinite)
    #expect {
      try evaluation.requireFinite("f.h5")
    } throws: {
      "\($0)".hasPrefix(
        evaluation.loss.isFinite ? "f.h5: recall_at_10 is nan" : "f.h5: loss is nan, caption_loss is nan")
    }
  }

  /// The first batch is learned by heart, by every variant.
  @Test(arguments: [
    ["moe.variant=top2"], ["moe.variant=scmoe"], ["moe.variant=dgmoe"], PairLearningTests.towers,
    ["moe.task_routing=true", "objective.uncertainty=true"],
  ]) func overfits(settings: [String]) throws {
    let scratch = ScratchFolder()
    let outcome = try train(
      [
        "data.overfit=1", "train.steps=70", "train.eval_every=70", "checkpoint.every=70", "optimizer.lr=5e-3",
        "schedule.kind=constant",
      ] + settings, into: scratch("run"))
    #expect(outcome.trainLoss < 0.6, "loss \(outcome.trainLoss)")
  }

  /// The same bits for any number of threads, and after an interruption.
  @Test(arguments: [
    [], PairLearningTests.towers, ["moe.task_routing=true", "objective.uncertainty=true"],
    ["moe.groups=vision:2@24,language:1,shared:1@40", "moe.gate=modality", "lora.rank=2"],
  ]) func resumesWithTheSameBits(settings: [String]) throws {
    let scratch = ScratchFolder()
    try train(settings, into: scratch("whole"))
    try train(settings, into: scratch("again"), threads: 1)
    for step in [3, 6] {
      #expect(
        try bytes(scratch("whole/step-000000\(step).h5")) == bytes(scratch("again/step-000000\(step).h5")),
        "step \(step)")
    }
    try FileManager.default.removeItem(atPath: scratch("again/step-0000006.h5"))
    for step in 4...5 { try FileManager.default.removeItem(atPath: scratch("again/step-000000\(step).h5")) }
    try train(settings, into: scratch("again"), resuming: scratch("again/step-0000003.h5"))
    #expect(try bytes(scratch("whole/step-0000006.h5")) == bytes(scratch("again/step-0000006.h5")))
  }

  /// Pairs, labeled images of other classes and plain text in one batch: all are learned, and a resumed run has the same
  /// bits.
  @Test func mixesImagesAndTextIn() throws {
    let scratch = ScratchFolder()
    try String(repeating: "red and green and all white\nblue and black\n", count: 200).write(
      toFile: scratch("text.txt"), atomically: true, encoding: .utf8)
    let settings = [
      "mixture.images=\(TinyRun.data.path)", "mixture.image_batch=4", "mixture.text=\(scratch("text.txt"))",
      "mixture.text_batch=3", "objective.language=1", "objective.classification=1",
    ]
    let outcome = try train(
      settings + ["train.steps=30", "train.eval_every=30", "optimizer.lr=5e-3"], into: scratch("run"))
    let evaluation = try #require(outcome.evaluation)
    let (images, text) = (try #require(evaluation["mixture_top1"]), try #require(evaluation["mixture_text_loss"]))
    #expect(text < 3.5 && (0...1).contains(images), "\(text) nats a byte")
    // Evaluated alone it says the same, without what it was trained on.
    let loaded = try LoadedCheckpoint(outcome.checkpoint)
    let info = loaded.info
    // Checkpoints do not say where data is.
    var config = info.config
    #expect(config.mixture.images == RunConfig.recorded && config.mixture.text == RunConfig.recorded)
    (config.mixture.images, config.mixture.text) = (TinyRun.data.path, scratch("text.txt"))
    let data = try PairData(
      PairLearningTests.data.path, config, attachments: info.attachments, cache: PairLearningTests.cache,
      TextBuffer())
    let alone = try data.makeJob(config, training: false, loadsWeights: false, engine: Engine(threads: 2), team: nil)
    try loaded.restore(alone.model)
    let again = try alone.evaluate(progress: nil)
    #expect(throws: EvaluationInterrupted.self) {
      try Interrupt.$isSimulated.withValue(true) { try alone.evaluate(progress: nil) }
    }
    #expect(again["mixture_top1"] == images && abs((again["mixture_text_loss"] ?? 0) - text) < 1e-5)
    #expect(info.config.model.vision.classes == 5 + 4 && info.vocabulary["labels"]?.count == 9)

    try train(settings, into: scratch("whole"))
    try train(settings, into: scratch("again"))
    for step in 4...6 { try FileManager.default.removeItem(atPath: scratch("again/step-000000\(step).h5")) }
    try train(settings, into: scratch("again"), resuming: scratch("again/step-0000003.h5"))
    #expect(try bytes(scratch("whole/step-0000006.h5")) == bytes(scratch("again/step-0000006.h5")))
    #expect { try train(settings + ["train.accumulation=3"], into: scratch("odd")) } throws: {
      "\($0)".contains("mixture.image_batch is 4, which 1 ranks with 3 micro-batches do not divide")
    }
    #expect { try train(["mixture.images=/nowhere"], into: scratch("none")) } throws: {
      "\($0)".hasPrefix("mixture.images: /nowhere")
    }
  }

  /// Balance of the modalities is that of the step, in however many micro-batches: its value with captions of all lengths,
  /// its gradient with images, whose own loss does not depend on micro-batches either.
  @Test(arguments: ["all_choices", "entropy", "first_choice", "late"])
  func balanceDoesNotDependOnAccumulation(balance: String) throws {
    let scratch = ScratchFolder()
    for (weights, metrics) in [
      (["objective.caption=1"], ["aux_balance", "aux_z_loss"]),
      (
        ["objective.caption=0", "objective.contrastive=0", "objective.language=0", "objective.classification=1"],
        ["aux_balance", "grad_norm"]
      ),
    ] {
      let values = try [1, 3].map { accumulation in
        let run = scratch("\(weights.count)-\(accumulation)")
        try train(
          weights + (balance == "late" ? PairLearningTests.towers : ["moe.balance=\(balance)"]) + [
            "moe.balance_weight=1", "moe.z_loss_weight=0.1", "train.steps=1",
            "optimizer.clip=0", "data.batch=6", "train.accumulation=\(accumulation)",
          ], into: run)
        let history = try MetricsHistory(file: run + "/metrics.jsonl")
        return metrics.flatMap { history.everywhere($0) }
      }
      #expect(values[0].count >= metrics.count)
      for (whole, parts) in zip(values[0], values[1]) { #expect(abs(whole - parts) < 1e-5 * abs(whole)) }
    }
  }

  /// Metrics of the whole validation set, and captions that the program says from the checkpoint alone.
  @Test(arguments: [[], PairLearningTests.towers, ["moe.task_routing=true"]])
  func evaluatesAndCaptions(settings: [String]) throws {
    let scratch = ScratchFolder()
    let outcome = try train(settings, into: scratch("run"))
    let evaluation = try #require(outcome.evaluation)
    #expect(evaluation.count == 6)
    #expect(evaluation["gallery_images"] == 6 && evaluation["gallery_texts"] == 6)
    // Six answers: every right one is among the first ten.
    #expect(evaluation["text_to_image_recall_at_10"] == 1 && evaluation["image_to_text_recall_at_10"] == 1)
    for name in ["caption_loss", "language_loss", "caption_f1", "caption_bleu4", "caption_cider", "top1"] {
      #expect(evaluation[name]?.isFinite == true, "\(name)")
    }
    let output = TextBuffer()
    var options = CaptionSession.Options()
    options.checkpoint = outcome.checkpoint
    options.files = [PairLearningTests.data.folder("0.png")]
    options.printsJSON = true
    try CaptionSession(options, CommandSinks(output: output, errors: TextBuffer())).run()
    #expect(output.text.contains("\"caption\""))
    var query = RetrieveSession.Options()
    (query.checkpoint, query.query, query.images) = (scratch("run"), .text("red and blue"), PairLearningTests.data.path)
    (query.sheet, query.count) = (scratch("sheet.png"), 3)
    let lines = TextBuffer()
    try RetrieveSession(query, CommandSinks(output: lines, errors: TextBuffer())).run()
    #expect(lines.text.contains("best 3 of 24"))
    #expect(try RGBImage(contentsOf: scratch("sheet.png")).width == 5 * 136 + 8)
  }

  /// A modality that the pairs lack is no modality of the model.
  @Test func refusesAModalityWithoutSamples() throws {
    let config = try PairLearningTests.config(["fusion.modalities=vision,language,audio", "moe.groups=none"])
    let data = try PairData(
      PairLearningTests.data.path, config, attachments: nil, cache: PairLearningTests.cache, TextBuffer())
    #expect {
      try data.makeJob(config, training: true, loadsWeights: false, engine: Engine(threads: 1), team: nil)
    } throws: {
      "\($0)".contains(
        ": no line to learn from has the field audio, expected some, since fusion.modalities has audio; add them, or leave audio out"
      )
    }
  }

  /// What an analysis is told of the rows: where gates know tasks, every pair stands there once for each.
  @Test func probesEveryTask() throws {
    for isTold in [false, true] {
      var config = try PairLearningTests.config(["moe.task_routing=\(isTold)"])
      let data = try PairData(
        PairLearningTests.data.path, config, attachments: nil, cache: PairLearningTests.cache, TextBuffer())
      data.adapt(&config, TextBuffer())
      let task = try data.makeJob(config, training: false, loadsWeights: false, engine: Engine(threads: 2), team: nil)
      let probed = try #require(task as? any ProbedTask)
      let found = try RoutingAnalysis.measure(probed, config.model, Probe(samples: 6, engine: Engine(threads: 2)))
      let labels = Dictionary(uniqueKeysWithValues: found.labels.map { ($0.name, $0.values) })
      let patches = 16
      let (modality, tokens) = (try #require(labels["modality"]), try #require(labels["token"]))
      #expect(found.calls.allSatisfy { $0.tokens == modality.count })
      #expect(modality.count { $0 == 0 } == 6 * patches * (isTold ? 3 : 1))
      #expect(zip(modality, tokens).allSatisfy { ($0 == 0) == ($1 == -1) })
      // Patches never reach the text's expert 2, tokens never the pictures' 0 and 1.
      let counts = found.calls[0].counts(found.labels[0])
      #expect(counts[2][0] == 0 && counts[0][1] == 0 && counts[1][1] == 0)
      #expect(found.pictures.map(\.image.width) == Array(repeating: 16, count: 6))
      #expect(found.pictures.allSatisfy { modality[$0.row..<$0.row + patches].allSatisfy { $0 == 0 } })
      guard isTold else {
        #expect(labels["task"] == nil)
        continue
      }
      let tasks = try #require(labels["task"])
      let (caption, text) = (tasks.count { $0 == 0 }, tasks.count { $0 == 3 })
      #expect(caption == 6 * patches + text && tasks.count { $0 == 2 } == 6 * patches)
      #expect(tasks.count { $0 == 1 } == caption)
      // A text alone says nothing of its class.
      #expect(zip(try #require(labels["class"]), tasks).allSatisfy { $1 == 3 ? $0 == -1 : $1 == 1 || $0 >= 0 })
    }
  }

  /// Words and colors alone tell these pictures apart.
  @Test func baselines() throws {
    let gallery = try PairBaselines(path: PairLearningTests.data.path).galleries[0]
    #expect(gallery.images == 6 && gallery.texts == 6)
    #expect(gallery.textToImage == gallery.textToImage.sorted() && gallery.textToImage[2] == 1)
    #expect(gallery.textToImage[0] > 1.0 / 6)
    // Held out are pictures 18 to 23: five captions of three words, "and" in each; "black" is as good and comes later.
    #expect(gallery.word == "and" && abs(gallery.wordF1 - 5 * 0.5 / 6) < 1e-12)
  }

  @Test func saysWhatIsWrong() throws {
    let engine = try Engine(threads: 1)
    let config = try PairLearningTests.config(["model.context=8"])
    let data = try PairData(
      PairLearningTests.data.path, config, attachments: nil, cache: PairLearningTests.cache, TextBuffer())
    #expect(data.notes.count == 1 && data.notes[0].hasPrefix("captions cut after 7 tokens (model.context is 8): "))
    #expect(data.notes[0].contains("captions.jsonl:"))
    let job = try data.makeJob(config, training: true, loadsWeights: false, engine: engine, team: nil) as? PairLearning
    let lengths = (job?.training?.captions ?? []).joined().map(\.count)
    #expect(lengths.count == 18 && lengths.max() == 7)
    #expect(throws: ConfigError.self) {
      _ = try PairLearningTests.config(
        ["objective.caption=0", "objective.contrastive=0", "objective.classification=0", "objective.language=0"]
      ).validate()
    }
  }
}
