// The task is registered, then trained and evaluated as `mmoe train` and `mmoe eval` do it: with a run's folder, checkpoints and
// metrics, and on ranks where a launcher starts the program.
import Foundation
import MMoEReport
import MMoERuns
import MMoETrain

try TaskKind.register(
  TaskKind(
    name: "counting", summary: "numbers that go on", dataForm: "nothing", model: .gpt, defaultPreset: "gpt-toy",
    metrics: { _ in Counting.shown }, open: { _ in Numbers() }, survey: { path, _ in DataSurvey(path) }))

let folder = NSTemporaryDirectory() + "counting-\(ProcessInfo.processInfo.processIdentifier)"
let (said, json) = (TextBuffer(), TextBuffer())
var training = TrainSession.Options()
(training.task, training.out) = ("counting", folder)
training.settings = [
  "model.layers=2", "model.width=32", "model.heads=2", "model.context=16", "moe.experts=4", "data.batch=16",
  "train.steps=80", "train.sample_every=0", "schedule.warmup=5", "optimizer.lr=0.003",
]
_ = try TrainSession(training, CommandSinks(output: said, errors: said)).run()

var evaluation = EvalSession.Options()
(evaluation.checkpoint, evaluation.printsJSON) = (folder, true)
try EvalSession(evaluation, CommandSinks(output: json, errors: said)).run()
try FileManager.default.removeItem(atPath: folder)
let found = try JSONSerialization.jsonObject(with: Data(json.text.utf8)) as? [String: Any]
print("loss \(log(16.0)) -> \(found?["val_loss"] as? Double ?? .nan)")
