import Foundation
import MMoEData
import MMoEModels
import MMoETensor
import TestSupport
import Testing
import TinyRuns

@testable import MMoEConfig
@testable import MMoEReport
@testable import MMoEStudy
@testable import MMoETrain

/// The table says for which kinds of model a key does something: shown by running each task with the key at another value.
@Suite struct KeyUseTests {
  /// Another value of a key, and what it takes for the value to matter.
  struct Change: Sendable {
    let key, value: String
    let with: [String]
    /// In addition, for pairs.
    let pairs: [String]
    /// The data, where it is not the usual.
    let text: String?
    /// Whether the pairs need recordings.
    var isOfAudio: Bool { ["fusion.modalities", "fusion.captions"].contains(key) || key.hasPrefix("model.audio_") }
  }

  /// A plain text in paragraphs, lines with two fields, and a tokenizer.
  static let files: (folder: ScratchFolder, text: String, lines: String, tokenizer: String) = {
    let folder = ScratchFolder()
    let words = ["red", "green", "blue", "and", "white", "all"]
    var lines: [String] = []
    for line in 0..<60 {
      var chosen: [String] = []
      for place in 0..<8 { chosen.append(words[(line * place + place * place + line) % 6]) }
      lines.append(chosen.joined(separator: " "))
      if line % 4 == 3 { lines.append("") }
    }
    let text = lines.joined(separator: "\n") + "\n"
    try! text.write(toFile: folder("text.txt"), atomically: true, encoding: .utf8)
    let fields = (0..<40).map { "{\"text\": \"\(lines[$0]) one\", \"other\": \"two \(lines[59 - $0])\"}" }
    try! fields.joined(separator: "\n").write(toFile: folder("lines.jsonl"), atomically: true, encoding: .utf8)
    var trainer = BytePairTrainer([UInt8](text.utf8))
    try! FileManager.default.createDirectory(atPath: folder("tokenizer"), withIntermediateDirectories: true)
    try! trainer.train(vocabularySize: 262).save(to: folder("tokenizer"))
    return (folder, folder("text.txt"), folder("lines.jsonl"), folder("tokenizer"))
  }()

  /// `key=value | what it takes | in addition, for pairs`.
  private static let table = """
    seed=1
    model.layers=3
    model.width=40
    model.heads=4
    model.kv_heads=1
    model.hidden=24
    model.activation=gelu_erf
    model.norm=rms
    model.bias=false
    model.context=20
    model.positions=rotary
    model.rotary_base=50 | model.positions=rotary
    model.tied_head=false
    model.image=8
    model.patch=8
    model.class_token=true | | TOWERS
    model.pre_norm=true | | TOWERS
    model.embedding=8
    model.stochastic_depth=0.9
    model.norm_epsilon=0.1
    model.init_std=0.5
    fusion.kind=late | | moe.groups=none moe.balance=none
    fusion.text_pooling=last
    fusion.cross_blocks=0 | | TOWERS
    fusion.text_layers=2 | | TOWERS
    fusion.text_width=16 | | TOWERS
    fusion.text_heads=4 | | TOWERS
    fusion.text_hidden=24 | | TOWERS
    moe.variant=top1
    moe.position=1 | moe.variant=scmoe
    moe.sources=1:attention | moe.variant=hierarchical
    moe.experts=8 | | moe.groups=none
    moe.groups=vision:1,language:1,shared:2
    moe.gate=modality
    moe.identity_experts=1
    moe.hidden=24
    moe.every=1
    moe.first=1 | moe.every=1
    moe.bank_layers=2 | moe.every=1
    moe.task_routing=true
    moe.capacity_factor=0.5
    moe.eval_capacity_factor=0.5
    moe.balance=first_choice
    moe.balance_weight=0.5
    moe.z_loss_weight=0.5
    moe.bias_rate=0.1
    moe.real_share=0.5 | moe.bias_rate=0.1 moe.identity_experts=1 | moe.groups=none
    moe.gate_noise=5
    moe.batch_priority=true | moe.capacity_factor=0.5
    moe.renormalize=false
    moe.renormalize_single=true | moe.variant=top1
    moe.router=uniform | | moe.groups=none
    moe.n_group=2 | moe.router=sigmoid | moe.groups=none
    moe.topk_group=2 | moe.router=sigmoid moe.n_group=2 | moe.groups=none
    moe.routed_scaling_factor=2 | moe.router=sigmoid
    moe.combine=cg1 | moe.variant=scmoe
    moe.coefficient_input=current | moe.variant=scmoe moe.combine=cg1
    moe.shortcut_norm=preceding | moe.variant=scmoe
    moe.post_norm=true
    moe.one_gate=true | moe.variant=dgmoe
    moe.constrained=false | moe.variant=dgmoe
    optimizer.kind=sgd
    optimizer.lr=0.5
    optimizer.beta1=0.5
    optimizer.beta2=0.5
    optimizer.epsilon=0.5
    optimizer.momentum=0.5 | optimizer.kind=sgd
    optimizer.ns_steps=2 | optimizer.kind=muon
    optimizer.weight_decay=0.9
    optimizer.clip=0.001
    data.batch=2
    data.crop=none
    data.crop_minimum=0.9 | data.crop=resized
    data.crop_padding=3 | data.crop=padded
    data.flip=true | data.flip=false
    data.jitter=0.9
    data.normalization=unit
    data.overfit=1
    train.accumulation=2
    train.label_smoothing=0.1
    train.sample_every=1
    lora.rank=2
    lora.alpha=99 | lora.rank=2
    lora.places=mlp | lora.rank=2
    tokenizer.kind=bpe | tokenizer.vocabulary=270
    tokenizer.path=TOKENIZER | tokenizer.kind=bpe tokenizer.vocabulary=270
    tokenizer.vocabulary=260 | tokenizer.kind=bpe tokenizer.vocabulary=270
    text.order=sequential
    text.field=other | | mixture.text=JSONL mixture.text_batch=2
    text.documents=blank-lines | data.validation_share=0.3 | mixture.text=TEXT mixture.text_batch=2
    data.validation_share=0.4 | | mixture.text=TEXT mixture.text_batch=2
    text.eval_stride=4
    text.eval_tokens=30 | | mixture.text=TEXT mixture.text_batch=2
    objective.caption=0.5
    objective.contrastive=0.5
    objective.classification=0.5
    objective.language=0.5
    objective.uncertainty=true
    mixture.images=IMAGES | | mixture.image_batch=2
    mixture.image_batch=4 | | mixture.images=IMAGES
    mixture.text=TEXT | | mixture.text_batch=2
    mixture.text_batch=1 | | mixture.text=TEXT
    fusion.modalities=vision,language,audio | moe.groups=none
    fusion.captions=joint | AUDIO
    model.audio_mels=32 | AUDIO
    model.audio_frames=32 | AUDIO
    model.audio_patch_mels=8 | AUDIO
    model.audio_patch_frames=4 | AUDIO
    """

