import Foundation
import MMoEData
import MMoEFiles
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

/// A modality that no file of the project knows: registered here, and trained with images and texts.
///
/// Its samples are eight bytes of a file; some items have none, some have two.
@Suite struct NewModalityTests {
  private struct Touch: SampledModality {
    var name: String { "touch" }
    var sample: String { "touch" }
    func shape(_ config: ModelConfig) -> [Int] { [1, 1, 8] }
    func rows(_ config: ModelConfig) -> Int { 2 }
    func makeEncoder(_ store: ParameterStore, _ config: ModelConfig) throws -> any SampleEncoder {
      try AudioModality().makeEncoder(store, Touch.sized(config))
    }
    func operations(_ config: ModelConfig) -> [ModelOperation] { AudioModality().operations(Touch.sized(config)) }

    /// Two patches of four numbers.
    private static func sized(_ config: ModelConfig) -> ModelConfig {
      var config = config
      config.modalitySettings[AudioModality.mels] = 1
      config.modalitySettings[AudioModality.frames] = 8
      config.modalitySettings[AudioModality.patchMels] = 1
      config.modalitySettings[AudioModality.patchFrames] = 4
      return config
    }
  }

  private struct TouchSample: DecodedSample {
    let values: [Float]
    var byteCount: Int { 4 * values.count }
  }

  /// Registered once for all tests.
  private static let isRegistered: Void = {
    try! ModalityTable.registry.register(Touch())
    try! SampleFormat.registry.register(
      "touch",
      SampleFormat(
        field: "touch", plural: "touches", kinds: "TOUCH", allowsSeveral: true, reads: { $0.hasSuffix(".touch") },
        decode: { path, _ in
          let bytes = try Data(contentsOf: URL(fileURLWithPath: path))
          return TouchSample(values: bytes.map { Float($0) / 128 - 1 })
        },
        writer: { _, _ in
          { sample, _, output in
            for (index, value) in (sample as! TouchSample).values.enumerated() { output[index] = value }
          }
        }))
  }()

