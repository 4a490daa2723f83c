import Foundation
import MMoEData
import MMoEModels
import MMoETensor
import TestSupport

@testable import MMoEConfig
@testable import MMoEReport
@testable import MMoETrain

/// Training of a tiny language model on made-up text, in this process.
package struct TinyTextRun {
  /// 40 documents of a few words in random order, as JSONL.
  package static let data: (folder: ScratchFolder, path: String) = {
    let folder = ScratchFolder()
    let words = ["red", "green", "blue", "cat", "dog", "sees", "the", "a", "näive", "and"]
    let random = CounterRandom(seed: 8, purpose: .test)
    let lines = (0..<40).map { line in
      let text = (0..<30).map { words[Int(random.uniform(UInt64(line * 30 + $0)) * Float(words.count))] }
      return "{\"text\": \"\(text.joined(separator: " ")).\"}"
    }
    try! (lines.joined(separator: "\n") + "\n").write(
      toFile: folder("text.jsonl"), atomically: true, encoding: .utf8)
    return (folder, folder("text.jsonl"))
  }()

  package var config: RunConfig
  package var threads = 2

  package init(_ settings: [String] = []) throws {
    config = RunConfig()
    try RunConfig.table.apply(ProjectHome.presets.preset("gpt-toy"), to: &config)
    try RunConfig.table.set(
      [
        "model.layers=2", "model.width=32", "model.heads=2", "model.context=16", "data.batch=8", "train.steps=8",
        "train.eval_every=4", "checkpoint.every=1", "checkpoint.keep=100", "schedule.warmup=2",
      ] + settings, in: &config)
  }

  @discardableResult
  package func train(
    into folder: String, data: String = TinyTextRun.data.path, resuming checkpoint: String? = nil
  ) throws -> Trainer.Outcome {
    let engine = try Engine(threads: threads)
    let loaded = try checkpoint.map(LoadedCheckpoint.init)
    let text = try TextData(
      data, config, attachments: loaded?.info.attachments, cache: TinyTextRun.data.folder("cache"), TextBuffer())
    try loaded?.requireVocabulary(text.vocabulary, data: data)
    var config = config
    text.adapt(&config, TextBuffer())
    let task = try text.makeJob(config, training: true, loadsWeights: false, engine: engine, team: nil)
    let run = loaded == nil ? try RunFolder(creating: folder) : try RunFolder(locking: folder)
    return try Trainer(
      task, preset: "gpt-toy", config: config, engine: engine, folder: run, resuming: loaded, sink: TextBuffer()
    ).run()
  }
}
