// Trains a language model on bytes, saves it with its optimizer's state, and goes on from the file in another model.
import Foundation
import MMoEModels
import MMoETensor
import MMoETrain

let text = Array(String(repeating: "the quick brown fox jumps over the lazy dog. ", count: 20).utf8).map(Int32.init)
let window = 32

let engine = try Engine()

struct Run {
  let model: GPT
  let updater: Updater
  let rate = 3e-3

  init(seed: UInt64?) throws {
    var config = ModelConfig()
    config.kind = .gpt
    (config.layers, config.width, config.heads) = (2, 32, 2)
    (config.text.vocabulary, config.text.context) = (256, window)
    (config.moe.variant, config.moe.experts) = ("scmoe", 4)
    model = try GPT(config, seed: seed, engine: engine)
    updater = Updater(model.parameters, config: OptimizerConfig(), engine: engine)
  }

  /// One step on eight windows of the text; its loss in nats.
  func step(_ number: Int) throws -> Double {
    let starts = (0..<8).map { (number * 8 + $0) * 13 % (text.count - window) }
    for parameter in model.parameters { parameter.clearGradient() }
    let pass = ForwardPass(Tape(engine, recording: true), training: true, seed: 1, step: number)
    let loss = try model.loss(
      of: starts.flatMap { text[$0..<$0 + window] }, targets: starts.flatMap { text[$0 + 1...$0 + window] },
      sequence: window, pass: pass)
    try pass.tape.differentiate()
    updater.step(lr: rate, gradientNorm: updater.gradientNorm())
    model.afterStep()
    return loss
  }
}

let run = try Run(seed: 1)
var losses = try (0..<60).map { try run.step($0) }

let file = NSTemporaryDirectory() + "gpt-\(ProcessInfo.processInfo.processIdentifier).h5"
try TrainingCheckpoint.save(run.model, run.updater, name: "example", to: file)
let loaded = try Run(seed: nil)
let checkpoint = try LoadedCheckpoint(file)
try checkpoint.restore(loaded.model)
try checkpoint.restore(loaded.updater, of: loaded.model)
try FileManager.default.removeItem(atPath: file)
// The same state takes the same step.
let same = try loaded.step(60) == run.step(60)
losses.append(try loaded.step(61))
print("resumed from the file, \(same ? "the same" : "ANOTHER") step; loss \(losses[0]) -> \(losses.last!)")
