import ArgumentParser
import MMoERuns
import MMoETrain

struct EvalCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "eval", abstract: "Evaluate a checkpoint on a validation set.")

  @Option(help: "imagenet-subset, lm or multimodal; the checkpoint's by default.") var task: String?
  @Option(help: "A checkpoint, or a run's folder (its best one); the latest run by default, of --task if given.")
  var checkpoint: String?
  @Option(
    help:
      "Folder with val/<class>/*.png or captions.jsonl, or a text; - for the embedded data; by default what the checkpoint was trained on."
  )
  var data: String?
  @Option(help: "Computing threads; all cores by default.") var threads: Int?
  @Option(name: .customLong("set"), help: "key=value, such as moe.eval_capacity_factor=1.25.")
  var settings: [String] = []
  @Option(help: "lm: multiple-choice questions instead, JSONL lines of context, choices, answer.") var choices: String?
  @Option(help: "lm: last words instead, JSONL lines of text (LAMBADA).") var lastWord: String?
  @Flag(help: "End with one line of JSON on standard output.") var json = false

  func validate() throws {
    if data != nil, choices != nil || lastWord != nil {
      throw ValidationError("--choices and --last-word are the data; give no --data beside them")
    }
  }

  func run() throws {
    var options = EvalSession.Options()
    options.task = task
    options.checkpoint = checkpoint
    options.data = data
    options.choices = choices
    options.lastWord = lastWord
    options.settings = (threads.map { ["tensor.threads=\($0)"] } ?? []) + settings
    options.printsJSON = json
    try EvalSession(options).run()
  }
}