  static let changes: [Change] = {
    let names: [String: String] = [
      "TOWERS": PairLearningTests.towers.joined(separator: " "), "TOKENIZER": files.tokenizer, "TEXT": files.text,
      "IMAGES": TinyRun.data.path, "JSONL": files.lines, "AUDIO": SpeechTests.settings.joined(separator: " "),
    ]
    return table.split(separator: "\n").map { line in
      let filled = names.reduce(String(line)) { $0.replacing($1.key, with: $1.value) }
      let parts = filled.split(separator: "|", omittingEmptySubsequences: false)
      let setting = parts[0].split(separator: "=", maxSplits: 1).map { $0.trimmingCharacters(in: .whitespaces) }
      func words(_ place: Int) -> [String] {
        place < parts.count ? parts[place].split(separator: " ").map(String.init) : []
      }
      return Change(
        key: setting[0], value: setting[1], with: words(1), pairs: words(2),
        text: ["text.documents": files.text, "text.field": files.lines][setting[0]])
    }
  }()

  /// Keys whose values a task's results cannot show, and why each holds where the table says.
  static let unseen: Set<String> = [
    // It is the task.
    "model.kind",
    // They follow the data in training; `mmoe model`, `--dry-run` and benchmarks take them as they are.
    "model.vocabulary", "model.classes",
    // They never change a result; image tasks alone decode files, of which some may be broken.
    "data.workers", "data.cache_mb", "data.on_bad_image",
  ]

  /// Groups that the loop and the engine read, none of which depends on the task.
  static let ofTheLoop = [
    "dtype", "tensor.", "schedule.", "train.", "checkpoint.", "finetune.", "parallel.",
  ]

  @Test func everyKeyIsLookedAt() {
    let changed = KeyUseTests.changes.map(\.key)
    #expect(Set(changed).count == changed.count)
    for entry in RunConfig.table.entries where !changed.contains(entry.key) && !KeyUseTests.unseen.contains(entry.key) {
      #expect(KeyUseTests.ofTheLoop.contains { entry.key.hasPrefix($0) }, "\(entry.key) has no test of where it holds")
      #expect(entry.holders == nil, "\(entry.key)")
    }
  }

