import Foundation
import MMoEData
import MMoEHDF5
import MMoEModels
import MMoETensor
import TestSupport
import Testing
import TinyRuns

@testable import MMoETrain
@testable import MMoEWeights

/// `mmoe checkpoint`: looking into checkpoints, averages, other formats.
@Suite struct CheckpointCommandTests {
  let scratch = ScratchFolder()
  let engine = try! Engine(threads: 2)

  /// Checkpoints of four steps, made once.
  static let run: (folder: ScratchFolder, path: String) = {
    let folder = ScratchFolder()
    try! TinyRun(["train.steps=4", "checkpoint.every=1", "checkpoint.keep=9", "train.eval_every=2"])
      .train(into: folder("run"))
    return (folder, folder("run"))
  }()

  private func step(_ number: Int) -> String { "\(Self.run.path)/step-000000\(number).h5" }

  @Test func tellsWhatIsInside() throws {
    let info = try CheckpointInspection.info(step(3))
    #expect(info.text.contains("imagenet-subset, debug, top2") && info.text.contains("circle"))
    guard case .object(let fields) = info.json, case .int(let parameters)? = fields["parameters"],
      case .int(let trained)? = fields["trained_parameters"]
    else {
      Issue.record("\(info.json)")
      return
    }
    #expect(parameters == (try ModelCosts(TinyRun().config.model).parameters) && trained == parameters)
    let list = try CheckpointInspection.list(step(3), patterns: ["router", "head.bias"])
    #expect(list.contains("blocks.1.moe.gate.weight") && list.contains("head.bias") && !list.contains("experts"))
    let experts = try CheckpointInspection.list(step(3), patterns: ["experts"])
    #expect(experts.contains("blocks.1.moe.experts.0003.fc2.bias") && !experts.contains("gate"))
    #expect { try CheckpointInspection.list(step(3), patterns: ["x"]) } throws: {
      "\($0)".contains("no array matches x")
    }
    #expect { try CheckpointInspection.info(scratch("nowhere")) } throws: { "\($0)".contains("no such file") }
  }

  @Test func namesDifferences() throws {
    let same = try CheckpointInspection.diff(step(2), step(2))
    #expect(same.contains("0 differ") && !same.contains("|"))
    let other = try CheckpointInspection.diff(step(2), step(3))
    #expect(other.contains("step: 2 | 3") && other.contains("0 arrays are equal") && other.contains("head.weight"))
    try TinyRun(["train.steps=1", "model.classes=4", "moe.experts=2"]).train(into: scratch("small"))
    let small = try CheckpointInspection.diff(step(2), scratch("small"))
    #expect(small.contains("moe.experts: ") && small.contains("only in \(step(2))"))
    #expect(small.contains("blocks.1.moe.gate.weight: shape"))
  }

  @Test func verifiesAllAndNamesTheDamagedOne() throws {
    var lines: [String] = []
    try CheckpointInspection.verify([Self.run.path]) { lines.append($0) }
    #expect(lines.count == 5 && lines.allSatisfy { $0.hasSuffix("good") })
    var changed = try bytes(step(2))
    changed[changed.count / 2] ^= 1
    try changed.write(to: URL(fileURLWithPath: scratch("changed.h5")))
    lines = []
    #expect { try CheckpointInspection.verify([scratch("changed.h5"), step(1)]) { lines.append($0) } } throws: {
      "\($0)".contains("1 of 2 files")
    }
    #expect(lines[0].contains("bytes have changed") && lines[1].hasSuffix("good"))
  }

  @Test func averagesWeights() throws {
    try CheckpointRewriting.average([step(2), step(3), step(4)], to: scratch("mean.h5"))
    let files = try [step(2), step(3), step(4), scratch("mean.h5")].map(LoadedCheckpoint.init)
    for name in ["head.weight", "blocks.1.moe.experts.0003.fc1.weight"] {
      let values = try files.map { try $0.modelArray(name) }
      for i in stride(from: 0, to: values[0].count, by: 7) {
        #expect(abs(values[3][i] - (values[0][i] + values[1][i] + values[2][i]) / 3) < 1e-7)
      }
    }
    #expect(files[3].info.step == 4 && files[3].trainedNumbers == 0)
    // It can be evaluated and started from, but not resumed.
    let model = try VisionTransformer(files[3].info.config.model, seed: nil, engine: engine)
    try files[3].restore(model)
    #expect { try files[3].restore(Updater(model.parameters, config: .init(), engine: engine), of: model) } throws: {
      "\($0)".contains("no optimizer state")
    }
    #expect { try CheckpointRewriting.average([step(2)], to: scratch("x.h5")) } throws: {
      "\($0)".contains("at least two")
    }
    try TinyRun(["train.steps=1", "moe.experts=2"]).train(into: scratch("small"))
    #expect { try CheckpointRewriting.average([step(2), scratch("small")], to: scratch("x.h5")) } throws: {
      "\($0)".contains("average checkpoints of one model")
    }
  }

  /// The mean of models with adapters is that of the whole models: not their A and B apart.
  @Test func averagesAdaptersAsWholeModels() throws {
    let settings = [
      "lora.rank=2", "lora.places=attention,mlp,experts", "optimizer.lr=0.1", "schedule.warmup=0", "train.steps=3",
      "checkpoint.every=1", "checkpoint.keep=9",
    ]
    try TinyRun(settings).train(into: scratch("lora"))
    let files = [1, 3].map { scratch("lora") + "/step-000000\($0).h5" }
    try CheckpointRewriting.average(files, to: scratch("mean.h5"))
    let mean = try LoadedCheckpoint(scratch("mean.h5"))
    #expect(mean.info.config.model.lora == LoRAConfig())
    for (number, file) in files.enumerated() {
      _ = try CheckpointRewriting.mergeAdapters(file, to: scratch("whole\(number).h5"))
    }
    let whole = try [0, 1].map { try LoadedCheckpoint(scratch("whole\($0).h5")) }
    #expect(mean.modelArrays().map(\.name) == whole[0].modelArrays().map(\.name))
    for (name, _) in mean.modelArrays() {
      let expected = zip(try whole[0].modelArray(name), try whole[1].modelArray(name)).map { ($0 + $1) / 2 }
      let found = try mean.modelArray(name)
      #expect(zip(found, expected).allSatisfy { abs($0 - $1) <= 1e-6 * max(1, abs($1)) }, "\(name)")
    }
    // By hand, the first number of W + 8 B A, with 8 = α / rank: of both, and of the mean factors, which is another.
    let apart = try files.map(LoadedCheckpoint.init)
    func first(_ weight: [Float], _ a: [Float], _ b: [Float]) -> Float { weight[0] + 8 * (b[0] * a[0] + b[1] * a[32]) }
    let (w, a, b) = (
      try apart.map { try $0.modelArray("blocks.0.mlp.fc1.weight") },
      try apart.map { try $0.modelArray("blocks.0.mlp.fc1.lora_a") },
      try apart.map { try $0.modelArray("blocks.0.mlp.fc1.lora_b") }
    )
    func middle(_ x: [[Float]]) -> [Float] { zip(x[0], x[1]).map { ($0 + $1) / 2 } }
    let expected = (first(w[0], a[0], b[0]) + first(w[1], a[1], b[1])) / 2
    let found = try mean.modelArray("blocks.0.mlp.fc1.weight")[0]
    #expect(abs(found - expected) < 1e-6 && abs(first(middle(w), middle(a), middle(b)) - expected) > 1e-4)
    // It is a model like any other, and one without adapters may be among them.
    try CheckpointRewriting.average([files[1], scratch("whole0.h5")], to: scratch("mixed.h5"))
    #expect(try CheckpointInspection.diff(scratch("mixed.h5"), scratch("mean.h5")).contains(" 0 differ"))
    let model = try VisionTransformer(mean.info.config.model, seed: nil, engine: engine)
    try mean.restore(model)
  }

  @Test func prunesButKeepsEveryMth() throws {
    try FileManager.default.copyItem(atPath: Self.run.path, toPath: scratch("copy"))
    let removed = try CheckpointRewriting.prune(scratch("copy"), keep: 1, every: 2)
    #expect(removed.map { ($0 as NSString).lastPathComponent } == ["step-0000001.h5", "step-0000003.h5"])
    #expect(FileManager.default.fileExists(atPath: scratch("copy") + "/best.h5"))
    let lock = try RunFolder(locking: scratch("copy"))
    #expect { try CheckpointRewriting.prune(lock.path, keep: 1, every: 0) } throws: {
      "\($0)".contains("another process")
    }
    // A run does the same by itself.
    try TinyRun(["train.steps=5", "checkpoint.every=1", "checkpoint.keep=1", "checkpoint.keep_every=2"])
      .train(into: scratch("run"))
    #expect(RunFolder.steps(in: scratch("run")) == [2, 4, 5])
  }

  // MARK: Other formats

  @Test func safetensorsHoldAllArraysUnderOurNames() throws {
    _ = try CheckpointConversion.convert(step(3), to: scratch("all.safetensors"))
    let (file, checkpoint) = (try SafetensorsFile(scratch("all.safetensors")), try LoadedCheckpoint(step(3)))
    #expect(file.names.sorted() == checkpoint.modelArrays().map(\.name).sorted())
    for (name, shape) in checkpoint.modelArrays() {
      #expect(file.shape(name) == shape)
      #expect(try file.floats(name) == checkpoint.modelArray(name))
    }
    #expect(file.metadata["task"] == "imagenet-subset" && file.metadata["config"]?.contains("variant: top2") == true)
    _ = try CheckpointConversion.convert(step(3), to: scratch("weights.h5"))
    #expect(try LoadedCheckpoint(scratch("weights.h5")).trainedNumbers == 0)
    #expect(try CheckpointInspection.diff(step(3), scratch("weights.h5")).contains(" 0 differ"))
  }

  /// A model of ours in another's layout and back: the same numbers, and what has no place there is named.
  @Test(arguments: [
    ("vit", ["moe.variant=dense", "model.class_token=true"]),
    ("gpt2", ["moe.variant=dense"]), ("gpt2", ["moe.variant=dense", "model.tied_head=false"]),
    (
      "llama",
      [
        "moe.variant=dense", "model.norm=rms", "model.activation=swiglu", "model.positions=rotary", "model.bias=false",
        "model.kv_heads=1",
      ]
    ),
    (
      "mixtral",
      [
        "moe.variant=top2", "moe.every=1", "model.norm=rms", "model.activation=swiglu", "model.positions=rotary",
        "model.bias=false", "moe.experts=4",
      ]
    ),
    (
      "mixtral",
      [
        "moe.variant=top1", "moe.renormalize_single=true", "moe.every=1", "model.norm=rms", "model.activation=swiglu",
        "model.positions=rotary", "model.bias=false", "moe.experts=4",
      ]
    ),
  ])
  func otherLayoutsAndBack(family: String, settings: [String]) throws {
    let file: String
    if family == "vit" {
      file = try TinyRun(["train.steps=1"] + settings).train(into: scratch("run")).checkpoint
    } else {
      file = try TinyTextRun(["train.steps=1"] + settings).train(into: scratch("run")).checkpoint
    }
    #expect(try CheckpointConversion.convert(file, to: scratch("hub")).hasPrefix(family + ": "))
    let hub = try HubModel(scratch("hub"))
    var model = try LoadedCheckpoint(file).info.config.model
    // What a layout does not say: how it was initialized and trained.
    (model.initStd, model.stochasticDepth) = (hub.model.initStd, hub.model.stochasticDepth)
    #expect((hub.model.width, hub.model.hidden) == (model.width, model.mlpHidden))
    #expect(hub.model.moe.renormalizeSingle == model.moe.renormalizeSingle)
    _ = try CheckpointConversion.convert(scratch("hub"), to: scratch("back.h5"))
    let difference = try CheckpointInspection.diff(file, scratch("back.h5"))
    #expect(difference.contains(" 0 differ") && !difference.contains("only in"), "\(difference)")
    #expect { try CheckpointConversion.convert(file, to: scratch("hub")) } throws: {
      "\($0)".contains("exists already")
    }
  }

  /// Mixtral gives a token's only expert the weight 1, a model trained here its probability: that is no Mixtral.
  @Test func aSingleExpertsProbabilityIsNoMixtral() throws {
    let file = try TinyTextRun([
      "train.steps=1", "moe.variant=top1", "moe.every=1", "model.norm=rms", "model.activation=swiglu",
      "model.positions=rotary", "model.bias=false",
    ]).train(into: scratch("run")).checkpoint
    #expect { try CheckpointConversion.convert(file, to: scratch("hub")) } throws: {
      "\($0)".contains("moe.renormalize_single is false, expected true")
    }
  }

  @Test func whatNoLayoutHasIsNamed() throws {
    #expect { try CheckpointConversion.convert(step(2), to: scratch("hub")) } throws: {
      "\($0)".contains("moe.variant is top2") && "\($0)".contains(".safetensors")
    }
    #expect(!FileManager.default.fileExists(atPath: scratch("hub")))
  }

  /// The parity models there and back: the same tensors, bit by bit, and so the same logits.
  @Test(
    .enabled(if: SharedData.folder("parity") != nil, "needs the shared parity models"),
    arguments: [
      "gpt2-tiny-random", "llama2c-stories260K", "mixtral-tiny-random", "vit-tiny-random", "clip-tiny-random",
    ])
  func parityModelsThereAndBack(name: String) throws {
    let folder = try #require(SharedData.folder("parity/" + name))
    _ = try CheckpointConversion.convert(folder, to: scratch("ours.h5"))
    _ = try CheckpointConversion.convert(scratch("ours.h5"), to: scratch("theirs"))
    let (before, after) = try (SafetensorsCheckpoint(folder), SafetensorsCheckpoint(scratch("theirs")))
    for tensor in after.names {
      #expect(try before.floats(tensor) == after.floats(tensor), "\(tensor)")
      #expect(before.shape(tensor) == after.shape(tensor), "\(tensor)")
    }
    #expect(after.names.count >= before.names.count - 1)
    #expect(try HubModel(folder).model == HubModel(scratch("theirs")).model)
  }
}