  /// Of 24 items every fourth has no touch, every fifth no picture, every third two touches.
  private static let data: ScratchFolder = {
    _ = isRegistered
    let folder = ScratchFolder()
    let words = ["red", "green", "blue", "white", "black"]
    var lines: [String] = []
    for index in 0..<24 {
      let (left, right) = (index % 5, index / 5 % 5)
      var fields: [String] = []
      if index % 5 != 4 || index % 4 == 3 {
        let pixels = (0..<16 * 16).flatMap { place in
          [UInt8](repeating: UInt8(50 * (place % 16 < 8 ? left : right)), count: 2) + [UInt8(index)]
        }
        try! Data(RGBImage(width: 16, height: 16, pixels: pixels).png()).write(
          to: URL(fileURLWithPath: folder("\(index).png")))
        fields.append("\"image\": \"\(index).png\"")
      }
      if index % 4 != 3 {
        let names = index % 3 == 0 ? ["\(index)a.touch", "\(index)b.touch"] : ["\(index)a.touch"]
        for (turn, name) in names.enumerated() {
          try! Data((0..<8).map { UInt8($0 < 4 ? 50 * left : 50 * right) &+ UInt8(index + 40 * turn) }).write(
            to: URL(fileURLWithPath: folder(name)))
        }
        fields.append("\"touch\": [\(names.map { "\"\($0)\"" }.joined(separator: ", "))]")
      }
      fields.append("\"caption\": \"\(words[left]) and \(words[right])\"")
      fields.append("\"label\": \"\(words[left])\"")
      fields.append("\"split\": \"\(index < 18 ? "train" : "val")\"")
      lines.append("{\(fields.joined(separator: ", "))}")
    }
    try! lines.joined(separator: "\n").write(toFile: folder("captions.jsonl"), atomically: true, encoding: .utf8)
    return folder
  }()

  private static let three = [
    "fusion.modalities=vision,language,touch", "moe.experts=6", "moe.groups=vision:2,language:2,touch:2",
  ]
  private static let late = ["fusion.kind=late", "moe.balance=first_choice", "fusion.text_layers=3"]

  private func task(_ settings: [String]) throws -> (task: any TrainingTask, config: RunConfig) {
    let folder = NewModalityTests.data
    var config = try PairLearningTests.config(NewModalityTests.three + settings)
    let data = try PairData(folder.path, config, attachments: nil, cache: PairLearningTests.cache, TextBuffer())
    data.adapt(&config, TextBuffer())
    let engine = try Engine(threads: 2)
    return (try data.makeJob(config, training: true, loadsWeights: false, engine: engine, team: nil), config)
  }

  @discardableResult
  private func train(
    _ settings: [String], into folder: String, resuming checkpoint: String? = nil
  ) throws -> Trainer.Outcome {
    let loaded = try checkpoint.map(LoadedCheckpoint.init)
    let (task, config) = try task(settings)
    let run = loaded == nil ? try RunFolder(creating: folder) : try RunFolder(locking: folder)
    return try Trainer(
      task, preset: "pairs-emoji", config: config, engine: Engine(threads: 2), folder: run, resuming: loaded,
      sink: TextBuffer()
    ).run()
  }

  /// Everything is compared with everything, by the names of the modalities; a resumed run has the same bits.
  @Test(arguments: [
    [], NewModalityTests.late, ["moe.task_routing=true", "objective.uncertainty=true"], ["fusion.captions=joint"],
  ])
  func trainsAndResumes(settings: [String]) throws {
    let scratch = ScratchFolder()
    let outcome = try train(settings, into: scratch("whole"))
    let evaluation = try #require(outcome.evaluation)
    for pair in [
      "image_to_touch", "touch_to_image", "image_to_text", "text_to_image", "touch_to_text", "text_to_touch",
    ] {
      #expect(evaluation["\(pair)_recall_at_10"] == 1, "\(pair)")
    }
    // Of items 18 to 23: 18 and 21 have two touches, 19 and 23 none; 19 has a picture.
    #expect(evaluation["gallery_images"] == 6 && evaluation["gallery_touches"] == 6 && evaluation["gallery_texts"] == 6)
    let isJoint = settings.contains("fusion.captions=joint")
    #expect((evaluation["touch_caption_f1"] == nil) == isJoint && evaluation["caption_f1"] != nil)
    try train(settings, into: scratch("again"))
    for step in 4...6 { try FileManager.default.removeItem(atPath: scratch("again/step-000000\(step).h5")) }
    try train(settings, into: scratch("again"), resuming: scratch("again/step-0000003.h5"))
    #expect(try bytes(scratch("whole/step-0000006.h5")) == bytes(scratch("again/step-0000006.h5")))
    #expect(try bytes(scratch("whole/step-0000003.h5")) == bytes(scratch("again/step-0000003.h5")))
  }

  /// A step trains the same parameters whether or not its batch has a touch or a picture.
  @Test(arguments: [[], NewModalityTests.late]) func everyStepTrainsTheSame(settings: [String]) throws {
    for weights in [[], ["objective.caption=0", "objective.language=0"], ["objective.contrastive=0"]] {
      let (task, config) = try task(settings + weights + ["data.batch=1"])
      let unreached = Set(task.model.unreached(by: config.trainedTasks).flatMap(\.parameters).map(\.path))
      try task.startTraining(atMicroBatch: 0)
      for _ in 0..<9 {
        let batch = try task.nextMicroBatch(kept: true)
        let tape = Tape(try Engine(threads: 1), recording: true)
        _ = try batch.forward(ForwardPass(tape, training: true), batch.targets)
        tape.backward()
        #expect(tape.objective.isFinite)
        #expect(Set(task.model.parameters.filter { !$0.hasGradient }.map(\.path)) == unreached)
        for parameter in task.model.parameters { parameter.clearGradient() }
      }
    }
  }

  /// What analyses see, and what a model of it costs.
  @Test func isAnalyzedAndCounted() throws {
    let (task, config) = try task([])
    let probed = try #require(task as? any ProbedTask)
    let found = try RoutingAnalysis.measure(probed, config.model, Probe(samples: 6, engine: Engine(threads: 2)))
    let modality = try #require(found.labels.first { $0.name == "modality" })
    #expect(modality.count == 3 && modality.describe(2) == "touch")
    #expect(modality.values.count { $0 == 2 } > 0)
    let counts = found.calls[0].counts(modality)
    for (m, own) in [0..<2, 2..<4, 4..<6].enumerated() {
      for e in 0..<6 where !own.contains(e) { #expect(counts[e][m] == 0) }
    }
    #expect(try ModelCosts(config.model).parameters == task.model.parameters.reduce(0) { $0 + $1.count })
  }

  @Test func isRegisteredOnce() {
    _ = NewModalityTests.isRegistered
    #expect { try ModalityTable.registry.register(Touch()) } throws: {
      "\($0)".contains("the modality touch") && "\($0)".contains("registered already")
    }
  }
}