  /// Everything that a run shows: parameters, two steps' losses and gradients, what the optimizer makes of them, buffers, evaluation, a sample.
  private func results(_ task: TaskKind, _ settings: [String], text: String?, audio: Bool = false) -> String {
    do {
      let engine = try Engine(threads: 1)
      let (tiny, path): (RunConfig, String) =
        switch task {
        case .imagenetSubset: (try TinyRun(["data.batch=4"]).config, text ?? TinyRun.data.path)
        case .lm: (try TinyTextRun(["data.batch=4", "moe.variant=top2"]).config, text ?? TinyTextRun.data.path)
        default:
          (try PairLearningTests.config(["data.batch=4"]), audio ? SpeechTests.data.path : PairLearningTests.data.path)
        }
      var config = tiny
      try RunConfig.table.set(settings, in: &config)
      try config.validate()
      let data: any TaskData =
        switch task {
        case .imagenetSubset: try ImageData(path, config)
        case .lm: try TextData(path, config, attachments: nil, cache: TinyTextRun.data.folder("cache"), TextBuffer())
        default:
          try PairData(path, config, attachments: nil, cache: PairLearningTests.cache, TextBuffer())
        }
      data.adapt(&config, TextBuffer())
      let job = try data.makeJob(config, training: true, loadsWeights: false, engine: engine, team: nil)
      try job.startTraining(atMicroBatch: 0)
      let updater = Updater(
        job.model.parameters, config: config.optimizer, engine: engine, plan: try UpdatePlan(config, job.model))
      var found = job.model.parameters.map { "\($0.path) \($0.shape)" }
      for step in 0..<2 {
        let batch = try job.nextMicroBatch(kept: false)
        let tape = Tape(engine, recording: true)
        let pass = ForwardPass(tape, training: true, seed: UInt64(config.seed), step: step)
        found.append("\(try batch.forward(pass, batch.targets)) \(tape.objective)")
        tape.backward()
        for parameter in job.model.parameters {
          found.append("\(parameter.hasGradient ? engine.dot(parameter.gradient, parameter.gradient) : 0)")
        }
        updater.step(lr: config.optimizer.lr, gradientNorm: updater.gradientNorm())
        for parameter in job.model.parameters { parameter.clearGradient() }
        job.model.afterStep()
        found += job.model.buffers.map { "\($0.value.values)" }
      }
      let evaluation = try job.evaluate(progress: nil)
      found.append("\(evaluation.loss) \(evaluation.metrics) \(evaluation.count)")
      if config.train.sampleEvery > 0, let sample = try job.sample() { found.append(sample) }
      return found.joined(separator: "\n")
    } catch {
      return "refused: \(error)"
    }
  }

  @Test(arguments: TaskKind.allCases) func keysMatterWhereTheTableSays(task: TaskKind) throws {
    var known: [String: String] = [:]
    func base(_ settings: [String], _ text: String?, audio: Bool = false) -> String {
      let key = "\(settings) \(text ?? "") \(audio)"
      if known[key] == nil { known[key] = results(task, settings, text: text, audio: audio) }
      return known[key]!
    }
    for change in KeyUseTests.changes {
      let entry = try #require(RunConfig.table.entries.first { $0.key == change.key }, "\(change.key)")
      let setting = "\(change.key)=\(change.value)"
      // What it takes of what the task has.
      let with = (change.with + (task == .multimodal ? change.pairs : [])).filter { needed in
        RunConfig.table.entries.contains { needed.hasPrefix($0.key + "=") && $0.holds(for: task.model) }
      }
      guard entry.holds(for: task.model) else {
        // Where it does not hold, it is refused in time or changes no bit.
        let (before, other) = (base(with, nil), results(task, with + [setting], text: nil))
        let isSame = other == before || other.hasPrefix("refused")
        #expect(isSame && !before.hasPrefix("refused"), "\(change.key) changes --task \(task.name)")
        continue
      }
      // Images in splits are not divided.
      let isOfClassFolders = task == .imagenetSubset && change.key == "data.validation_share"
      let data = isOfClassFolders ? TinyRun.data.path + "/train" : change.text
      let (before, after) = (
        base(with, data, audio: change.isOfAudio),
        results(task, with + [setting], text: data, audio: change.isOfAudio)
      )
      let isRefused = before.hasPrefix("refused") || after.hasPrefix("refused")
      #expect(!isRefused, "\(change.key) of --task \(task.name): \(after.prefix(200))")
      let matters = before != after
      #expect(matters, "\(change.key) does nothing for --task \(task.name)")
    }
  }

  // MARK: Refusals

  private func refusal(
    _ task: TaskKind, _ settings: [String], use: ConfigUse = .training, beyond inherited: RunConfig = RunConfig()
  ) throws -> String? {
    var config = inherited
    config.model.kind = task.model
    try RunConfig.table.set(settings, in: &config)
    var base = inherited
    base.model.kind = task.model
    do { try config.requireUsed(by: use, beyond: base) } catch { return "\(error)" }
    return nil
  }

  /// Every key at another value is refused exactly where it does not hold.
  @Test(arguments: TaskKind.allCases) func keysAreRefusedElsewhere(task: TaskKind) throws {
    for change in KeyUseTests.changes where change.key != "data.flip" {
      let entry = try #require(RunConfig.table.entries.first { $0.key == change.key })
      let kind = change.with.filter { $0.hasPrefix("optimizer.kind=") }
      let found = try refusal(task, kind + ["\(change.key)=\(change.value)"])
      #expect((found == nil) == entry.holds(for: task.model), "\(change.key): \(found ?? "taken")")
      guard let found else { continue }
      #expect(
        found.hasPrefix("--set: \(change.key) is ")
          && found.contains("but model.kind \(task.model.rawValue) does not use it"))
      #expect(found.contains("it holds for \((entry.holders ?? []).joined(separator: " and "))"), "\(found)")
    }
  }

  @Test func whatCountsAsSet() throws {
    #expect(
      try refusal(.lm, ["train.label_smoothing=0.1"])
        == "--set: train.label_smoothing is 0.1, but model.kind gpt does not use it; it holds for vit and multimodal, leave it out"
    )
    // A default does no harm, nor does what a checkpoint of an older version brings along.
    #expect(try refusal(.lm, ["train.label_smoothing=0", "data.flip=true"]) == nil)
    var old = RunConfig()
    (old.train.labelSmoothing, old.model.kind) = (0.1, .gpt)
    #expect(try refusal(.lm, ["train.steps=5", "train.label_smoothing=0"], beyond: old) == nil)
    #expect(try refusal(.lm, ["train.label_smoothing=0.2"], beyond: old)?.contains("is 0.2") == true)
  }

  /// What commands other than training use.
  @Test func commandsRefuseWhatTheyDoNotUse() throws {
    #expect(
      try refusal(.lm, ["train.accumulation=4"], use: .trainingSteps)
        == "--set: train.accumulation is 4, but `mmoe bench train` does not use it; it holds for mmoe train, mmoe model describe, leave it out"
    )
    #expect(try refusal(.lm, ["model.image=64"], use: .description)?.contains("model.kind gpt does not use it") == true)
    for use in [ConfigUse.trainingSteps, .forwardPasses, .generation, .saving, .description] {
      #expect(try refusal(.lm, ["model.layers=2", "moe.variant=scmoe", "lora.rank=2"], use: use) == nil)
      #expect(try refusal(.lm, ["checkpoint.keep=9"], use: use) != nil)
    }
    #expect(try refusal(.imagenetSubset, ["optimizer.clip=9"], use: .forwardPasses) != nil)
    let engine = ["dtype", "tensor.threads", "tensor.blas"]
    let ranks = ["parallel.expert", "parallel.overlap", "parallel.wire", "parallel.timeout"]
    #expect(ConfigUse.questions.keys(of: .gpt) == engine + ranks)
    #expect(ConfigUse.inspection.keys(of: .vit) == ["data.validation_share"])
    #expect(
      Set(ConfigUse.inspection.keys(of: .gpt)) == ["data.validation_share", "text.field", "text.documents"])
    #expect(!ConfigUse.evaluation.keys(of: .vit).contains { $0.hasPrefix("text.") })
    #expect(!ConfigUse.evaluation.keys(of: .gpt).contains("data.on_bad_image"))
    #expect(Set(ConfigUse.training.keys(of: .multimodal)).isDisjoint(with: ["model.rotary_base", "text.order"]))
  }

  /// Presets and studies that come with the project, and a run's own config.yaml, hold nothing that their task refuses.
  @Test func whatExistsIsTaken() throws {
    for name in ProjectHome.presets.names {
      var config = RunConfig()
      try RunConfig.table.apply(ProjectHome.presets.preset(name), to: &config)
      try config.requireUsed()
      var written = RunConfig()
      try RunConfig.table.apply(yaml: RunConfig.table.yaml(config), file: "config.yaml", to: &written)
      try written.requireUsed()
    }
    let studies = ProgramRunner.package + "/configs/studies"
    for file in try FileManager.default.contentsOfDirectory(atPath: studies) where file.hasSuffix(".yaml") {
      _ = try StudyPlan(studies + "/" + file)
    }
    #expect {
      try StudyPlan(
        ConfigDocument(
          yaml: "task: lm\npreset: gpt-toy\nvariants:\n  a:\n    train.label_smoothing: 0.1\n", file: "s.yaml"))
    } throws: { "\($0)".contains("s.yaml:5: train.label_smoothing is 0.1, but model.kind gpt does not use it") }
  }
}
